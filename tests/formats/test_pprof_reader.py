import gzip
import io
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile
from otelprof.formats import limits
from otelprof.formats.pprof_reader import from_pprof, read_pprof
from otelprof.formats.pprof_schema import Profile
from otelprof.formats.pprof_writer import to_pprof
from otelprof.model.reader import ReadSample, read_samples
from otelprof.model.stack import Frame, Function, Line, Mapping, SampleType
from tests.formats.messages import END_NS, START_NS, example


def read(data: bytes) -> ProfilesData:
    (message,) = read_pprof(io.BytesIO(data))
    return message


def samples(profile: Profile) -> list[ReadSample]:
    return list(read_samples(from_pprof(profile)))


def foreign() -> Profile:
    """Build a heap profile as another tool writes one."""
    profile = Profile(
        string_table=["", "objects", "count", "space", "bytes", "main", "a.go", "go/build", "k", "v", "f"]
    )
    profile.sample_type.add(type=1, unit=2)
    profile.sample_type.add(type=3, unit=4)
    profile.mapping.add(id=4, filename=6, build_id=7, memory_start=9, memory_limit=3)
    profile.function.add(id=9, name=5, system_name=5, filename=6)
    profile.location.add(id=7, mapping_id=4, address=1 << 63).line.add(function_id=9, line=3)
    sample = profile.sample.add(location_id=[7, 7], value=[2, 0])
    sample.label.add(key=8, str=9)
    sample.label.add(key=8, num=5)
    return profile


def test_each_sample_type_is_a_profile() -> None:
    count, space = samples(foreign())

    assert count.sample_type == SampleType("objects", "count")
    assert space.sample_type == SampleType("space", "bytes")
    assert (list(count.values), list(space.values)) == ([2], [0])
    assert count.stack == space.stack == (count.stack[0],) * 2
    assert count.attributes == (("k", ("v", 5)),)
    assert count.resource.attributes == ()


def test_frame_has_mapping_function_and_line() -> None:
    assert samples(foreign())[0].stack[0] == Frame(
        "kernel", 1 << 63, Mapping("a.go", build_id_go="go/build"), (Line(Function("main", "", "a.go"), 3),)
    )


def test_period_and_time_are_kept() -> None:
    sample = samples(to_pprof([example()]))[0]

    assert sample.sample_type == SampleType("samples", "count", "cpu", "nanoseconds", 10_000_000)
    assert (sample.start_ns, sample.duration_ns) == (START_NS, END_NS - START_NS)


def test_labels_of_process_and_thread_become_their_attributes() -> None:
    sample = samples(to_pprof([example()]))[0]

    assert dict(sample.resource.attributes) == {"process.pid": 71, "process.executable.name": "python3"}
    assert dict(sample.attributes) == {"thread.id": 72, "thread.name": "worker 1", "cpu.logical_number": 0}


def test_label_that_is_no_number_stays_a_text() -> None:
    profile = Profile(string_table=["", "process_id", "x", "thread id", "9" * 40])
    profile.sample_type.add()
    sample = profile.sample.add(value=[1])
    sample.label.add(key=1, str=2)
    sample.label.add(key=3, str=4)

    (read_back,) = samples(profile)

    assert read_back.resource.attributes == ()
    assert read_back.attributes == (("process_id", "x"), ("thread.id", "9" * 40))


def test_label_repeated_very_often_is_one_array() -> None:
    profile = Profile(string_table=["", "k"])
    profile.sample_type.add()
    sample = profile.sample.add(value=[1])
    for number in range(100_000):
        sample.label.add(key=1, num=number)

    assert samples(profile)[0].attributes == (("k", tuple(range(100_000))),)


def test_pprof_survives_the_way_there_and_back() -> None:
    once = to_pprof([example()])

    assert to_pprof([from_pprof(once)]) == once


def test_plain_and_compressed_files_are_read() -> None:
    data = foreign().SerializeToString()

    assert list(read_samples(read(data))) == list(read_samples(read(gzip.compress(data))))


def test_equal_profiles_give_equal_messages_with_ids_of_their_own() -> None:
    message, again, other = (from_pprof(profile) for profile in (foreign(), foreign(), to_pprof([example()])))

    assert message == again
    ids = ids_of(message) + ids_of(other)
    assert len(set(ids)) == len(ids) == 2 + 6
    assert {len(profile_id) for profile_id in ids} == {16}


def ids_of(message: ProfilesData) -> list[bytes]:
    return [
        profile.profile_id
        for resource_profiles in message.resource_profiles
        for scope_profiles in resource_profiles.scope_profiles
        for profile in scope_profiles.profiles
    ]


def damaged(change: Callable[[Profile], object]) -> Profile:
    profile = foreign()
    change(profile)
    return profile


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (damaged(lambda profile: profile.sample[0].value.append(1)), "a sample has 3 values for 2 sample types"),
        (damaged(lambda profile: profile.sample[0].location_id.append(1)), "there is no location with id 1"),
        (damaged(lambda profile: profile.location.add(mapping_id=1)), "there is no mapping with id 1"),
        (damaged(lambda profile: profile.location.add().line.add(function_id=1)), "there is no function with id 1"),
        (damaged(lambda profile: profile.function.add(name=-1)), "the string table has no entry -1, only 11"),
        (damaged(lambda profile: profile.function.add(filename=11)), "the string table has no entry 11"),
        (damaged(lambda profile: profile.sample[0].label.add()), "empty key"),
    ],
)
def test_damaged_profile_is_refused(profile: Profile, reason: str) -> None:
    with pytest.raises(BadProfile, match=reason):
        from_pprof(profile)


def test_damaged_file_is_refused() -> None:
    data = gzip.compress(foreign().SerializeToString())

    for broken in (data[:20], data[:-4], data[:30] + b"\xff" + data[31:], b"\x1f\x8b"):
        with pytest.raises(BadProfile, match="damaged gzip data"):
            read(broken)
    with pytest.raises(BadProfile, match="not a pprof profile"):
        read(b"\xff")


def test_file_that_unpacks_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(bytes(10_000))
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 5_000)

    with pytest.raises(BadProfile, match="larger than"):
        read(data)


@st.composite
def profiles(draw: st.DrawFn) -> bytes:
    """Serialise a profile with some bytes of it changed."""
    data = bytearray(to_pprof([example()]).SerializeToString())
    for position in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[position] = draw(st.integers(0, 255))
    return bytes(data)


@settings(deadline=None, max_examples=200)
@given(data=profiles() | st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        message = read(data)
    except BadProfile:
        return

    assert sum(len(sample.values) for sample in read_samples(message)) >= 0
