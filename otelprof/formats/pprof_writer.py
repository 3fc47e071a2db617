"""OTLP to pprof."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile
from otelprof.formats import pprof_schema
from otelprof.formats.pprof_labels import Label, resource_to_labels, sample_to_labels
from otelprof.formats.pprof_tables import PprofTables
from otelprof.model.reader import ReadSample, read_samples
from otelprof.model.stack import Resource, SampleType

__all__ = ("PprofOptions", "to_pprof", "write_pprof")


@dataclass(frozen=True, slots=True)
class PprofOptions:
    """How a receiver wants its pprof: what on-CPU samples and their time are called, and whole paths or not."""

    count_type: str = "samples"
    time_type: str = "cpu"
    base_names: bool = False


def write_pprof(stream: BinaryIO, messages: Iterable[ProfilesData]) -> None:
    """Write the messages as one gzip-compressed pprof profile; equal messages give equal bytes."""
    import gzip

    data = to_pprof(messages).SerializeToString(deterministic=True)
    stream.write(gzip.compress(data, compresslevel=6, mtime=0))


def to_pprof(messages: Iterable[ProfilesData], options: PprofOptions | None = None) -> pprof_schema.Profile:
    """Translate messages into one profile.

    Each sample type is a column of values. A periodic count has a second one, count times period, unless
    the messages measure that themselves. Samples with equal stack and labels become one. Frames without
    a name stay addresses in their mapping, for viewers to look up by build id. Raises BadProfile for
    a message that cannot be read, or whose numbers do not fit pprof's signed 64 bits.
    """
    translation = _Translation(options or PprofOptions())
    for message in messages:
        for sample in read_samples(message):
            translation.add(sample)
    try:
        return translation.finish()
    except ValueError as error:
        raise BadProfile(f"a sum of samples or a time is too large for pprof: {error}") from error


_Kind: TypeAlias = tuple[str, str]
"""Type and unit of a column."""

_Column: TypeAlias = tuple[_Kind, bool]
"""What is measured, and whether it was computed from a count."""

_CPU_COUNT = ("samples", "count")
_CPU_TIME = ("cpu", "nanoseconds")


class _Translation:
    """Samples summed up by stack and labels."""

    def __init__(self, options: PprofOptions) -> None:
        self._names = {_CPU_COUNT: options.count_type, _CPU_TIME: options.time_type}
        self._profile = pprof_schema.Profile()
        self._tables = PprofTables(self._profile, base_names=options.base_names)
        self._columns: dict[_Column, None] = {}
        self._rows: dict[tuple[tuple[int, ...], tuple[Label, ...]], dict[_Column, int]] = {}
        self._process_labels: dict[int, tuple[Resource, tuple[Label, ...]]] = {}
        self._period_type: SampleType | None = None
        self._start_ns: int | None = None
        self._end_ns = 0

    def add(self, sample: ReadSample) -> None:
        """Add a sample to the row of its stack and labels."""
        self._start_ns = min(sample.start_ns, sample.start_ns if self._start_ns is None else self._start_ns)
        self._end_ns = max(self._end_ns, sample.start_ns + sample.duration_ns)
        labels = (*self._resource_labels(sample.resource), *sample_to_labels(sample.attributes))
        row = self._rows.setdefault((self._tables.stack(sample.stack), labels), {})
        total = sample.total
        kind = sample.sample_type
        self._count(row, ((kind.type, kind.unit), False), total)
        if kind.period and kind.period_type:
            self._period_type = self._period_type or kind
            if kind.unit == "count":
                self._count(row, ((kind.period_type, kind.period_unit), True), total * kind.period)

    def finish(self) -> pprof_schema.Profile:
        """Fill in what is only known at the end; raises ValueError for a number that does not fit."""
        profile, string = self._profile, self._tables.string
        columns = [column for column in self._columns if not (column[1] and (column[0], False) in self._columns)]
        for type_, unit in [kind for kind, _ in columns] or [_CPU_COUNT, _CPU_TIME]:
            profile.sample_type.add(type=self._name(type_, unit), unit=string(unit))
        if any(kind == _CPU_TIME for kind, _ in columns):
            profile.default_sample_type = self._name(*_CPU_TIME)
        for (locations, labels), row in self._rows.items():
            sample = profile.sample.add(location_id=locations, value=[row.get(column, 0) for column in columns])
            for key, value in labels:
                if isinstance(value, str):
                    sample.label.add(key=string(key), str=string(value))
                else:
                    sample.label.add(key=string(key), num=value)
        if self._period_type is not None:
            kind = self._period_type
            profile.period_type.type = self._name(kind.period_type, kind.period_unit)
            profile.period_type.unit = string(kind.period_unit)
            profile.period = kind.period
        if self._start_ns is not None:
            profile.time_nanos = self._start_ns
            profile.duration_nanos = self._end_ns - self._start_ns
        self._tables.mark_named_mappings()
        return profile

    def _count(self, row: dict[_Column, int], column: _Column, value: int) -> None:
        self._columns.setdefault(column)
        row[column] = row.get(column, 0) + value

    def _name(self, type_: str, unit: str) -> int:
        return self._tables.string(self._names.get((type_, unit), type_))

    def _resource_labels(self, resource: Resource) -> tuple[Label, ...]:
        known = self._process_labels.get(id(resource))
        if known is None:
            known = self._process_labels[id(resource)] = (resource, resource_to_labels(resource))
        return known[1]
