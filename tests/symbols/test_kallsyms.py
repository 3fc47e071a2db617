"""The text of /proc/kallsyms becomes a table of functions, or one sentence."""

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadArtifact, BadInput
from otelprof.symbols.kallsyms import KernelTable, check_kallsyms, extract_kallsyms, pack_kallsyms

TEXT = """\
0000000000000000 A fixed_percpu_data
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000040 t __pfx_helper
ffffffff81000050 t helper
ffffffff81000080 W weak_one
ffffffff810000a0 w weak_local
ffffffff81000100 T _etext
ffffffff81800000 D some_data
ffffffff81800010 b some_bss
ffffffffc0301000 t mod_open\t[mod]
ffffffffc0301040 d mod_data\t[mod]
ffffffffc0201000 t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]
"""


def table(text: str) -> KernelTable:
    data = memoryview(pack_kallsyms(text))
    check_kallsyms(data)
    return KernelTable(data)


def rows(text: str) -> list[tuple[int, int, str, str]]:
    symbols = table(text).symbols
    return [(row.start, row.end, row.name, row.system_name) for row in (symbols[at] for at in range(len(symbols)))]


def test_functions_reach_to_the_next_symbol_of_any_kind() -> None:
    assert rows(TEXT) == [
        (0xFFFFFFFF81000000, 0xFFFFFFFF81000040, "startup_64", ""),
        (0xFFFFFFFF81000050, 0xFFFFFFFF81000080, "helper", ""),
        (0xFFFFFFFF81000080, 0xFFFFFFFF810000A0, "weak_one", ""),
        (0xFFFFFFFF810000A0, 0xFFFFFFFF81000100, "weak_local", ""),
        (0xFFFFFFFFC0201000, 0xFFFFFFFFC0301000, "bpf_prog_6deef7357e7b4530_sd_fw", "bpf"),
        (0xFFFFFFFFC0301000, 0xFFFFFFFFC0301040, "mod_open", "mod"),
    ]


def test_the_text_of_the_kernel_itself() -> None:
    assert (table(TEXT).text_start, table(TEXT).text_end) == (0xFFFFFFFF81000000, 0xFFFFFFFF81000100)


def test_the_text_starts_with_its_mark_even_without_a_function_there() -> None:
    text = "ffff800080000000 T _text\nffff800080010000 T _stext\nffff800080010000 T first\nffff800080010100 T _etext\n"
    assert table(text).text_start == 0xFFFF800080000000


@pytest.mark.parametrize(
    ("better", "worse"), [("T long_name", "t a"), ("T _two", "T __a"), ("T bb", "T aaa"), ("T aa", "T ab")]
)
def test_the_best_of_several_names_does_not_depend_on_their_order(better: str, worse: str) -> None:
    lines = [f"ffffffff81000000 {better}", f"ffffffff81000000 {worse}"]
    for order in (lines, lines[::-1]):
        assert rows("\n".join(order))[0][2] == better.split()[1]


def test_a_function_does_not_reach_far() -> None:
    assert rows("ffffffff81000000 T last\n") == [(0xFFFFFFFF81000000, 0xFFFFFFFF81100000, "last", "")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "hides"),
        ("0000000000000000 T start\n0000000000000000 T end\n", "hides"),
        ("ffffffff81000000 T\n", "shape"),
        ("what is this\n", "shape"),
        ("\n", "shape"),
        ("-1 T negative\n", "impossible"),
        ("1ffffffff81000000 T large\n", "impossible"),
    ],
)
def test_refuses(text: str, match: str) -> None:
    with pytest.raises(BadInput, match=match):
        pack_kallsyms(text)


def test_reads_a_descriptor_to_its_end(opened: Callable[[bytes], int]) -> None:
    assert extract_kallsyms([opened(TEXT.encode())]) == pack_kallsyms(TEXT)


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel hides addresses from ordinary users")
def test_reads_the_real_thing() -> None:
    descriptor = os.open("/proc/kallsyms", os.O_RDONLY)
    try:
        data = memoryview(extract_kallsyms([descriptor]))
    finally:
        os.close(descriptor)
    check_kallsyms(data)
    names = {row.name for row in (KernelTable(data).symbols[at] for at in range(len(KernelTable(data).symbols)))}
    assert names & {"schedule", "do_exit", "vfs_read"}


lines = st.builds(
    "{:x} {} {}{}".format,
    st.integers(0, (1 << 64) - 1),
    st.sampled_from("tTwWdDbBA"),
    st.text("abc_", min_size=1, max_size=6),
    st.sampled_from(["", "\t[mod]", "\t[bpf]"]),
)


@given(st.lists(lines, max_size=30), st.text(max_size=10))
def test_any_text_becomes_a_sound_table_or_one_sentence(good: list[str], odd: str) -> None:
    for text in ("\n".join(good), "\n".join([*good, odd])):
        try:
            data = pack_kallsyms(text)
        except BadInput:
            continue
        check_kallsyms(memoryview(data))


@given(st.data())
def test_damaged_artifacts_are_refused_or_read(data: st.DataObject) -> None:
    raw = bytearray(pack_kallsyms(TEXT))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (raw, raw[:cut]):
        try:
            check_kallsyms(memoryview(bytes(damaged)))
        except BadArtifact:
            continue
        KernelTable(memoryview(bytes(damaged))).symbols.find(0xFFFFFFFF81000050)
