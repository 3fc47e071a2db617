"""The same message has the same count in every format."""

import gzip
import io
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.formats.pprof_writer import to_pprof
from otelprof.formats.registry import FORMATS
from otelprof.formats.selection import read_displayed
from otelprof.formats.top import top_functions
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.reader import read_samples
from otelprof.model.stack import Attributes, Frame, Function, Line, Mapping, Resource
from tests.formats.messages import CPU, OFF_CPU, START_NS
from tests.formats.pprof_decoder import pprof_stacks

NAMES = st.text(max_size=4) | st.sampled_from(["main", "a;b", "_[k]", "[unknown]", "x\ny", "<script>"])
MAPPINGS = st.builds(
    Mapping, NAMES, st.just(0x1000), st.just(0x2000), build_id_gnu=st.sampled_from(["", "c0ffee", "beef"])
)
FRAMES = st.builds(
    Frame,
    st.sampled_from(["native", "kernel", "cpython", "abort-marker", ""]),
    st.integers(0, 2**64 - 1),
    st.none() | MAPPINGS,
    st.lists(st.builds(Line, st.builds(Function, NAMES, NAMES, NAMES)), max_size=2).map(tuple),
)
STACKS = st.lists(FRAMES, max_size=4).map(tuple)
RESOURCES = st.builds(
    lambda name, pid: Resource((("process.executable.name", name), ("process.pid", pid))), NAMES, st.integers(0, 2)
)
ATTRIBUTES: st.SearchStrategy[Attributes] = st.dictionaries(
    st.sampled_from(["thread.id", "thread.name", "cpu.logical_number", "thread id", "key"]),
    st.integers(0, 2) | NAMES | st.booleans() | st.binary(max_size=2) | st.just(("a", 1)),
    max_size=3,
).map(lambda attributes: tuple(attributes.items()))


@st.composite
def messages(draw: st.DrawFn) -> ProfilesData:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=START_NS + 10)
    stacks = draw(st.lists(STACKS, min_size=1, max_size=3))
    resources = draw(st.lists(RESOURCES, min_size=1, max_size=2))
    for _ in range(draw(st.integers(0, 6))):
        times = draw(st.lists(st.integers(START_NS - 3, START_NS + 20), max_size=3))
        values = (draw(st.integers(0, 5)),) if not times else ()
        builder.add(
            draw(st.sampled_from(resources)),
            draw(st.sampled_from([CPU, CPU, OFF_CPU])),
            draw(st.sampled_from(stacks)),
            draw(ATTRIBUTES),
            timestamps_ns=times,
            values=values,
        )
    return builder.build()


def totals(written: list[ProfilesData]) -> Counter[tuple[str, str]]:
    """Sum up each sample type by type and unit."""
    sums: Counter[tuple[str, str]] = Counter()
    for message in written:
        for sample in read_samples(message):
            sums[sample.sample_type.type, sample.sample_type.unit] += sample.total
    return sums


@settings(deadline=None, max_examples=100)
@given(written=st.lists(messages(), min_size=1, max_size=3))
def test_every_format_that_shows_one_sample_type_counts_the_same(written: list[ProfilesData]) -> None:
    sums = totals(written)
    expected = sums.get(("samples", "count"), sums["off_cpu", "nanoseconds"])

    assert top_functions(written, 5).total == expected
    for known in FORMATS:
        stream = io.BytesIO()
        known.write(stream, written)
        if known.reader:
            stream.seek(0)
            assert sum(total for _, total in read_displayed(known.read(stream))) == expected, known.name


@settings(deadline=None, max_examples=100)
@given(written=st.lists(messages(), min_size=1, max_size=3))
def test_pprof_counts_every_sample_type(written: list[ProfilesData]) -> None:
    profile = to_pprof(written)
    text = profile.string_table
    kinds = [(text[kind.type], text[kind.unit]) for kind in profile.sample_type]
    stacks = pprof_stacks(gzip.compress(profile.SerializeToString(), 1))

    expected = totals(written)
    if ("samples", "count") in expected:
        expected["cpu", "nanoseconds"] = expected["samples", "count"] * CPU.period
    for index, kind in enumerate(kinds):
        assert sum(values[index] for values in stacks.values()) == expected[kind], kind
    assert set(expected) <= set(kinds)
