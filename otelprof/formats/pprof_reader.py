"""Pprof to OTLP, by the conventions of OpenTelemetry's "compatibility with pprof".

Counts, stacks, mappings, labels, period and time are carried over. What only pprof's own viewers use
is not: comments, drop and keep expressions, the default sample type, ``has_`` flags, units of labels.
"""

import re
import zlib
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from typing import BinaryIO, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile, BadSample
from otelprof.formats import pprof_schema
from otelprof.formats.content_ids import content_ids
from otelprof.formats.limits import read_whole
from otelprof.formats.pprof_labels import Label, labels_to_attributes
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import Attributes, Frame, Function, Line, Mapping, Resource, SampleType, Stack

__all__ = ("from_pprof", "read_pprof")

_GZIP_MAGIC = b"\x1f\x8b"

_HEXADECIMAL = re.compile("[0-9a-fA-F]+")

_Value = TypeVar("_Value")


def read_pprof(stream: BinaryIO) -> Iterator[ProfilesData]:
    """Read a pprof file, compressed or not, as one message; raises BadProfile."""
    data = read_whole(stream)
    if data.startswith(_GZIP_MAGIC):
        data = _decompress(data)
    try:
        profile = pprof_schema.Profile.FromString(data)
    except DecodeError as error:
        raise BadProfile("not a pprof profile") from error
    yield from_pprof(profile)


def from_pprof(profile: pprof_schema.Profile) -> ProfilesData:
    """Translate a profile: each sample type becomes a Profile, labels become attributes.

    Equal profiles give equal messages. Raises BadProfile when the profile refers to what it does not hold, or
    holds what OTLP cannot express.
    """
    reader = _Reader(profile)
    start_ns = max(profile.time_nanos, 0)
    builder = ProfilesBuilder(
        start_ns=start_ns,
        end_ns=start_ns + max(profile.duration_nanos, 0),
        id_source=content_ids(profile.SerializeToString(deterministic=True)),
    )
    kinds = reader.sample_types()
    for sample in profile.sample:
        if len(sample.value) != len(kinds):
            raise BadProfile(f"a sample has {len(sample.value)} values for {len(kinds)} sample types")
        stack = reader.stack(sample)
        resource, attributes = reader.attributes(sample)
        try:
            for kind, value in zip(kinds, sample.value, strict=True):
                builder.add(resource, kind, stack, attributes, values=(value,))
        except BadSample as error:
            raise BadProfile(str(error)) from error
    return builder.build()


class _Reader:
    """The tables of a profile as plain objects; equal stacks, labels and processes are one object."""

    def __init__(self, profile: pprof_schema.Profile) -> None:
        self._profile = profile
        self._strings = list(profile.string_table) or [""]
        self._mappings = {mapping.id: self._mapping(mapping) for mapping in profile.mapping}
        self._functions = {function.id: self._function(function) for function in profile.function}
        self._frames = {location.id: self._frame(location) for location in profile.location}
        self._stacks: dict[tuple[int, ...], Stack] = {}
        self._attributes: dict[tuple[Label, ...], tuple[Resource, Attributes]] = {}
        self._resources: dict[Resource, Resource] = {}

    def sample_types(self) -> list[SampleType]:
        """Say what the columns measure."""
        profile, text = self._profile, self._text
        period_type = (text(profile.period_type.type), text(profile.period_type.unit), profile.period)
        if not period_type[0] or profile.period <= 0:
            period_type = ("", "", 0)
        return [SampleType(text(kind.type), text(kind.unit), *period_type) for kind in profile.sample_type]

    def stack(self, sample: pprof_schema.Sample) -> Stack:
        """Give the stack of a sample."""
        key = tuple(sample.location_id)
        stack = self._stacks.get(key)
        if stack is None:
            stack = self._stacks[key] = tuple([_known(self._frames, index, "location") for index in key])
        return stack

    def attributes(self, sample: pprof_schema.Sample) -> tuple[Resource, Attributes]:
        """Give the process of a sample, and what else its labels say."""
        text = self._text
        key = tuple([(text(label.key), text(label.str) if label.str else label.num) for label in sample.label])
        known = self._attributes.get(key)
        if known is None:
            resource, attributes = labels_to_attributes(key)
            known = self._attributes[key] = (self._resources.setdefault(resource, resource), attributes)
        return known

    def _frame(self, location: pprof_schema.Location) -> Frame:
        mapping = _known(self._mappings, location.mapping_id, "mapping") if location.mapping_id else None
        lines = tuple(
            Line(_known(self._functions, line.function_id, "function"), max(line.line, 0), max(line.column, 0))
            for line in location.line
        )
        # The upper half of the address space is the kernel's on x86-64 and arm64.
        return Frame("kernel" if location.address >> 63 else "", location.address, mapping, lines)

    def _mapping(self, mapping: pprof_schema.Mapping) -> Mapping:
        build_id = self._text(mapping.build_id)
        is_gnu = _HEXADECIMAL.fullmatch(build_id) is not None
        ordered = mapping.memory_start < mapping.memory_limit
        return Mapping(
            self._text(mapping.filename),
            mapping.memory_start if ordered else 0,
            mapping.memory_limit if ordered else 0,
            mapping.file_offset,
            build_id_gnu=build_id.lower() if is_gnu else "",
            build_id_go="" if is_gnu else build_id,
        )

    def _function(self, function: pprof_schema.Function) -> Function:
        name, system_name = self._text(function.name), self._text(function.system_name)
        return Function(
            name,
            system_name if system_name != name else "",
            self._text(function.filename),
            max(function.start_line, 0),
        )

    def _text(self, index: int) -> str:
        if not 0 <= index < len(self._strings):
            raise BadProfile(f"the string table has no entry {index}, only {len(self._strings)}")
        return self._strings[index]


def _known(table: MappingOf[int, _Value], index: int, what: str) -> _Value:
    try:
        return table[index]
    except KeyError:
        raise BadProfile(f"there is no {what} with id {index}") from None


def _decompress(data: bytes) -> bytes:
    import gzip
    import io

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            return read_whole(stream)
    except (OSError, EOFError, zlib.error) as error:
        raise BadProfile(f"damaged gzip data: {error}") from error
