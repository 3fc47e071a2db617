import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile
from otelprof.formats.folded import read_folded, write_folded
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.reader import read_samples
from otelprof.model.stack import Frame, Function, Line, Resource, SampleType
from tests.formats.messages import CPU, OFF_CPU, SHELL, WORKER, example


def written(*messages: ProfilesData) -> str:
    stream = io.BytesIO()
    write_folded(stream, messages)
    return stream.getvalue().decode()


def read(text: str | bytes) -> ProfilesData:
    data = text if isinstance(text, bytes) else text.encode()
    (message,) = read_folded(io.BytesIO(data))
    return message


def test_line_is_process_thread_and_stack_from_the_root() -> None:
    assert written(example()) == (
        "python3;worker 1;<module>;libc.so.6+0x2345 1\n"
        "python3;worker 1;<module>;outer;inner;write;do_syscall_64_[k] 3\n"
        "python3;worker 2;<module>;outer;inner;write;do_syscall_64_[k] 2\n"
        "sh;[unknown] 1\n"
        "sh;[unknown];libc.so.6+0x2345 2\n"
    )


def test_messages_are_added_up() -> None:
    assert written(example(), example()).splitlines()[1].endswith("do_syscall_64_[k] 6")


def test_on_cpu_samples_are_preferred_wherever_they_are() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(WORKER, OFF_CPU, (), values=(9,))
    builder.add(SHELL, CPU, (), values=(2,))

    assert written(builder.build()) == "sh;[unknown] 2\n"


def test_first_sample_type_is_written_where_there_are_no_on_cpu_samples() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(WORKER, OFF_CPU, (), values=(9,))

    assert written(builder.build()) == "python3;[unknown] 9\n"


def test_names_cannot_break_a_line() -> None:
    frame = Frame("native", lines=(Line(Function("a;b\nc\r\x1b\u2028 1")),))
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    resource = Resource((("process.executable.name", ";"),))
    builder.add(resource, CPU, (frame,), (("thread.name", " \n"),), values=(2,))

    assert written(builder.build()) == ":;[unknown];a:b c    1 2\n"


def test_stack_without_anything_is_counted() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(Resource(()), CPU, (), values=(3,))

    assert written(builder.build()) == "[unknown] 3\n"


def test_the_same_text_is_the_same_message() -> None:
    assert read("a 1\n") == read("a 1\n")
    assert read("a 1\n") != read("a 1\n\n")


def test_nothing_sampled_is_an_empty_file() -> None:
    assert written() == ""
    assert list(read_samples(read(""))) == []


def test_every_name_is_read_as_a_frame() -> None:
    (first, second) = read_samples(read("main;do work;sys_write_[k] 3\n\n  other 10 4 \r\n"))

    assert first.sample_type == SampleType("samples", "count")
    assert first.stack == (
        Frame("kernel", lines=(Line(Function("sys_write")),)),
        Frame("", lines=(Line(Function("do work")),)),
        Frame("", lines=(Line(Function("main")),)),
    )
    assert list(first.values) == [3]
    assert second.stack[0].lines[0].function.name == "other 10"
    assert list(second.values) == [4]


@pytest.mark.parametrize("line", ["main", "main x", "5", "main -1", "main 1.5", "main ٣"])
def test_line_without_a_count_is_refused(line: str) -> None:
    with pytest.raises(BadProfile, match=r"^line 2 does not end in a space and a count"):
        read(f"main 1\n{line}\n")


@pytest.mark.parametrize("text", ["a 9223372036854775808\n", "a 9223372036854775807\na 1\n"])
def test_count_beyond_64_bits_is_refused(text: str) -> None:
    with pytest.raises(BadProfile, match="64 bits"):
        read(text)


def test_what_was_written_is_read_and_written_the_same() -> None:
    text = written(example())

    assert written(read(text)) == text


NAMES = st.text(max_size=12) | st.sampled_from(["_[k]", "a;b", "a b", " ", "[unknown]"])


@settings(deadline=None, max_examples=100)
@given(stacks=st.lists(st.tuples(st.lists(NAMES, max_size=4), st.integers(1, 1000)), max_size=6))
def test_counts_survive_whatever_the_names(stacks: list[tuple[list[str], int]]) -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    for names, count in stacks:
        stack = tuple(Frame("native", lines=(Line(Function(name)),)) for name in names)
        builder.add(SHELL, CPU, stack, values=(count,))
    text = written(builder.build())

    expected = sum(count for _, count in stacks)
    assert sum(int(line.rpartition(" ")[2]) for line in text.splitlines()) == expected
    assert sum(sample.total for sample in read_samples(read(text))) == expected


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=60) | st.text(alphabet="a;_[k] 19\n\t", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        message = read(data)
    except BadProfile:
        return

    assert all(sample.stack for sample in read_samples(message))
