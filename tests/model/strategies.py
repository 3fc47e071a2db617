"""Hypothesis strategies for plain stacks, samples and whole messages; the formats use them too."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from otelprof.model.builder import ProfilesBuilder
from otelprof.model.layout import ProfilesData
from otelprof.model.link import Link
from otelprof.model.stack import (
    Attributes,
    AttributeValue,
    Frame,
    Function,
    Line,
    Mapping,
    Resource,
    SampleType,
    Stack,
)

START_NS = 1_700_000_000_000_000_000
WINDOW_NS = 5_000_000_000

CPU = SampleType("samples", "count", "cpu", "nanoseconds", 52_631_578)
OFF_CPU = SampleType("off_cpu", "nanoseconds")
ALLOCATED = SampleType("alloc_space", "bytes", "space", "bytes", 524_288)


@dataclass(frozen=True)
class Addition:
    """The arguments of one ``ProfilesBuilder.add``."""

    resource: Resource
    sample_type: SampleType
    stack: Stack
    attributes: Attributes
    timestamps_ns: tuple[int, ...]
    values: tuple[int, ...]
    link: Link | None


# Drawn from few values: a message needs hundreds of texts, and equal ones are where mistakes hide.

_TEXTS = ("main", "a", "a\0b", "café", "std::vector<int>", "x; y", "\u2028\n", "🔥", "c:\\windows")


def texts(*, min_size: int = 0) -> SearchStrategy[str]:
    """Text that UTF-8 can hold."""
    return st.sampled_from(_TEXTS if min_size else ("", *_TEXTS))


def hex_digits(length: int) -> SearchStrategy[str]:
    """Hex in lower case."""
    return st.sampled_from([digit * length for digit in "0a7"])


def mappings() -> SearchStrategy[Mapping]:
    """Mappings with at least one build id; addresses from 0x1000 to 0x10000 are inside their ranges."""
    return st.builds(
        Mapping,
        path=texts(min_size=1),
        memory_start=st.sampled_from([0, 0x1000]),
        memory_limit=st.sampled_from([0x10000, 2**64 - 1]),
        file_offset=st.sampled_from([0, 0x1000, 2**64 - 1]),
        build_id_gnu=st.sampled_from(["", "ab12"]) | hex_digits(40),
        build_id_go=st.sampled_from(["", "go-id/1"]),
        build_id_htlhash=hex_digits(32),
    )


def functions() -> SearchStrategy[Function]:
    """Functions with at least a name."""
    return st.builds(
        Function,
        name=texts(min_size=1),
        system_name=texts(),
        filename=texts(),
        start_line=st.sampled_from([0, 1, 2**63 - 1]),
    )


def lines() -> SearchStrategy[Line]:
    """Lines of named functions."""
    return st.builds(Line, functions(), line=st.integers(0, 100), column=st.sampled_from([0, 1, 2**63 - 1]))


def frames() -> SearchStrategy[Frame]:
    """Frames that can be told apart: native ones with a mapping, kernel ones, and interpreted ones."""
    native = st.builds(
        Frame,
        type=st.sampled_from(["native", "go", "rust"]),
        address=st.integers(0x1000, 0x10000),
        mapping=mappings(),
        lines=st.lists(lines(), max_size=2).map(tuple),
    )
    kernel = st.builds(Frame, type=st.just("kernel"), address=st.integers(1, 2**64 - 1))
    interpreted = st.builds(
        Frame, type=st.sampled_from(["cpython", "jvm", ""]), lines=st.lists(lines(), min_size=1, max_size=2).map(tuple)
    )
    return native | kernel | interpreted


def stacks() -> SearchStrategy[Stack]:
    """Stacks that are not empty."""
    return st.lists(frames(), min_size=1, max_size=4).map(tuple)


def attribute_values() -> SearchStrategy[AttributeValue]:
    """Values that are bounded, so no floats."""
    plain = texts() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=4)
    return plain | st.lists(plain, max_size=3).map(tuple)


def sample_attributes() -> SearchStrategy[Attributes]:
    """Attributes of samples, in any order."""
    known = st.fixed_dictionaries(
        {},
        optional={
            "thread.id": st.integers(1, 5),
            "thread.name": texts(min_size=1),
            "cpu.logical_number": st.integers(0, 1),
            "extra": attribute_values(),
            "other": attribute_values(),
        },
    )
    return known.flatmap(lambda items: st.permutations(list(items.items()))).map(_attributes)


def _attributes(items: Iterable[tuple[str, Any]]) -> Attributes:
    return tuple(items)


def resources() -> SearchStrategy[Resource]:
    """Resources with a service name."""
    attributes = st.fixed_dictionaries(
        {"service.name": texts(min_size=1)},
        optional={
            "process.pid": st.integers(1, 2**22),
            "process.executable.name": texts(),
            "extra": attribute_values(),
        },
    )
    return attributes.map(lambda items: Resource(_attributes(items.items())))


def links() -> SearchStrategy[Link]:
    """Links that are not all zero."""
    return st.sampled_from([Link(bytes(15) + b"\1", bytes(8)), Link(bytes(16), b"\2" * 8), Link(b"\3" * 16, b"\4" * 8)])


def timestamps(count: int) -> SearchStrategy[tuple[int, ...]]:
    """Times around the window, some before and some after it."""
    return st.lists(st.integers(START_NS - WINDOW_NS, START_NS + 2 * WINDOW_NS), min_size=count, max_size=count).map(
        tuple
    )


@st.composite
def additions(draw: DrawFn, *, resource: SearchStrategy[Resource], stack: SearchStrategy[Stack]) -> Addition:
    """Samples of all shapes and types."""
    sample_type = draw(st.sampled_from([CPU, OFF_CPU, ALLOCATED]))
    count = draw(st.integers(1, 3))
    shape = draw(st.sampled_from(["timestamps", "value", "pairs"]))
    values: tuple[int, ...] = ()
    times: tuple[int, ...] = ()
    if shape != "timestamps":
        size = 1 if shape == "value" else count
        values = draw(st.lists(st.integers(0, 2**40), min_size=size, max_size=size).map(tuple))
    if shape != "value":
        times = draw(timestamps(count))
    return Addition(
        draw(resource),
        sample_type,
        draw(stack),
        draw(sample_attributes()),
        times,
        values,
        draw(st.none() | links()),
    )


@st.composite
def addition_lists(draw: DrawFn, *, min_size: int = 1, max_size: int = 12) -> list[Addition]:
    """Samples of few processes and stacks, so that some of them are equal."""
    resource = st.sampled_from(draw(st.lists(resources(), min_size=1, max_size=3)))
    stack = st.sampled_from(draw(st.lists(stacks(), min_size=1, max_size=4)))
    return draw(st.lists(additions(resource=resource, stack=stack), min_size=min_size, max_size=max_size))


def build_message(samples: Iterable[Addition], *, first_id: int = 1, start_ns: int = START_NS) -> ProfilesData:
    """Build a message of these samples; profile ids count up from ``first_id``."""
    ids = iter(range(first_id, first_id + 10_000))
    builder = ProfilesBuilder(
        start_ns=start_ns, end_ns=start_ns + WINDOW_NS, id_source=lambda: next(ids).to_bytes(16, "big")
    )
    for sample in samples:
        builder.add(
            sample.resource,
            sample.sample_type,
            sample.stack,
            sample.attributes,
            timestamps_ns=sample.timestamps_ns,
            values=sample.values,
            link=sample.link,
        )
    return builder.build()


def messages() -> SearchStrategy[ProfilesData]:
    """Conformant messages."""
    return addition_lists().map(build_message)


def message_lists(*, max_size: int = 4) -> SearchStrategy[list[ProfilesData]]:
    """Conformant messages of one stream, each with ids of its own; stacks and processes come again."""

    @st.composite
    def build(draw: DrawFn) -> list[ProfilesData]:
        resource = st.sampled_from(draw(st.lists(resources(), min_size=1, max_size=2)))
        stack = st.sampled_from(draw(st.lists(stacks(), min_size=1, max_size=3)))
        samples = st.lists(additions(resource=resource, stack=stack), min_size=1, max_size=6)
        count = draw(st.integers(1, max_size))
        return [
            build_message(draw(samples), first_id=1 + 100 * number, start_ns=START_NS + number * WINDOW_NS)
            for number in range(count)
        ]

    return build()
