from collections import Counter

import pytest
from hypothesis import given, settings

from otelprof.errors import BadProfile
from otelprof.model.check import check
from otelprof.model.layout import Profile, ProfilesData
from otelprof.model.merge import merge
from otelprof.model.reader import parse_profiles, read_samples
from otelprof.model.rules import Level
from otelprof.model.stack import Frame, Resource
from tests.model.garbage import payloads
from tests.model.strategies import CPU, START_NS, WINDOW_NS, Addition, build_message, message_lists
from tests.model.test_builder import MAIN, SHOP, tally

IDLE = Frame("kernel", 5)


def addition(start_ns: int, *, values: tuple[int, ...] = (), timed: bool = True) -> Addition:
    return Addition(SHOP, CPU, (MAIN, IDLE), (("thread.id", 1),), (start_ns,) if timed else (), values, None)


def window(number: int, **changes: object) -> ProfilesData:
    start_ns = START_NS + number * WINDOW_NS
    return build_message([addition(start_ns, **changes)], first_id=number + 1, start_ns=start_ns)  # type: ignore[arg-type]


def profiles(data: ProfilesData) -> list[Profile]:
    return [profile for r in data.resource_profiles for s in r.scope_profiles for profile in s.profiles]


@settings(max_examples=30)
@given(message_lists())
def test_totals_are_kept_and_the_result_is_conformant(messages: list[ProfilesData]) -> None:
    merged = merge(messages)

    assert tally(read_samples(merged)) == tally([sample for message in messages for sample in read_samples(message)])
    assert [breach for breach in check(merged) if breach.level is not Level.NOTICE] == []


@settings(max_examples=15)
@given(message_lists())
def test_equal_messages_give_equal_bytes(messages: list[ProfilesData]) -> None:
    copies = [ProfilesData.FromString(message.SerializeToString()) for message in messages]
    merged = merge(messages).SerializeToString()

    assert merged == merge(copies).SerializeToString()
    assert messages == copies


def test_windows_of_a_process_become_one_profile() -> None:
    merged = merge([window(0), window(2), window(1)])

    (profile,) = profiles(merged)
    (sample,) = profile.samples
    assert (profile.time_unix_nano, profile.duration_nano) == (START_NS, 3 * WINDOW_NS)
    assert list(sample.timestamps_unix_nano) == [START_NS, START_NS + 2 * WINDOW_NS, START_NS + WINDOW_NS]
    assert len(profile.profile_id) == 16


def test_ids_depend_on_all_sources() -> None:
    ids = {profiles(merge(messages))[0].profile_id for messages in ([window(0), window(1)], [window(0), window(2)])}

    assert len(ids) == 2
    assert profiles(merge([window(4)]))[0].profile_id == (5).to_bytes(16, "big")


@pytest.mark.parametrize("unusable", [b"", b"short", bytes(16)])
def test_profiles_without_usable_id_get_one(unusable: bytes) -> None:
    first, second = window(0), window(1)
    for profile in profiles(first) + profiles(second):
        profile.profile_id = unusable

    ids = [profiles(merge([message]))[0].profile_id for message in (first, second, first)]

    assert len(ids[0]) == 16
    assert any(ids[0])
    assert ids[0] == ids[2] != ids[1]


def test_profiles_of_one_message_without_id_get_different_ones() -> None:
    message = window(0)
    scope_profiles = message.resource_profiles[0].scope_profiles[0]
    for number in range(3):
        scope_profiles.profiles.add().CopyFrom(scope_profiles.profiles[0])
        scope_profiles.profiles[number + 1].period += 1 + number
    for profile in scope_profiles.profiles:
        profile.profile_id = b""

    assert len({profile.profile_id for profile in profiles(merge([message]))}) == 4


def test_mixed_shapes_become_profiles_with_ids_of_their_own() -> None:
    mixed = window(0)
    profiles(mixed)[0].samples.add(stack_index=1, values=[3])

    merged = merge([mixed])

    assert len({profile.profile_id for profile in profiles(merged)}) == 2
    assert sum(sample.count for sample in read_samples(merged)) == 4


def test_single_values_are_added_up() -> None:
    merged = merge([window(0, values=(3,), timed=False), window(1, values=(4,), timed=False)])

    assert [list(sample.values) for sample in profiles(merged)[0].samples] == [[7]]


def test_different_periods_scopes_and_schemas_stay_apart() -> None:
    period, scope, schema = window(1), window(2), window(3)
    profiles(period)[0].period += 1
    scope.resource_profiles[0].scope_profiles[0].scope.version = "other"
    schema.resource_profiles[0].schema_url = "other"

    assert len(profiles(merge([window(0), period, scope, schema]))) == 4


def test_keeps_what_plain_samples_do_not_hold() -> None:
    data = window(0)
    dictionary = data.dictionary
    row = len(dictionary.attribute_table)
    dictionary.string_table.extend(["size", "By"])
    dictionary.attribute_table.add(
        key_strindex=len(dictionary.string_table) - 2, unit_strindex=len(dictionary.string_table) - 1
    ).value.int_value = 5
    profile = profiles(data)[0]
    profile.attribute_indices.append(row)
    profile.samples[0].attribute_indices.append(row)
    dictionary.mapping_table[1].attribute_indices.append(row)
    profile.dropped_attributes_count = 2**32 - 1

    merged = merge([data, data])

    table = merged.dictionary.attribute_table
    units = [merged.dictionary.string_table[item.unit_strindex] for item in table]
    (kept,) = [index for index, unit in enumerate(units) if unit == "By"]
    (profile,) = profiles(merged)
    assert kept in profile.attribute_indices
    assert kept in profile.samples[0].attribute_indices
    assert kept in merged.dictionary.mapping_table[1].attribute_indices
    assert profile.dropped_attributes_count == 2**32 - 1


def test_rows_that_nobody_uses_are_left_out() -> None:
    data = window(0)
    data.dictionary.string_table.append("nobody")
    data.dictionary.stack_table.add(location_indices=[1])

    assert check(merge([data])) == check(window(0))


def test_references_become_inline() -> None:
    plain, referring = window(0), window(1)
    attributes = referring.resource_profiles[0].resource.attributes
    for item in attributes:
        strings = referring.dictionary.string_table
        strings.append(item.key)
        item.key_strindex = len(strings) - 1
        item.key = ""
    attributes.sort(key=lambda item: -item.key_strindex)
    plain_scope = plain.resource_profiles[0].scope_profiles[0].scope
    plain_scope.attributes.add(key="a").value.int_value = 1
    plain_scope.attributes.add(key="b").value.string_value = "main"
    scope = referring.resource_profiles[0].scope_profiles[0].scope
    main = list(referring.dictionary.string_table).index("main")
    scope.attributes.add(key="b").value.string_value_strindex = main
    scope.attributes.add(key="a").value.int_value = 1

    merged = merge([plain, referring])

    assert len(profiles(merged)) == 1
    assert Counter(item.key for item in merged.resource_profiles[0].resource.attributes) == Counter(
        key for key, _ in SHOP.attributes
    )


def test_references_in_the_attribute_table_become_inline() -> None:
    plain, referring = window(0), window(1)
    for data in (plain, referring):
        data.dictionary.string_table.append("key")
        row = data.dictionary.attribute_table.add(key_strindex=len(data.dictionary.string_table) - 1)
        row.value.string_value = "main"
        profiles(data)[0].samples[0].attribute_indices.append(len(data.dictionary.attribute_table) - 1)
    row.value.string_value_strindex = list(referring.dictionary.string_table).index("main")

    assert len(profiles(merge([plain, referring]))[0].samples) == 1


def test_attributes_that_are_not_set_are_left_out() -> None:
    data = window(0)
    profiles(data)[0].samples[0].attribute_indices.append(0)

    assert merge([data]) == merge([window(0)])


def test_profiles_without_samples_and_no_messages_leave_nothing() -> None:
    empty = window(0)
    del profiles(empty)[0].samples[:]

    assert not merge([empty]).resource_profiles
    assert not merge([]).resource_profiles


def test_starts_that_are_not_set_do_not_count() -> None:
    unset = window(0)
    profiles(unset)[0].time_unix_nano = 0

    assert profiles(merge([unset, window(1)]))[0].time_unix_nano == START_NS + WINDOW_NS


@pytest.mark.parametrize("field", ["stack_index", "link_index"])
def test_indices_that_point_nowhere_are_refused(field: str) -> None:
    data = window(0)
    setattr(profiles(data)[0].samples[0], field, 99)

    with pytest.raises(BadProfile, match="has no row 99"):
        merge([data])


def test_sums_and_windows_that_do_not_fit_are_refused() -> None:
    big = window(0, values=(2**63 - 1,), timed=False)
    with pytest.raises(BadProfile, match="does not fit into 64 bits"):
        merge([big, big])

    late = window(0)
    profiles(late)[0].duration_nano = 2**64 - 1
    with pytest.raises(BadProfile, match="ends beyond"):
        merge([late])


def test_links_are_merged_by_value() -> None:
    first, second = window(0), window(1)
    for data in (first, second):
        data.dictionary.link_table.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
        data.dictionary.link_table.add(trace_id=bytes(16), span_id=bytes(8))
        profiles(data)[0].samples[0].link_index = 1
        profiles(data)[0].samples.add(stack_index=1, link_index=2, timestamps_unix_nano=[START_NS])

    merged = merge([first, second])

    assert len(merged.dictionary.link_table) == 2
    assert sorted(sample.link_index for sample in profiles(merged)[0].samples) == [0, 1]


@settings(max_examples=40)
@given(payloads())
def test_garbage_is_merged_or_refused(payload: bytes) -> None:
    try:
        merged = merge([parse_profiles(payload)] * 2)
    except BadProfile:
        return

    assert merged.dictionary.string_table[0] == ""


def test_resource_order_does_not_matter() -> None:
    other = Addition(Resource(SHOP.attributes[::-1]), CPU, (MAIN,), (), (START_NS,), (), None)

    assert len(merge([window(0), build_message([other])]).resource_profiles) == 1
