from otelprof.formats.top import TopFunction, TopTable, render_top, top_functions
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import Frame, Function, Line
from tests.formats.messages import BARE, CPU, LIBC, SHELL, example


def named(name: str) -> Frame:
    return Frame("native", 1, LIBC, (Line(Function(name)),))


def test_functions_are_counted_by_themselves_and_with_what_they_call() -> None:
    assert top_functions([example()], 10) == TopTable(
        (
            TopFunction("do_syscall_64", "vmlinux", 5, 5),
            TopFunction("[unknown]", "libc.so.6", 3, 3),
            TopFunction("<module>", "a;b.py", 0, 6),
            TopFunction("inner", "libc.so.6", 0, 5),
            TopFunction("outer", "libc.so.6", 0, 5),
            TopFunction("write", "libc.so.6", 0, 5),
        ),
        9,
    )


def test_only_the_first_are_given_and_all_are_counted() -> None:
    table = top_functions([example(), example()], 1)

    assert table == TopTable((TopFunction("do_syscall_64", "vmlinux", 10, 10),), 18)


def test_recursive_function_counts_once_a_sample() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(SHELL, CPU, (named("f"), named("g"), named("f")), values=(4,))

    assert top_functions([builder.build()], 10).rows == (
        TopFunction("f", "libc.so.6", 4, 4),
        TopFunction("g", "libc.so.6", 0, 4),
    )


def test_addresses_without_a_name_are_one_row_a_binary() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(SHELL, CPU, (BARE,), values=(1,))
    builder.add(SHELL, CPU, (Frame("native", 0x7777, LIBC),), values=(2,))
    builder.add(SHELL, CPU, (Frame("kernel", 0x7777),), values=(4,))

    assert top_functions([builder.build()], 10).rows == (
        TopFunction("[kernel]", "", 4, 4),
        TopFunction("[unknown]", "libc.so.6", 3, 3),
    )


TABLE = TopTable((TopFunction("compute", "app", 1500, 2000), TopFunction("a" * 60, "libc.so.6", 500, 500)), 2000)


def test_table_is_aligned_and_fits_the_terminal() -> None:
    assert render_top(TABLE, 60) == (
        "  self   total  samples  function\n"
        " 75.0%  100.0%    1,500  compute  app\n"
        " 25.0%   25.0%      500  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\n"
    )


def test_colors_only_where_they_are_wanted() -> None:
    colored = render_top(TABLE, 60, color=True)

    assert "\x1b[" not in render_top(TABLE, 60)
    assert "\x1b[2m  app\x1b[0m" in colored
    assert "\x1b[1m 75.0%\x1b[0m" in colored


def test_names_cannot_command_the_terminal() -> None:
    text = render_top(TopTable((TopFunction("\x1b]0;x\x07\n", "\u202e", 1, 1),), 1), 200)

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("\n") == 2


def test_nothing_sampled_is_a_table_without_rows() -> None:
    assert render_top(top_functions([], 5)) == "  self   total  samples  function\n"
