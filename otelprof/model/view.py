"""A message as the rules see it: plain rows, read once, and look-ups that never fail."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from otelprof.model.layout import AnyValue, KeyValue, Profile, ProfilesData, ResourceProfiles, ScopeProfiles
from otelprof.model.tables import Indices, LineRow
from otelprof.model.wire import Finding

__all__ = (
    "AttributeRow",
    "FunctionRow",
    "LocationRow",
    "MappingRow",
    "ProfileView",
    "SampleView",
    "View",
    "text_value",
)


class SampleView(NamedTuple):
    """One Sample."""

    stack: int
    attributes: Indices
    link: int
    values: tuple[int, ...]
    timestamps_ns: tuple[int, ...]


class MappingRow(NamedTuple):
    """One row of the mapping table."""

    start: int
    limit: int
    offset: int
    filename: int
    attributes: Indices


class FunctionRow(NamedTuple):
    """One row of the function table."""

    name: int
    system_name: int
    filename: int
    start_line: int


class LocationRow(NamedTuple):
    """One row of the location table."""

    mapping: int
    address: int
    lines: tuple[LineRow, ...]
    attributes: Indices


class AttributeRow(NamedTuple):
    """One row of the attribute table."""

    key: int
    value: AnyValue
    unit: int


class ProfileView(NamedTuple):
    """One Profile and where it is."""

    where: str
    message: Profile
    attributes: Indices
    samples: list[SampleView]


class View:
    """One message: rows of the seven tables, all profiles, and what became of its bytes.

    ``findings`` is what was wrong with the bytes, ``size_bytes`` their number and ``max_bytes`` how many there may be.
    ``previous_start_ns`` is when the message before it in its stream started, 0 if there is none.
    """

    def __init__(
        self,
        message: ProfilesData,
        *,
        findings: Sequence[Finding],
        size_bytes: int,
        max_bytes: int | None,
        previous_start_ns: int,
    ) -> None:
        self.message = message
        self.findings = findings
        self.size_bytes = size_bytes
        self.max_bytes = max_bytes
        self.previous_start_ns = previous_start_ns
        dictionary = message.dictionary
        self.strings = list(dictionary.string_table)
        self.mappings = [
            MappingRow(
                row.memory_start,
                row.memory_limit,
                row.file_offset,
                row.filename_strindex,
                tuple(row.attribute_indices),
            )
            for row in dictionary.mapping_table
        ]
        self.locations = [
            LocationRow(
                row.mapping_index,
                row.address,
                tuple([(line.function_index, line.line, line.column) for line in row.lines]),
                tuple(row.attribute_indices),
            )
            for row in dictionary.location_table
        ]
        self.functions = [
            FunctionRow(row.name_strindex, row.system_name_strindex, row.filename_strindex, row.start_line)
            for row in dictionary.function_table
        ]
        self.links = [(row.trace_id, row.span_id) for row in dictionary.link_table]
        self.attributes = [
            AttributeRow(row.key_strindex, row.value, row.unit_strindex) for row in dictionary.attribute_table
        ]
        self.stacks = [tuple(row.location_indices) for row in dictionary.stack_table]
        self.keys = [self.string(row.key) for row in self.attributes]
        """The key of each row of the attribute table."""
        self.profiles = [_profile_view(where, profile) for where, profile in self._profiles()]

    def string(self, index: int) -> str:
        """Give a string, "" for one that does not exist."""
        return self.strings[index] if 0 <= index < len(self.strings) else ""

    def key(self, item: KeyValue) -> str:
        """Give the key of an inline attribute, a reference resolved."""
        return item.key or self.string(item.key_strindex)

    def attribute_rows(self, indices: Iterable[int]) -> list[int]:
        """Keep those indices of attributes that exist, without 0."""
        return [index for index in indices if 0 < index < len(self.attributes)]

    def resources(self) -> Iterator[tuple[str, ResourceProfiles]]:
        """Yield every ResourceProfiles with its place."""
        for index, resource_profiles in enumerate(self.message.resource_profiles):
            yield f"resource_profiles[{index}]", resource_profiles

    def scopes(self) -> Iterator[tuple[str, ScopeProfiles]]:
        """Yield every ScopeProfiles with its place."""
        for where, resource_profiles in self.resources():
            for index, scope_profiles in enumerate(resource_profiles.scope_profiles):
                yield f"{where}.scope_profiles[{index}]", scope_profiles

    def inline_attributes(self) -> Iterator[tuple[str, Sequence[KeyValue]]]:
        """Yield the attributes of every resource and every scope."""
        for where, resource_profiles in self.resources():
            yield f"{where}.resource", resource_profiles.resource.attributes
        for where, scope_profiles in self.scopes():
            yield f"{where}.scope", scope_profiles.scope.attributes

    def start_ns(self) -> int:
        """Give the earliest start of a profile, 0 if none says when it started."""
        starts = [profile.message.time_unix_nano for profile in self.profiles if profile.message.time_unix_nano]
        return min(starts, default=0)

    def samples(self) -> Iterator[tuple[ProfileView, int, SampleView]]:
        """Yield every sample with its profile and its position there."""
        for profile in self.profiles:
            for index, sample in enumerate(profile.samples):
                yield profile, index, sample

    def attribute_lists(self) -> Iterator[tuple[str, Indices]]:
        """Yield every list of attribute rows that is not empty: of profiles, samples, mappings and locations."""
        for profile in self.profiles:
            if profile.attributes:
                yield profile.where, profile.attributes
        for profile, index, sample in self.samples():
            if sample.attributes:
                yield f"{profile.where}.samples[{index}]", sample.attributes
        for index, mapping in enumerate(self.mappings):
            if mapping.attributes:
                yield f"mapping_table[{index}]", mapping.attributes
        for index, location in enumerate(self.locations):
            if location.attributes:
                yield f"location_table[{index}]", location.attributes

    def _profiles(self) -> Iterator[tuple[str, Profile]]:
        for where, scope_profiles in self.scopes():
            for index, profile in enumerate(scope_profiles.profiles):
                yield f"{where}.profiles[{index}]", profile


def text_value(view: View, value: AnyValue) -> str | None:
    """Give a text, a reference resolved; None for values of other types."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    return view.string(value.string_value_strindex) if kind == "string_value_strindex" else None


def _profile_view(where: str, profile: Profile) -> ProfileView:
    samples = [
        SampleView(
            sample.stack_index,
            tuple(sample.attribute_indices),
            sample.link_index,
            tuple(sample.values),
            tuple(sample.timestamps_unix_nano),
        )
        for sample in profile.samples
    ]
    return ProfileView(where, profile, tuple(profile.attribute_indices), samples)
