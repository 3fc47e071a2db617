"""Make one message of several."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from otelprof.errors import BadProfile, BadSample
from otelprof.model.column import Column
from otelprof.model.copier import DictionaryCopier
from otelprof.model.layout import (
    InstrumentationScope,
    Profile,
    ProfilesData,
    ResourceMessage,
    ResourceProfiles,
    ScopeProfiles,
)
from otelprof.model.shape import Shape, shape_of
from otelprof.model.tables import DictionaryTables, Indices
from otelprof.model.values import inline_key_values

__all__ = ("merge",)


def merge(messages: Iterable[ProfilesData]) -> ProfilesData:
    """Merge messages into one with a minimal dictionary; the arguments are left as they are.

    Profiles of equal resource, scope, sample type, period, attributes and shape become one, whose window is the
    union of theirs. Samples of equal identity become one: timestamps are appended in the order of the messages,
    single values added up. Attribute references become inline text. ``original_payload`` is left out: it belongs to
    one of the profiles only.

    Equal messages in equal order give equal bytes: a profile that has one source keeps its profile_id, others get one
    derived from those of their sources.

    Raises BadProfile when an index points nowhere, when a sample has none of the three shapes, and when a sum does
    not fit into 64 bits.
    """
    merger = _Merger()
    for message in messages:
        merger.add(message)
    return merger.finish()


class _Scope(NamedTuple):
    """Where profiles come from: two equal ones are one ScopeProfiles; both messages are serialised."""

    resource: bytes
    resource_schema_url: str
    scope: bytes
    scope_schema_url: str


class _Head(NamedTuple):
    """What profiles of one scope must have in common to become one; rows of the result's dictionary."""

    type: int
    unit: int
    period_type: int
    period_unit: int
    period: int
    attributes: Indices


class _MergedProfile:
    """One profile of the result and what has gone into it."""

    __slots__ = ("_end_ns", "_ids", "_message", "_shape", "_start_ns", "column")

    def __init__(self, message: Profile, head: _Head, shape: Shape) -> None:
        message.sample_type.type_strindex = head.type
        message.sample_type.unit_strindex = head.unit
        if head.period_type or head.period_unit:
            message.period_type.type_strindex = head.period_type
            message.period_type.unit_strindex = head.period_unit
        message.period = head.period
        message.attribute_indices.extend(head.attributes)
        self.column = Column(message, shape)
        self._message = message
        self._shape = shape
        self._ids: list[bytes] = []
        self._start_ns = 0
        self._end_ns = 0

    def add_source(self, source: Profile, source_id: bytes) -> None:
        """Take over what a source says of itself; a window that starts at 0 is none."""
        self._ids.append(source_id)
        dropped = self._message.dropped_attributes_count + source.dropped_attributes_count
        self._message.dropped_attributes_count = min(dropped, 2**32 - 1)
        if source.time_unix_nano:
            self._start_ns = min(self._start_ns or source.time_unix_nano, source.time_unix_nano)
            self._end_ns = max(self._end_ns, source.time_unix_nano + source.duration_nano)

    def finish(self, used_ids: set[bytes]) -> None:
        """Set the window and an id that no other profile of the result has."""
        if self._end_ns >= 2**64:
            raise BadProfile("the window of a profile ends beyond what 64 bits can hold")
        self._message.time_unix_nano = self._start_ns
        self._message.duration_nano = self._end_ns - self._start_ns
        profile_id = self._ids[0]
        if len(self._ids) > 1 or profile_id in used_ids:
            profile_id = blake2b(b"".join(self._ids) + bytes([self._shape]), digest_size=16).digest()
        used_ids.add(profile_id)
        self._message.profile_id = profile_id


class _Merger:
    """The result while it grows."""

    def __init__(self) -> None:
        self._data = ProfilesData()
        self._tables = DictionaryTables(self._data.dictionary)
        self._resources: dict[tuple[bytes, str], ResourceProfiles] = {}
        self._scopes: dict[_Scope, ScopeProfiles] = {}
        self._profiles: dict[tuple[_Scope, _Head, Shape], _MergedProfile] = {}

    def add(self, message: ProfilesData) -> None:
        copier = DictionaryCopier(message.dictionary, self._tables)
        for scope, profile, profile_id in _flatten(message, copier.texts):
            try:
                self._add_profile(scope, profile, profile_id, copier)
            except BadSample as error:
                raise BadProfile(f"a sample of the profile with id {profile_id.hex()}: {error}") from error

    def finish(self) -> ProfilesData:
        used_ids: set[bytes] = set()
        for profile in self._profiles.values():
            profile.finish(used_ids)
        return self._data

    def _add_profile(self, scope: _Scope, source: Profile, source_id: bytes, copier: DictionaryCopier) -> None:
        strings = copier.strings
        head = _Head(
            strings[source.sample_type.type_strindex],
            strings[source.sample_type.unit_strindex],
            strings[source.period_type.type_strindex],
            strings[source.period_type.unit_strindex],
            source.period,
            copier.attributes(source.attribute_indices),
        )
        targets: dict[Shape, _MergedProfile] = {}
        stacks, attributes, links = copier.stacks, copier.attributes, copier.links
        for sample in source.samples:
            values, timestamps = sample.values, sample.timestamps_unix_nano
            shape = shape_of(values, timestamps)
            target = targets.get(shape)
            if target is None:
                target = targets[shape] = self._profile(scope, head, shape)
                target.add_source(source, source_id)
            row = stacks[sample.stack_index], attributes(sample.attribute_indices), links[sample.link_index]
            target.column.append(row, values, timestamps)

    def _profile(self, scope: _Scope, head: _Head, shape: Shape) -> _MergedProfile:
        profile = self._profiles.get((scope, head, shape))
        if profile is None:
            profile = _MergedProfile(self._scope_profiles(scope).profiles.add(), head, shape)
            self._profiles[scope, head, shape] = profile
        return profile

    def _scope_profiles(self, scope: _Scope) -> ScopeProfiles:
        scope_profiles = self._scopes.get(scope)
        if scope_profiles is None:
            key = scope.resource, scope.resource_schema_url
            resource_profiles = self._resources.get(key)
            if resource_profiles is None:
                resource_profiles = self._data.resource_profiles.add(schema_url=scope.resource_schema_url)
                resource_profiles.resource.MergeFromString(scope.resource)
                self._resources[key] = resource_profiles
            scope_profiles = resource_profiles.scope_profiles.add(schema_url=scope.scope_schema_url)
            scope_profiles.scope.MergeFromString(scope.scope)
            self._scopes[scope] = scope_profiles
        return scope_profiles


def _flatten(message: ProfilesData, strings: list[str]) -> Iterator[tuple[_Scope, Profile, bytes]]:
    """Yield each profile with its scope, and with its id or, if it has none, one made of the whole message."""
    digest = b""
    for resource_profiles in message.resource_profiles:
        resource = ResourceMessage()
        resource.CopyFrom(resource_profiles.resource)
        inline_key_values(resource.attributes, strings)
        resource.attributes.sort(key=lambda item: item.key)
        for scope_profiles in resource_profiles.scope_profiles:
            scope = InstrumentationScope()
            scope.CopyFrom(scope_profiles.scope)
            inline_key_values(scope.attributes, strings)
            scope.attributes.sort(key=lambda item: item.key)
            key = _Scope(
                resource.SerializeToString(),
                resource_profiles.schema_url,
                scope.SerializeToString(),
                scope_profiles.schema_url,
            )
            for profile in scope_profiles.profiles:
                profile_id = profile.profile_id
                if len(profile_id) != 16 or not any(profile_id):
                    digest = blake2b(digest or message.SerializeToString(), digest_size=16).digest()
                    profile_id = digest
                yield key, profile, profile_id
