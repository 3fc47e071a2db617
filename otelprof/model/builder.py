"""Build ProfilesData from plain samples."""

from collections.abc import Callable, Sequence
from typing import TypeAlias
from uuid import uuid4

from otelprof import __version__
from otelprof.model.column import Column, check_values
from otelprof.model.conventions import SCHEMA_URL
from otelprof.model.encoder import INT64_MAX, UINT64_MAX, PlainEncoder, check_range
from otelprof.model.layout import Profile, ProfilesData, ResourceMessage, ScopeProfiles
from otelprof.model.link import Link
from otelprof.model.shape import Shape, shape_of
from otelprof.model.stack import Attributes, Resource, SampleType, Stack
from otelprof.model.tables import DictionaryTables
from otelprof.model.text import clean_text
from otelprof.model.values import checked_attributes

__all__ = ("ProfilesBuilder",)

_ResourceIdentity: TypeAlias = tuple[bytes, ...]
"""Serialised attributes, sorted: their order carries no meaning."""


class ProfilesBuilder:
    """Collects samples and builds one conformant ``ProfilesData`` with a minimal dictionary.

    There is one ResourceProfiles per distinct resource and in it one Profile per sample type, or more if samples of
    one type come in more than one shape. All profiles have the same window: [``start_ns``, ``end_ns``), Unix time,
    widened to the earliest and latest timestamp. Samples with equal stack, attributes (in any order) and link become
    one: timestamps are appended, single values added up.

    Give the same objects again where stacks, resources, sample types and attributes are equal: an object seen before
    costs one look-up. ``id_source`` gives the 16 bytes of each profile_id; the message depends on nothing else but
    the arguments.
    """

    def __init__(
        self,
        *,
        start_ns: int,
        end_ns: int,
        scope_name: str = "otelprof",
        scope_version: str = __version__,
        schema_url: str = SCHEMA_URL,
        id_source: Callable[[], bytes] = lambda: uuid4().bytes,
    ) -> None:
        check_range("window end", end_ns, UINT64_MAX)
        check_range("window start", start_ns, end_ns)
        self._window = start_ns, end_ns
        self._scope_name = clean_text(scope_name)
        self._scope_version = clean_text(scope_version)
        self._schema_url = clean_text(schema_url)
        self._id_source = id_source
        self._reset()

    def _reset(self) -> None:
        self._start_ns, self._end_ns = self._window
        self._data = ProfilesData()
        self._tables = DictionaryTables(self._data.dictionary)
        self._encoder = PlainEncoder(self._tables)
        self._scopes: dict[_ResourceIdentity, ScopeProfiles] = {}
        self._columns: dict[tuple[_ResourceIdentity, SampleType, Shape], Column] = {}
        self._known_columns: dict[tuple[int, int, Shape], Column] = {}
        self._alive: list[object] = []

    def add(
        self,
        resource: Resource,
        sample_type: SampleType,
        stack: Stack,
        attributes: Attributes = (),
        *,
        timestamps_ns: Sequence[int] = (),
        values: Sequence[int] = (),
        link: Link | None = None,
    ) -> None:
        """Add the events of one stack: n timestamps, one value, or n pairs of both.

        Raises BadSample, and adds nothing, when the sample cannot be expressed: no event, values and timestamps that
        do not pair up, a number that does not fit its field, a repeated attribute key.
        """
        shape = shape_of(values, timestamps_ns)
        start_ns, end_ns = self._start_ns, self._end_ns
        if timestamps_ns:
            first, last = min(timestamps_ns), max(timestamps_ns)
            if first < start_ns or last >= end_ns:
                check_range("timestamp", first, UINT64_MAX)
                check_range("timestamp", last, UINT64_MAX - 1)
                start_ns, end_ns = min(start_ns, first), max(end_ns, last + 1)
        if values:
            check_values(values)
        column = self._known_columns.get((id(resource), id(sample_type), shape))
        if column is None:
            check_range("period", sample_type.period, INT64_MAX)
            message = _resource_message(resource)
        # All that may be refused has been checked before the message is touched, or is checked first thing in encode.
        row = self._encoder.encode(stack, attributes, link)
        if column is None:
            column = self._new_column(resource, message, sample_type, shape)
        column.append(row, values, timestamps_ns)
        self._start_ns, self._end_ns = start_ns, end_ns

    def build(self) -> ProfilesData:
        """Hand over the message; afterwards the builder is empty again.

        A builder without samples gives a message without profiles, which is not worth sending.
        """
        data = self._data
        for resource_profiles in data.resource_profiles:
            for profile in resource_profiles.scope_profiles[0].profiles:
                profile.time_unix_nano = self._start_ns
                profile.duration_nano = self._end_ns - self._start_ns
                profile.profile_id = self._id_source()
        self._reset()
        return data

    def _new_column(
        self, resource: Resource, message: ResourceMessage, sample_type: SampleType, shape: Shape
    ) -> Column:
        identity = tuple(sorted(item.SerializeToString() for item in message.attributes))
        column = self._columns.get((identity, sample_type, shape))
        if column is None:
            profile = self._scope(identity, message).profiles.add()
            self._describe(profile, sample_type)
            column = self._columns[identity, sample_type, shape] = Column(profile, shape)
        self._known_columns[id(resource), id(sample_type), shape] = column
        self._alive.append((resource, sample_type))
        return column

    def _scope(self, identity: _ResourceIdentity, message: ResourceMessage) -> ScopeProfiles:
        scope_profiles = self._scopes.get(identity)
        if scope_profiles is None:
            resource_profiles = self._data.resource_profiles.add(resource=message, schema_url=self._schema_url)
            scope_profiles = resource_profiles.scope_profiles.add(schema_url=self._schema_url)
            scope_profiles.scope.name = self._scope_name
            scope_profiles.scope.version = self._scope_version
            self._scopes[identity] = scope_profiles
        return scope_profiles

    def _describe(self, profile: Profile, sample_type: SampleType) -> None:
        string = self._tables.string
        profile.sample_type.type_strindex = string(sample_type.type)
        profile.sample_type.unit_strindex = string(sample_type.unit)
        if sample_type.period:
            profile.period_type.type_strindex = string(sample_type.period_type)
            profile.period_type.unit_strindex = string(sample_type.period_unit)
            profile.period = sample_type.period


def _resource_message(resource: Resource) -> ResourceMessage:
    message = ResourceMessage()
    for key, value in checked_attributes(resource.attributes):
        message.attributes.add(key=key, value=value)
    return message
