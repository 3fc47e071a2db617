"""Parts of a message say together what the whole said, each with no more dictionary than it needs."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.profiles.v1development.profiles_pb2 import (
    Function,
    KeyValueAndUnit,
    Line,
    Link,
    Location,
    Mapping,
    Profile,
    ProfilesData,
    ProfilesDictionary,
    Sample,
    Stack,
    ValueType,
)

from otelprof.errors import BadProfile
from otelprof.model.check import check
from otelprof.model.split import split
from tests.exporters.messages import batch

Event = tuple[object, ...]


def dictionary(size: int) -> ProfilesDictionary:
    """Tables of ``size`` rows and their zero rows; row i of one table refers to row i of the next."""
    rows = range(1, size + 1)
    names = [f"name {row}" for row in rows]
    return ProfilesDictionary(
        string_table=["", *names, "samples", "count"],
        attribute_table=[
            KeyValueAndUnit(),
            *(KeyValueAndUnit(key_strindex=row, value=AnyValue(int_value=row)) for row in rows),
        ],
        mapping_table=[
            Mapping(),
            *(Mapping(filename_strindex=row, memory_limit=row, attribute_indices=[row]) for row in rows),
        ],
        function_table=[Function(), *(Function(name_strindex=row, filename_strindex=size) for row in rows)],
        location_table=[
            Location(),
            *(
                Location(
                    mapping_index=row, address=row, lines=[Line(function_index=row, line=3)], attribute_indices=[1]
                )
                for row in rows
            ),
        ],
        stack_table=[Stack(), *(Stack(location_indices=[row, 1, size]) for row in rows)],
        link_table=[Link(), *(Link(trace_id=bytes([row % 256]) * 16, span_id=b"s" * 8) for row in rows)],
    )


def message(*, processes: int, profiles: int = 1, samples: int, events: int = 1, seed: int = 1) -> ProfilesData:
    choose = random.Random(seed)
    size = max(4, processes * samples // 3)
    data = ProfilesData(dictionary=dictionary(size))
    for pid in range(processes):
        resource = data.resource_profiles.add(schema_url="https://schema")
        resource.resource.attributes.add(key="process.pid", value=AnyValue(int_value=pid))
        for number in range(profiles):
            scope = resource.scope_profiles.add(schema_url="https://schema")
            scope.scope.name = f"scope {number}"
            profile = scope.profiles.add(
                sample_type=ValueType(type_strindex=size + 1, unit_strindex=size + 2),
                time_unix_nano=10,
                duration_nano=10,
                profile_id=bytes([pid, number]) * 8,
                attribute_indices=[2],
            )
            for _ in range(samples):
                profile.samples.add(
                    stack_index=choose.randint(1, size),
                    link_index=choose.randint(0, size),
                    attribute_indices=choose.sample(range(1, size + 1), 2),
                    timestamps_unix_nano=[choose.randint(10, 19) for _ in range(events)],
                )
    return data


def resolved(data: ProfilesData) -> Counter[Event]:
    """Every event with all it refers to; an independent, plain way to read a message."""
    return Counter(_events(data))


def _events(data: ProfilesData) -> Iterator[Event]:
    tables = data.dictionary
    strings = tables.string_table

    def attributes(indices: object) -> frozenset[object]:
        rows = [tables.attribute_table[index] for index in indices]  # type: ignore[attr-defined]
        return frozenset((strings[row.key_strindex], row.value.int_value, strings[row.unit_strindex]) for row in rows)

    def location(index: int) -> object:
        row = tables.location_table[index]
        mapping = tables.mapping_table[row.mapping_index]
        functions = [(tables.function_table[line.function_index], line.line) for line in row.lines]
        return (
            row.address,
            attributes(row.attribute_indices),
            (strings[mapping.filename_strindex], mapping.memory_limit, attributes(mapping.attribute_indices)),
            tuple((strings[it.name_strindex], strings[it.filename_strindex], line) for it, line in functions),
        )

    for resource in data.resource_profiles:
        for scope in resource.scope_profiles:
            for profile in scope.profiles:
                where = (
                    resource.resource.SerializeToString(),
                    resource.schema_url,
                    scope.scope.name,
                    scope.schema_url,
                    strings[profile.sample_type.type_strindex],
                    profile.HasField("period_type"),
                    profile.time_unix_nano,
                    attributes(profile.attribute_indices),
                )
                for sample in profile.samples:
                    stack = tuple(map(location, tables.stack_table[sample.stack_index].location_indices))
                    link = tables.link_table[sample.link_index].trace_id
                    for number, moment in enumerate(sample.timestamps_unix_nano):
                        value = sample.values[number] if sample.values else 1
                        yield (*where, stack, link, attributes(sample.attribute_indices), moment, value)


def parsed(payload: bytes, max_bytes: int) -> list[ProfilesData]:
    return [ProfilesData.FromString(part.payload) for part in split(payload, max_bytes)]


def profiles_of(data: ProfilesData) -> list[Profile]:
    return [
        profile
        for resource in data.resource_profiles
        for scope in resource.scope_profiles
        for profile in scope.profiles
    ]


@given(
    st.integers(1, 5), st.integers(1, 2), st.integers(1, 12), st.integers(1, 6), st.integers(1, 6000), st.integers(0, 9)
)
def test_parts_say_what_the_whole_said(
    processes: int, profiles: int, samples: int, events: int, max_bytes: int, seed: int
) -> None:
    whole = message(processes=processes, profiles=profiles, samples=samples, events=events, seed=seed)
    parts = split(whole.SerializeToString(), max_bytes)
    messages = [ProfilesData.FromString(part.payload) for part in parts]

    assert resolved(whole) == sum(map(resolved, messages), Counter())
    for part, data in zip(parts, messages, strict=True):
        assert part.sample_count == resolved(data).total() > 0
        assert len(part.payload) <= max_bytes or part.sample_count == 1
    assert parts == split(whole.SerializeToString(), max_bytes)


def test_a_small_message_stays_as_it_is() -> None:
    payload = message(processes=2, samples=3, events=2).SerializeToString()
    (part,) = split(payload, len(payload))

    assert payload == part.payload
    assert part.sample_count == 12


def test_processes_are_not_torn_apart_while_there_are_several() -> None:
    whole = message(processes=4, samples=100)
    parts = parsed(whole.SerializeToString(), whole.ByteSize() - 1)

    assert [len(part.resource_profiles) for part in parts] == [2, 2]
    assert [profile.profile_id for profile in profiles_of(whole)] == [
        profile.profile_id for part in parts for profile in profiles_of(part)
    ]


def test_a_dictionary_has_no_row_that_its_part_does_not_need() -> None:
    whole = message(processes=4, samples=100)
    for part in parsed(whole.SerializeToString(), whole.ByteSize() // 3):
        tables = part.dictionary
        samples = [sample for profile in profiles_of(part) for sample in profile.samples]
        stacks = {sample.stack_index for sample in samples}
        locations = {index for stack in tables.stack_table for index in stack.location_indices}

        assert sorted(stacks) == list(range(1, len(tables.stack_table)))
        assert sorted(locations) == list(range(1, len(tables.location_table)))
        assert len(set(tables.string_table)) == len(tables.string_table)
        assert not tables.string_table[0]
        for table in (tables.stack_table, tables.location_table, tables.link_table, tables.attribute_table):
            assert table[0].ByteSize() == 0


def test_pieces_of_one_profile_have_ids_of_their_own_that_are_always_the_same() -> None:
    whole = message(processes=1, samples=100)
    payload = whole.SerializeToString()
    ids = [profile.profile_id for part in parsed(payload, len(payload) // 3) for profile in profiles_of(part)]

    assert len(ids) > 2
    assert len(set(ids)) == len(ids)
    assert {len(profile_id) for profile_id in ids} == {16}
    assert profiles_of(whole)[0].profile_id not in ids
    assert ids == [profile.profile_id for part in parsed(payload, len(payload) // 3) for profile in profiles_of(part)]


def test_values_stay_with_their_timestamps() -> None:
    whole = message(processes=1, samples=1, events=1000)
    sample = profiles_of(whole)[0].samples[0]
    sample.values.extend(range(1000))
    payload = whole.SerializeToString()

    assert resolved(whole) == sum(map(resolved, parsed(payload, len(payload) // 5)), Counter())


def test_one_aggregate_is_never_cut_and_counts_its_value() -> None:
    whole = message(processes=1, samples=1)
    profiles_of(whole)[0].samples[0].CopyFrom(Sample(stack_index=1, values=[42]))
    (part,) = split(whole.SerializeToString(), 1)

    assert part.sample_count == 42
    assert part.payload == whole.SerializeToString()


def test_attributes_that_refer_to_the_dictionary_become_inline() -> None:
    whole = message(processes=2, samples=20)
    for resource in whole.resource_profiles:
        resource.resource.attributes.add(key_strindex=3, value=AnyValue(string_value_strindex=2))
        resource.scope_profiles[0].scope.attributes.add(key_strindex=4, value=AnyValue(string_value_strindex=1))
    parts = parsed(whole.SerializeToString(), whole.ByteSize() - 1)

    assert len(parts) == 2
    for part in parts:
        resource = part.resource_profiles[0]
        assert resource.resource.attributes[1] == KeyValue(key="name 3", value=AnyValue(string_value="name 2"))
        assert resource.scope_profiles[0].scope.attributes[0].key == "name 4"


@pytest.mark.parametrize("index", [-1, 10_000])
def test_an_index_out_of_range_is_a_bad_profile(index: int) -> None:
    whole = message(processes=2, samples=20)
    profiles_of(whole)[0].samples[3].stack_index = index

    with pytest.raises(BadProfile, match="stack_table has no row"):
        split(whole.SerializeToString(), 100)


def test_a_sample_type_out_of_range_is_a_bad_profile() -> None:
    whole = message(processes=1, samples=1)
    profiles_of(whole)[0].sample_type.unit_strindex = 10_000

    with pytest.raises(BadProfile, match="string_table has no row"):
        split(whole.SerializeToString(), whole.ByteSize())


def test_parts_keep_the_rules_of_otlp() -> None:
    window = batch(processes=3, samples=200)
    for part in split(window.payload, len(window.payload) // 10):
        assert check(part.payload) == []


def test_bytes_that_are_no_message_are_a_bad_profile() -> None:
    with pytest.raises(BadProfile):
        split(b"\xff\xff", 100)


@given(st.binary(max_size=300), st.integers(1, 100))
def test_any_bytes_are_split_or_a_bad_profile(payload: bytes, max_bytes: int) -> None:
    try:
        assert split(payload, max_bytes)
    except BadProfile as error:
        assert str(error)  # noqa: PT017 - either outcome is right
