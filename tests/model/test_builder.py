from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelprof.errors import BadSample
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.check import check
from otelprof.model.layout import ProfilesData
from otelprof.model.link import Link
from otelprof.model.reader import ReadSample, read_samples
from otelprof.model.rules import Level
from otelprof.model.stack import (
    CPU_SAMPLES,
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
from tests.model.strategies import (
    CPU,
    OFF_CPU,
    START_NS,
    WINDOW_NS,
    Addition,
    addition_lists,
    build_message,
)

SHOP = Resource((("service.name", "shop"), ("process.pid", 7)))
MAIN = Frame("native", 0x2000, Mapping("/bin/shop", 0x1000, 0x9000, 0, build_id_gnu="ab"), (Line(Function("main"), 3),))
IDLE = Frame("kernel", 0xFFFF_8000_0000_1000)


def new_builder() -> ProfilesBuilder:
    ids = iter(range(1, 1000))
    return ProfilesBuilder(
        start_ns=START_NS, end_ns=START_NS + WINDOW_NS, id_source=lambda: next(ids).to_bytes(16, "big")
    )


def build_one(stack: Stack = (MAIN,), attributes: Attributes = (), resource: Resource = SHOP) -> ProfilesData:
    builder = new_builder()
    builder.add(resource, CPU, stack, attributes, timestamps_ns=(START_NS,))
    return builder.build()


def read_one(data: ProfilesData) -> ReadSample:
    (sample,) = read_samples(data)
    return sample


def identity(sample: Addition | ReadSample) -> object:
    # repr tells True from 1 and 0.0 from -0.0, which are equal keys.
    return (
        frozenset((key, repr(value)) for key, value in sample.resource.attributes),
        sample.sample_type,
        (bool(sample.values), bool(sample.timestamps_ns)),
        sample.stack,
        frozenset((key, repr(value)) for key, value in sample.attributes),
        sample.link,
    )


def events(samples: Iterable[Addition | ReadSample]) -> Iterator[tuple[object, int, int]]:
    """Yield identity, time and value of each event; a value without time has time 0."""
    for sample in samples:
        key = identity(sample)
        if not sample.timestamps_ns:
            yield key, 0, sample.values[0]
        for position, time in enumerate(sample.timestamps_ns):
            yield key, time, sample.values[position] if sample.values else 1


def tally(samples: Iterable[Addition | ReadSample]) -> Counter[tuple[object, int, int]]:
    """Count events; values without time are added up."""
    counted: Counter[tuple[object, int, int]] = Counter()
    sums: Counter[object] = Counter()
    for key, time, value in events(samples):
        if time:
            counted[key, time, value] += 1
        else:
            sums[key] += value
    counted.update((key, 0, total) for key, total in sums.items())
    return counted


@settings(max_examples=30)
@given(addition_lists())
def test_reads_back_what_was_added(samples: list[Addition]) -> None:
    data = build_message(samples)

    assert tally(samples) == tally(read_samples(data))


@settings(max_examples=30)
@given(addition_lists())
def test_result_is_conformant(samples: list[Addition]) -> None:
    breaches = check(build_message(samples))

    assert [breach for breach in breaches if breach.level is not Level.NOTICE] == []


@settings(max_examples=30)
@given(addition_lists())
def test_equal_objects_give_the_same_bytes_as_same_objects(samples: list[Addition]) -> None:
    def clone(frame: Frame) -> Frame:
        mapping = frame.mapping and replace(frame.mapping)
        lines = tuple(replace(line, function=replace(line.function)) for line in frame.lines)
        return replace(frame, mapping=mapping, lines=lines)

    fresh = [
        replace(
            sample,
            resource=replace(sample.resource),
            sample_type=replace(sample.sample_type),
            stack=tuple(clone(frame) for frame in sample.stack),
            attributes=tuple([(key, value) for key, value in sample.attributes]),
        )
        for sample in samples
    ]

    assert build_message(samples).SerializeToString() == build_message(fresh).SerializeToString()


def test_temporary_objects_are_not_mistaken_for_each_other() -> None:
    builder = new_builder()
    for number in range(200):
        # Without a reference to it, the next stack would often get the same id().
        builder.add(
            Resource((("service.name", f"s{number % 3}"),)),
            replace(CPU),
            (Frame("kernel", 1 + number),),
            (("n", number),),
            timestamps_ns=(START_NS,),
        )

    read = {
        (sample.resource.attributes[0][1], sample.stack[0].address, dict(sample.attributes)["n"])
        for sample in read_samples(builder.build())
    }

    assert read == {(f"s{number % 3}", 1 + number, number) for number in range(200)}


def test_one_profile_per_resource_and_sample_type_in_one_window() -> None:
    other = Resource((("service.name", "other"),))
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS + 1,))
    builder.add(SHOP, OFF_CPU, (MAIN,), timestamps_ns=(START_NS - 5,), values=(9,))
    builder.add(other, CPU, (IDLE,), timestamps_ns=(START_NS + WINDOW_NS,))
    builder.add(SHOP, CPU, (IDLE,), timestamps_ns=(START_NS + 2,))

    data = builder.build()

    assert [len(r.scope_profiles[0].profiles) for r in data.resource_profiles] == [2, 1]
    windows = {
        (p.time_unix_nano, p.duration_nano) for r in data.resource_profiles for p in r.scope_profiles[0].profiles
    }
    assert {(START_NS - 5, WINDOW_NS + 6)} == windows


def test_shapes_of_one_type_become_profiles_of_their_own() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS,))
    builder.add(SHOP, CPU, (MAIN,), values=(5,))

    data = builder.build()

    assert len(data.resource_profiles[0].scope_profiles[0].profiles) == 2
    assert check(data)[1:] == []


def test_equal_identities_are_merged() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), (("a", 1), ("b", 2)), timestamps_ns=(START_NS + 1,))
    builder.add(SHOP, CPU, (MAIN,), (("b", 2), ("a", 1)), timestamps_ns=(START_NS + 3, START_NS + 2))
    builder.add(SHOP, OFF_CPU, (MAIN,), values=(3,))
    builder.add(SHOP, OFF_CPU, (MAIN,), values=(4,))

    cpu, off_cpu = read_samples(builder.build())

    assert cpu.timestamps_ns == (START_NS + 1, START_NS + 3, START_NS + 2)
    assert off_cpu.values == (7,)


def test_values_that_python_holds_equal_stay_apart() -> None:
    values: list[AttributeValue] = [1, True, 1.0, 0.0, -0.0, "1", b"1", (1,), (True,)]
    builder = new_builder()
    for value in values:
        builder.add(SHOP, CPU, (MAIN,), (("k", value),), timestamps_ns=(START_NS,))

    read = [repr(sample.attributes[0][1]) for sample in read_samples(builder.build())]

    assert [repr(value) for value in values] == read


def test_resources_that_differ_in_order_only_are_one() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS,))
    builder.add(Resource(SHOP.attributes[::-1]), CPU, (MAIN,), timestamps_ns=(START_NS,))

    assert len(builder.build().resource_profiles) == 1


def test_mapping_without_build_id_leaves_its_path() -> None:
    mapping = Mapping("/tmp/a.out", 0x1000, 0x2000)
    data = build_one((Frame("native", 0x1500, mapping), Frame("native", 0x1600, mapping, (Line(Function("f")),))))

    bare, named = read_one(data).stack

    assert check(data) == []
    assert Frame("native", 0x1500, None, (Line(Function("", filename="/tmp/a.out")),)) == bare
    assert Frame("native", 0x1600, None, (Line(Function("f")),)) == named


def test_lines_of_nameless_functions_are_left_out() -> None:
    data = build_one((replace(MAIN, lines=(Line(Function("", start_line=4), 5), Line(Function("f")))),))

    assert (Line(Function("f")),) == read_one(data).stack[0].lines


def test_text_that_is_not_utf8_is_replaced() -> None:
    bad = "caf\udce9"
    frame = Frame("native", 0x2000, Mapping(bad, build_id_gnu="ab"), (Line(Function(bad, bad, bad)),))
    attributes: Attributes = (("thread.name", bad), ("k", (bad,)))

    sample = read_one(build_one((frame,), attributes, Resource((("service.name", bad),))))

    assert sample.resource.attributes[0][1] == "caf\ufffd"
    assert sample.stack[0].lines[0].function.name == "caf\ufffd"
    assert dict(sample.attributes) == {"thread.name": "caf\ufffd", "k": ("caf\ufffd",)}


def test_texts_that_become_equal_are_one_row() -> None:
    builder = new_builder()
    for bad in ("a\udc80", "a\udc81", "a\ufffd"):
        frame = replace(MAIN, lines=(Line(Function(bad)),))
        builder.add(SHOP, CPU, (frame,), (("k", bad),), timestamps_ns=(START_NS,))

    data = builder.build()

    assert read_one(data).count == 3
    assert [breach for breach in check(data) if breach.level is not Level.NOTICE] == []


def test_period_types_are_sent_with_a_period_only() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU_SAMPLES, (MAIN,), timestamps_ns=(START_NS,))

    assert SampleType("samples", "count") == read_one(builder.build()).sample_type


@pytest.mark.parametrize(
    "frame",
    [
        Frame("kernel", 2**64),
        Frame("kernel", -1),
        Frame("native", 1, Mapping("x", 5, 2**64, build_id_gnu="ab")),
        Frame("native", 1, Mapping("x", 5, 5, build_id_gnu="ab")),
        Frame("native", 1, Mapping("x", 0, 0, -1, build_id_gnu="ab")),
        Frame("cpython", 0, None, (Line(Function("f"), -1),)),
        Frame("cpython", 0, None, (Line(Function("f"), 1, 2**63),)),
        Frame("cpython", 0, None, (Line(Function("f", start_line=-1)),)),
    ],
    ids=repr,
)
def test_frames_out_of_range_are_refused_and_leave_nothing(frame: Frame) -> None:
    builder = new_builder()
    with pytest.raises(BadSample):
        builder.add(SHOP, CPU, (Frame("kernel", 77), frame), (("k", "v"),), timestamps_ns=(START_NS + 2 * WINDOW_NS,))
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS,))

    assert build_one().SerializeToString() == builder.build().SerializeToString()


@pytest.mark.parametrize(
    "attributes",
    [
        (("k", 1), ("k", 2)),
        (("k\ud800", 1), ("k\ud801", 2)),
        (("", 1),),
        (("code.function.name", "f"),),
        (("k", 2**63),),
        (("k", ((((((((((((((((((1,),),),),),),),),),),),),),),),),),)),),
    ],
    ids=str,
)
def test_attributes_that_may_not_be_sent_are_refused_and_leave_nothing(attributes: Attributes) -> None:
    builder = new_builder()
    with pytest.raises(BadSample):
        builder.add(SHOP, CPU, (IDLE,), attributes, timestamps_ns=(START_NS,))
    with pytest.raises(BadSample):
        builder.add(Resource(attributes), CPU, (IDLE,), timestamps_ns=(START_NS,))
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS,))

    assert build_one().SerializeToString() == builder.build().SerializeToString()


def test_repeated_keys_are_refused_when_each_attribute_is_known() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), (("k", 1),), timestamps_ns=(START_NS,))
    builder.add(SHOP, CPU, (MAIN,), (("k", 2),), timestamps_ns=(START_NS,))

    builder.add(SHOP, CPU, (MAIN,), (("k\udc80", 1),), timestamps_ns=(START_NS,))
    builder.add(SHOP, CPU, (MAIN,), (("k\udc81", 2),), timestamps_ns=(START_NS,))

    with pytest.raises(BadSample, match="'k' is given twice"):
        builder.add(SHOP, CPU, (MAIN,), (("k", 1), ("k", 2)), timestamps_ns=(START_NS,))
    with pytest.raises(BadSample, match="'k\ufffd' is given twice"):
        builder.add(SHOP, CPU, (MAIN,), (("k\udc80", 1), ("k\udc81", 2)), timestamps_ns=(START_NS,))


@pytest.mark.parametrize(
    ("values", "timestamps_ns"),
    [
        ((), ()),
        ((1, 2), ()),
        ((1, 2), (START_NS,)),
        ((), (-1,)),
        ((), (2**64 - 1,)),
        ((2**63,), ()),
        ((-(2**63) - 1,), ()),
    ],
)
def test_events_that_do_not_fit_are_refused(values: tuple[int, ...], timestamps_ns: tuple[int, ...]) -> None:
    builder = new_builder()
    with pytest.raises(BadSample):
        builder.add(SHOP, CPU, (MAIN,), values=values, timestamps_ns=timestamps_ns)

    assert not builder.build().resource_profiles


def test_sums_that_do_not_fit_are_refused_and_change_nothing() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), values=(2**63 - 1,))
    with pytest.raises(BadSample):
        builder.add(SHOP, CPU, (MAIN,), values=(1,))

    assert read_one(builder.build()).values == (2**63 - 1,)


def test_periods_that_do_not_fit_are_refused_and_leave_nothing() -> None:
    builder = new_builder()
    with pytest.raises(BadSample, match="period"):
        builder.add(SHOP, replace(CPU, period=2**63), (IDLE,), timestamps_ns=(START_NS,))

    assert builder.build() == new_builder().build()


def test_window_must_fit() -> None:
    with pytest.raises(BadSample, match="window start"):
        ProfilesBuilder(start_ns=2, end_ns=1)
    with pytest.raises(BadSample, match="window end"):
        ProfilesBuilder(start_ns=2, end_ns=2**64)


def test_builder_is_empty_after_build() -> None:
    builder = new_builder()
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS,))
    first = builder.build()

    assert read_one(first).count == 1
    assert not builder.build().resource_profiles


def test_profile_ids_differ() -> None:
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=START_NS + 1)
    builder.add(SHOP, CPU, (MAIN,), timestamps_ns=(START_NS,))
    builder.add(SHOP, OFF_CPU, (MAIN,), values=(1,))

    ids = {profile.profile_id for profile in builder.build().resource_profiles[0].scope_profiles[0].profiles}

    assert [len(profile_id) for profile_id in ids] == [16, 16]


@given(st.binary(max_size=20), st.binary(max_size=10))
def test_links_have_lengths_and_bits(trace_id: bytes, span_id: bytes) -> None:
    good = len(trace_id) == 16 and len(span_id) == 8 and any(trace_id + span_id)
    if good:
        assert Link(trace_id, span_id).trace_id == trace_id
    else:
        with pytest.raises(BadSample):
            Link(trace_id, span_id)


def test_stacks_and_attributes_may_be_lists() -> None:
    stack, attributes = [MAIN], [("k", 1)]
    builder = new_builder()
    builder.add(SHOP, CPU, stack, attributes, timestamps_ns=(START_NS,))  # type: ignore[arg-type]
    stack[0], attributes[0] = IDLE, ("k", 2)
    builder.add(SHOP, CPU, stack, attributes, timestamps_ns=(START_NS,))  # type: ignore[arg-type]

    assert [sample.stack for sample in read_samples(builder.build())] == [(MAIN,), (IDLE,)]
