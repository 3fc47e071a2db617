"""Cutting a message into several that a receiver is willing to take.

A message is halved, and its halves again, until each is small enough: between processes while there are
several, then between profiles, samples, and at last between the events of one sample. Each part carries the
rows of the dictionary that it needs and no others. The same message is always cut into the same parts.
"""

import hashlib
from collections.abc import Callable, Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.profiles.v1development.profiles_pb2 import (
    Function,
    KeyValueAndUnit,
    Location,
    Mapping,
    Stack,
    ValueType,
)

from otelprof.errors import BadProfile
from otelprof.model.layout import (
    AnyValue,
    KeyValue,
    Profile,
    ProfilesData,
    ProfilesDictionary,
    ResourceProfiles,
    Sample,
)

__all__ = ("Part", "split")


@dataclass(frozen=True, slots=True)
class Part:
    """A serialised ``ProfilesData`` and the number of samples in it.

    A timestamp is one sample, as is each unit of a value that counts (``count``) or a value of another unit.
    """

    payload: bytes
    sample_count: int


def split(payload: bytes, max_bytes: int) -> list[Part]:
    """Cut a serialised ``ProfilesData`` into parts of at most ``max_bytes``, in order; at least one.

    A part that holds a single event is not cut further and may be larger. Profiles keep their id, save
    those that are cut themselves: each of their pieces gets an id derived from it, so that a receiver which
    drops doubles by id drops neither. Raises BadProfile.
    """
    try:
        data = ProfilesData.FromString(payload)
    except DecodeError as error:
        raise BadProfile(f"this is not an OTLP profiles message: {error}") from error
    parts = []
    todo = [data]
    while todo:
        message = todo.pop()
        encoded = message.SerializeToString()
        halves = _halve(message.resource_profiles) if len(encoded) > max_bytes else None
        if halves is None:
            parts.append(Part(encoded, _count(message)))
        else:
            todo += (_with_own_dictionary(half, message.dictionary) for half in reversed(halves))
    return parts


def _count(data: ProfilesData) -> int:
    strings = data.dictionary.string_table
    count = 0
    for _, profile in _profiles(data.resource_profiles):
        counts = strings[profile.sample_type.unit_strindex] == "count" if strings else False
        for sample in profile.samples:
            count += len(sample.timestamps_unix_nano) or (sum(sample.values) if counts else len(sample.values))
    return count


def _profiles(resources: Iterable[ResourceProfiles]) -> list[tuple[int, Profile]]:
    """Every profile with the index of its scope within the resource."""
    return [
        (index, profile)
        for resource in resources
        for index, scope in enumerate(resource.scope_profiles)
        for profile in scope.profiles
    ]


# Halving: indices still refer to the dictionary of the whole.

Halves = tuple[list[ResourceProfiles], list[ResourceProfiles]]


def _halve(resources: Sequence[ResourceProfiles]) -> Halves | None:
    if len(resources) > 1:
        cut = _middle(resources)
        return list(resources[:cut]), list(resources[cut:])
    profiles = _profiles(resources)
    if len(profiles) > 1:
        cut = _middle([profile for _, profile in profiles])
        return [_with_profiles(resources[0], profiles[:cut])], [_with_profiles(resources[0], profiles[cut:])]
    if not profiles:
        return None
    ((scope, profile),) = profiles
    cut_profiles = _halve_profile(profile)
    if cut_profiles is None:
        return None
    first, second = cut_profiles
    return [_with_profiles(resources[0], [(scope, first)])], [_with_profiles(resources[0], [(scope, second)])]


def _middle(messages: Sequence[Message]) -> int:
    """Where a cut leaves about the same size on both sides; neither is empty."""
    sums = list(accumulate(message.ByteSize() for message in messages))
    return min(range(1, len(sums)), key=lambda cut: abs(2 * sums[cut - 1] - sums[-1]))


def _with_profiles(resource: ResourceProfiles, profiles: Sequence[tuple[int, Profile]]) -> ResourceProfiles:
    """Copy a resource with some of its profiles, and without the scopes that have none."""
    copy = ResourceProfiles()
    copy.CopyFrom(resource)
    del copy.scope_profiles[:]
    for index, scope in enumerate(resource.scope_profiles):
        kept = [profile for owner, profile in profiles if owner == index]
        if kept:
            scope_copy = copy.scope_profiles.add()
            scope_copy.CopyFrom(scope)
            del scope_copy.profiles[:]
            scope_copy.profiles.extend(kept)
    return copy


def _halve_profile(profile: Profile) -> tuple[Profile, Profile] | None:
    first, second = Profile(), Profile()
    for number, half in enumerate((first, second)):
        half.CopyFrom(profile)
        if profile.profile_id:
            half.profile_id = hashlib.blake2b(profile.profile_id, digest_size=16, salt=bytes([number])).digest()
    if len(profile.samples) > 1:
        cut = _middle(profile.samples)
        del first.samples[cut:]
        del second.samples[:cut]
        return first, second
    if not profile.samples or len(profile.samples[0].timestamps_unix_nano) < 2:
        return None
    cut = len(profile.samples[0].timestamps_unix_nano) // 2
    _keep_events(first.samples[0], slice(cut, None))
    _keep_events(second.samples[0], slice(None, cut))
    return first, second


def _keep_events(sample: Sample, without: slice) -> None:
    del sample.timestamps_unix_nano[without]
    del sample.values[without]


# Each half gets its own dictionary.


def _with_own_dictionary(resources: Sequence[ResourceProfiles], dictionary: ProfilesDictionary) -> ProfilesData:
    data = ProfilesData()
    data.resource_profiles.extend(resources)
    rows = _Rows(dictionary, data.dictionary)
    for resource in data.resource_profiles:
        for pair in resource.resource.attributes:
            rows.move_key_value(pair)
        for scope in resource.scope_profiles:
            for pair in scope.scope.attributes:
                rows.move_key_value(pair)
            for profile in scope.profiles:
                rows.move_profile(profile)
    return data


class _Rows:
    """Copies rows from one dictionary to another as they are referred to, and tells their new index."""

    def __init__(self, old: ProfilesDictionary, new: ProfilesDictionary) -> None:
        self._old = old
        self._new = new
        self._moved: dict[str, dict[int, int]] = {}
        new.string_table.append("")
        for field in ProfilesDictionary.DESCRIPTOR.fields:
            self._moved[field.name] = {0: 0}
            if field.message_type:
                getattr(new, field.name).add()

    def move_profile(self, profile: Profile) -> None:
        """Let a profile refer to the new dictionary."""
        self._fix_value_type(profile.sample_type)
        if profile.HasField("period_type"):
            self._fix_value_type(profile.period_type)
        self._attributes(profile.attribute_indices)
        for sample in profile.samples:
            sample.stack_index = self._row("stack_table", sample.stack_index, self._fix_stack)
            sample.link_index = self._row("link_table", sample.link_index)
            self._attributes(sample.attribute_indices)

    def move_key_value(self, pair: KeyValue) -> None:
        """Let an attribute of a resource or scope refer to the new dictionary, if it refers to any."""
        if pair.key_strindex:
            pair.key_strindex = self._string(pair.key_strindex)
        self._fix_value(pair.value)

    def _row(self, table: str, index: int, fix: Callable[[Any], None] | None = None) -> int:
        moved = self._moved[table]
        if index not in moved:
            rows = getattr(self._new, table)
            row = rows.add()
            row.CopyFrom(self._source(table, index))
            moved[index] = len(rows) - 1
            if fix:
                fix(row)
        return moved[index]

    def _string(self, index: int) -> int:
        moved = self._moved["string_table"]
        if index not in moved:
            moved[index] = len(self._new.string_table)
            self._new.string_table.append(self._source("string_table", index))
        return moved[index]

    def _source(self, table: str, index: int) -> Any:
        rows = getattr(self._old, table)
        if not 0 <= index < len(rows):
            raise BadProfile(f"index {index} is outside of {table}, which has {len(rows)} rows")
        return rows[index]

    def _attributes(self, indices: MutableSequence[int]) -> None:
        if indices:
            indices[:] = [self._row("attribute_table", index, self._fix_attribute) for index in indices]

    def _fix_value_type(self, value_type: ValueType) -> None:
        value_type.type_strindex = self._string(value_type.type_strindex)
        value_type.unit_strindex = self._string(value_type.unit_strindex)

    def _fix_attribute(self, row: KeyValueAndUnit) -> None:
        row.key_strindex = self._string(row.key_strindex)
        row.unit_strindex = self._string(row.unit_strindex)
        self._fix_value(row.value)

    def _fix_value(self, value: AnyValue) -> None:
        match value.WhichOneof("value"):
            case "string_value_strindex":
                value.string_value_strindex = self._string(value.string_value_strindex)
            case "array_value":
                for item in value.array_value.values:
                    self._fix_value(item)
            case "kvlist_value":
                for pair in value.kvlist_value.values:
                    self.move_key_value(pair)

    def _fix_stack(self, row: Stack) -> None:
        row.location_indices[:] = [
            self._row("location_table", index, self._fix_location) for index in row.location_indices
        ]

    def _fix_location(self, row: Location) -> None:
        row.mapping_index = self._row("mapping_table", row.mapping_index, self._fix_mapping)
        self._attributes(row.attribute_indices)
        for line in row.lines:
            line.function_index = self._row("function_table", line.function_index, self._fix_function)

    def _fix_mapping(self, row: Mapping) -> None:
        row.filename_strindex = self._string(row.filename_strindex)
        self._attributes(row.attribute_indices)

    def _fix_function(self, row: Function) -> None:
        row.name_strindex = self._string(row.name_strindex)
        row.system_name_strindex = self._string(row.system_name_strindex)
        row.filename_strindex = self._string(row.filename_strindex)
