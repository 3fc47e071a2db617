"""Read ProfilesData back as plain samples."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from otelprof.errors import BadProfile, BadSample
from otelprof.model.conventions import BUILD_ID_GNU, BUILD_ID_GO, BUILD_ID_HTLHASH, FRAME_TYPE
from otelprof.model.layout import Profile, ProfilesData, ProfilesDictionary
from otelprof.model.link import Link
from otelprof.model.rows import Rows
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
from otelprof.model.values import read_attributes, read_value, text_at

__all__ = ("ReadSample", "parse_profiles", "read_samples")


@dataclass(frozen=True, slots=True)
class ReadSample:
    """One Sample with all that its message says of it.

    ``resource``, ``sample_type``, ``stack`` and ``attributes`` are the same object wherever they are the same row,
    within one read. ``start_ns`` and ``duration_ns`` are the window of the profile, Unix time.
    """

    resource: Resource
    scope_name: str
    scope_version: str
    sample_type: SampleType
    stack: Stack
    attributes: Attributes
    values: tuple[int, ...]
    timestamps_ns: tuple[int, ...]
    link: Link | None
    start_ns: int
    duration_ns: int

    @property
    def total(self) -> int:
        """The sum in the unit of the sample type; timestamps without values count 1 each."""
        return sum(self.values) if self.values else len(self.timestamps_ns)

    @property
    def count(self) -> int:
        """How many events the sample holds, as far as it tells: the total of what counts, else the timestamps."""
        if self.sample_type.unit == "count":
            return self.total
        return len(self.timestamps_ns) or len(self.values)


def parse_profiles(payload: bytes) -> ProfilesData:
    """Decode a serialised ProfilesData or ExportProfilesServiceRequest; raises BadProfile."""
    try:
        return ProfilesData.FromString(payload)
    except DecodeError as error:
        raise BadProfile(f"not an OTLP profiles message: {error}") from error


def read_samples(data: ProfilesData | bytes) -> Iterator[ReadSample]:
    """Yield every sample of a message, in its order.

    Raises BadProfile, also while iterating, when the bytes cannot be decoded or an index points nowhere.
    """
    message = parse_profiles(data) if isinstance(data, bytes) else data
    dictionary = _PlainDictionary(message.dictionary)
    strings = dictionary.strings
    for resource_profiles in message.resource_profiles:
        resource = Resource(read_attributes(resource_profiles.resource.attributes, strings))
        for scope_profiles in resource_profiles.scope_profiles:
            scope = scope_profiles.scope
            for profile in scope_profiles.profiles:
                yield from _read_profile(profile, dictionary, resource, scope.name, scope.version)


def _read_profile(
    profile: Profile, dictionary: "_PlainDictionary", resource: Resource, scope_name: str, scope_version: str
) -> Iterator[ReadSample]:
    sample_type = dictionary.sample_type(profile)
    start_ns, duration_ns = profile.time_unix_nano, profile.duration_nano
    for sample in profile.samples:
        yield ReadSample(
            resource,
            scope_name,
            scope_version,
            sample_type,
            dictionary.stacks[sample.stack_index],
            dictionary.attribute_list(sample.attribute_indices),
            tuple(sample.values),
            tuple(sample.timestamps_unix_nano),
            dictionary.links[sample.link_index],
            start_ns,
            duration_ns,
        )


class _PlainDictionary:
    """The rows of a dictionary as plain objects, one object per row."""

    def __init__(self, dictionary: ProfilesDictionary) -> None:
        self._dictionary = dictionary
        self.strings = list(dictionary.string_table)
        self.stacks: Rows[Stack] = Rows("stack_table", len(dictionary.stack_table), (), self._stack)
        self.links: Rows[Link | None] = Rows("link_table", len(dictionary.link_table), None, self._link)
        self._frames = Rows("location_table", len(dictionary.location_table), Frame(""), self._frame)
        self._functions = Rows("function_table", len(dictionary.function_table), Function(""), self._function)
        self._mappings: Rows[Mapping | None] = Rows("mapping_table", len(dictionary.mapping_table), None, self._mapping)
        self._attributes: Rows[tuple[str, AttributeValue]] = Rows(
            "attribute_table", len(dictionary.attribute_table), ("", ""), self._attribute
        )
        self._attribute_lists: dict[tuple[int, ...], Attributes] = {}

    def sample_type(self, profile: Profile) -> SampleType:
        """The sample and period types of a profile."""
        strings = self.strings
        return SampleType(
            text_at(strings, profile.sample_type.type_strindex),
            text_at(strings, profile.sample_type.unit_strindex),
            text_at(strings, profile.period_type.type_strindex),
            text_at(strings, profile.period_type.unit_strindex),
            profile.period,
        )

    def attribute_list(self, indices: Iterable[int]) -> Attributes:
        """The attributes of rows; units are not kept."""
        key = tuple(indices)
        attributes = self._attribute_lists.get(key)
        if attributes is None:
            attributes = self._attribute_lists[key] = tuple(self._attributes[index] for index in key if index)
        return attributes

    def _stack(self, index: int) -> Stack:
        return tuple(map(self._frames.__getitem__, self._dictionary.stack_table[index].location_indices))

    def _frame(self, index: int) -> Frame:
        location = self._dictionary.location_table[index]
        attributes = dict(self.attribute_list(location.attribute_indices))
        return Frame(
            _text(attributes.get(FRAME_TYPE)),
            location.address,
            self._mappings[location.mapping_index],
            tuple(Line(self._functions[line.function_index], line.line, line.column) for line in location.lines),
        )

    def _function(self, index: int) -> Function:
        function = self._dictionary.function_table[index]
        return Function(
            text_at(self.strings, function.name_strindex),
            text_at(self.strings, function.system_name_strindex),
            text_at(self.strings, function.filename_strindex),
            function.start_line,
        )

    def _mapping(self, index: int) -> Mapping:
        mapping = self._dictionary.mapping_table[index]
        attributes = dict(self.attribute_list(mapping.attribute_indices))
        return Mapping(
            text_at(self.strings, mapping.filename_strindex),
            mapping.memory_start,
            mapping.memory_limit,
            mapping.file_offset,
            _text(attributes.get(BUILD_ID_GNU)),
            _text(attributes.get(BUILD_ID_GO)),
            _text(attributes.get(BUILD_ID_HTLHASH)),
        )

    def _attribute(self, index: int) -> tuple[str, AttributeValue]:
        row = self._dictionary.attribute_table[index]
        return text_at(self.strings, row.key_strindex), read_value(row.value, self.strings)

    def _link(self, index: int) -> Link | None:
        row = self._dictionary.link_table[index]
        if not any(row.trace_id) and not any(row.span_id):
            return None
        try:
            return Link(row.trace_id, row.span_id)
        except BadSample as error:
            raise BadProfile(f"link_table[{index}]: {error}") from error


def _text(value: AttributeValue | None) -> str:
    return value if isinstance(value, str) else ""
