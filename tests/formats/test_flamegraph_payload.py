import json
import struct
from array import array
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.formats.flamegraph.payload import make_payload
from otelprof.formats.flamegraph.tables import CATEGORIES
from otelprof.formats.flamegraph.text import MAX_NAME_CHARACTERS, visible_text
from otelprof.formats.selection import read_displayed
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.reader import ReadSample
from otelprof.model.stack import CPU_SAMPLES, Frame, Function, Line, Mapping, Resource, SampleType, Stack
from tests.formats.messages import CPU, END_NS, START_NS, example


class Decoded:
    """An encoded payload, read back as the page does."""

    def __init__(self, *messages: ProfilesData, **options: Any) -> None:
        data = make_payload(read_displayed(messages), **options).encode()
        (size,) = struct.unpack_from("<I", data)
        self.about = json.loads(data[4 : 4 + size])
        self.columns: dict[str, list[int]] = {}
        offset = 4 + size
        for name, typecode, length in self.about["columns"]:
            assert offset % 8 == 0
            column = array(typecode)
            end = offset + length * column.itemsize
            column.frombytes(data[offset:end])
            self.columns[name] = [int(value) for value in column]
            offset = end + -end % 8
        assert offset == len(data)

    def text(self, column: str, index: int) -> str:
        strings: list[str] = self.about["strings"]
        return strings[self.columns[column][index]]

    def frame(self, name: str) -> dict[str, int | str]:
        """Give the columns of the one frame with this name."""
        names = [self.text("frame.name", index) for index in range(len(self.columns["frame.name"]))]
        assert names.count(name) == 1
        index = names.index(name)
        texts = {field: self.text(f"frame.{field}", index) for field in ("binary", "type", "source")}
        numbers = {field: self.columns[f"frame.{field}"][index] for field in ("line", "line_end", "inlined")}
        return {**texts, **numbers, "category": CATEGORIES[self.columns["frame.category"][index]]}

    def stacks(self) -> list[tuple[str, ...]]:
        """Give the names of the frames of each stack, root first."""
        names = [self.text("frame.name", frame) for frame in self.columns["step.frame"]]
        lengths = self.columns["stack.length"]
        return [tuple(names[sum(lengths[:place]) :][:length]) for place, length in enumerate(lengths)]

    def row_columns(self) -> list[tuple[int, int, int]]:
        """Give thread, stack and count of each row."""
        thread, stack, count = (self.columns[f"row.{name}"] for name in ("thread", "stack", "count"))
        return list(zip(thread, stack, count, strict=True))

    def rows(self) -> Counter[tuple[str, str, tuple[str, ...]]]:
        """Count by process, thread and stack."""
        stacks = self.stacks()
        counts: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
        for thread, stack, count in self.row_columns():
            process = self.columns["thread.process"][thread]
            counts[self.text("process.name", process), self.text("thread.name", thread), stacks[stack]] += count
        return counts


NOBODY = Resource(())


def one(stack: Stack, *, resource: Resource = NOBODY, sample_type: SampleType = CPU) -> ProfilesData:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS)
    builder.add(resource, sample_type, stack, values=(1,))
    return builder.build()


def named(name: str, **options: Any) -> Frame:
    return Frame("native", 1, Mapping("/bin/a", build_id_gnu="aa"), (Line(Function(name, **options), 0),))


def test_rows_count_samples_of_threads_in_stacks() -> None:
    stack = ("<module>", "outer", "inner", "write", "do_syscall_64")

    assert Decoded(example()).rows() == {
        ("python3", "worker 1", stack): 3,
        ("python3", "worker 2", stack): 2,
        ("python3", "worker 1", ("<module>", "[libc.so.6]")): 1,
        ("sh", "", ("[libc.so.6]",)): 2,
        ("sh", "", ()): 1,
    }


def test_messages_are_merged() -> None:
    twice = Decoded(example(), example())

    assert twice.rows() == {row: 2 * count for row, count in Decoded(example()).rows().items()}
    assert len(twice.columns["process.pid"]) == 2


def test_stacks_are_sorted_from_the_root_and_rows_by_thread() -> None:
    decoded = Decoded(example())
    steps, start = [], 0
    for length in decoded.columns["stack.length"]:
        steps.append(decoded.columns["step.frame"][start : start + length])
        start += length
    rows = decoded.row_columns()

    assert steps == sorted(steps)
    assert rows == sorted(rows)
    assert decoded.columns["thread.process"] == sorted(decoded.columns["thread.process"])


def test_time_frequency_and_unit_are_told() -> None:
    about = Decoded(example(), title="make test", lost=7).about

    assert (about["start"], about["end"]) == (START_NS // 10**6, END_NS // 10**6)
    assert (about["unit"], about["period_ns"]) == ("samples", 10_000_000)
    assert (about["title"], about["lost"], about["incomplete"]) == ("make test", 7, 0)


def test_nothing_is_told_of_nothing() -> None:
    decoded = Decoded()

    assert decoded.rows() == {}
    assert (decoded.about["start"], decoded.about["host"], decoded.about["lost"]) == (0, "", None)


def test_host_is_named_when_it_is_the_only_one() -> None:
    here, there = (one((), resource=Resource((("host.name", name),))) for name in ("here", "there"))

    assert Decoded(here).about["host"] == "here"
    assert Decoded(here, there).about["host"] == ""


def test_unit_of_another_sample_type_is_told() -> None:
    about = Decoded(one((), sample_type=SampleType("off_cpu", "nanoseconds"))).about

    assert (about["unit"], about["period_ns"]) == ("nanoseconds", 0)


def test_counts_beyond_32_bits_are_kept() -> None:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS)
    builder.add(Resource(()), SampleType("off_cpu", "nanoseconds"), (), values=(1 << 40,))

    assert Decoded(builder.build()).columns["row.count"] == [1 << 40]


def test_stacks_that_are_not_complete_are_counted() -> None:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS)
    builder.add(Resource(()), CPU, (named("a"),), (("otelprof.stack.outcome", "read_fault"),), values=(3,))
    builder.add(Resource(()), CPU, (named("b"),), values=(2,))

    assert Decoded(builder.build()).about["incomplete"] == 3


def test_frames_know_their_file_and_lines() -> None:
    decoded = Decoded(example())

    assert decoded.frame("write") == {
        "binary": "/usr/lib/libc.so.6",
        "type": "native",
        "source": "write.c",
        "line": 12,
        "line_end": 12,
        "inlined": 0,
        "category": "native",
    }
    assert decoded.frame("<module>")["category"] == "runtime"
    assert decoded.frame("do_syscall_64")["category"] == "kernel"
    assert decoded.frame("inner")["inlined"] == 1
    assert decoded.frame("outer")["inlined"] == 0


def test_lines_of_one_function_are_one_frame() -> None:
    function = Function("f", filename="f.c", start_line=1)
    frames = [Frame("native", line, None, (Line(function, line),)) for line in (30, 10, 20)]
    frame = Decoded(*(one((frame,)) for frame in frames)).frame("f")

    assert (frame["line"], frame["line_end"]) == (10, 30)


def test_function_without_a_sampled_line_tells_where_it_starts() -> None:
    frame = Decoded(one((named("f", filename="f.c", start_line=7),))).frame("f")

    assert (frame["line"], frame["line_end"]) == (7, 7)


def test_addresses_without_names_are_one_frame_of_their_binary() -> None:
    vdso = Mapping("[vdso]", build_id_gnu="aa")
    decoded = Decoded(one((Frame("native", 1, vdso), Frame("native", 2, vdso))))

    assert decoded.stacks() == [("[vdso]", "[vdso]")]
    assert len(decoded.columns["frame.name"]) == 1


def test_one_process_id_used_twice_is_two_processes() -> None:
    first, second = (
        one((), resource=Resource((("process.pid", 5), ("process.creation.time", time)))) for time in ("early", "late")
    )

    assert Decoded(first, second).columns["process.pid"] == [5, 5]
    assert Decoded(first, first).columns["process.pid"] == [5]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name", "plain name"),
        ("größe::メソッド", "größe::メソッド"),
        ("a\nb\0c\x1b[31m", "a\\u{a}b\\u{0}c\\u{1b}[31m"),
        ("exe\u202egpj.sh", "exe\\u{202e}gpj.sh"),
        ("\ufeffx\u200by", "\\u{feff}x\\u{200b}y"),
        ("\udcff", "\\u{dcff}"),
        ("x" * 5000, "x" * (MAX_NAME_CHARACTERS - 1) + "…"),
    ],
)
def test_text_shows_what_cannot_be_seen(text: str, shown: str) -> None:
    assert visible_text(text) == shown


numbers = st.integers(-(1 << 63), (1 << 63) - 1)


@given(numbers, numbers, numbers, numbers, numbers)
def test_any_number_of_a_file_is_taken(pid: int, tid: int, line: int, start_line: int, total: int) -> None:
    frame = Frame("", 0, None, (Line(Function("f", start_line=start_line), line),))
    owner = Resource((("process.pid", pid),))
    sample = ReadSample(owner, "", "", CPU, (frame,), (("thread.id", tid),), (total,), (), None, START_NS, 1)
    columns = make_payload([(sample, total)]).columns

    assert make_payload([(sample, total)]).encode()
    assert columns["row.count"] == ([total] if total > 0 else [])
    assert columns["process.pid"] == ([max(pid, 0)] if total > 0 else [])


names = st.text(min_size=1, max_size=5)
frames = st.builds(
    lambda kind, name, path: Frame(kind, 1, path and Mapping(path, build_id_gnu="aa"), (Line(Function(name)),)),
    st.sampled_from(["native", "kernel", "cpython", ""]),
    names,
    st.sampled_from([None, "/bin/a", "/bin/b"]),
)
samples = st.lists(
    st.tuples(st.integers(0, 3), st.lists(frames, max_size=6).map(tuple), st.integers(1, 5)), min_size=1, max_size=20
)


@given(samples)
def test_every_sample_is_in_one_row(given_samples: list[tuple[int, Stack, int]]) -> None:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS)
    expected: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for pid, stack, count in given_samples:
        builder.add(Resource((("process.pid", pid),)), replace(CPU_SAMPLES, period=1), stack, values=(count,))
        expected[pid, tuple(visible_text(frame.lines[0].function.name) for frame in reversed(stack))] += count
    decoded = Decoded(builder.build())
    stacks = decoded.stacks()
    counted: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for thread, stack_index, count in decoded.row_columns():
        process = decoded.columns["thread.process"][thread]
        counted[decoded.columns["process.pid"][process], stacks[stack_index]] += count

    assert counted == expected
