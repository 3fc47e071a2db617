"""The samples of one Profile while it is filled."""

from collections.abc import Sequence
from typing import TypeAlias

from otelprof.errors import BadSample
from otelprof.model.layout import Profile, Sample
from otelprof.model.shape import Shape
from otelprof.model.tables import Indices

__all__ = ("Column", "SampleRow", "check_values")

SampleRow: TypeAlias = tuple[int, Indices, int]
"""What a Sample is known by: rows of its stack, of its attributes in ascending order, and of its link."""


class Column:
    """Adds events to the samples of a Profile, one Sample per identity; all are of one shape."""

    __slots__ = ("_add", "_samples", "_shape")

    def __init__(self, profile: Profile, shape: Shape) -> None:
        self._add = profile.samples.add
        self._shape = shape
        self._samples: dict[SampleRow, Sample] = {}

    def append(self, row: SampleRow, values: Sequence[int], timestamps_ns: Sequence[int]) -> None:
        """Append timestamps, or values and timestamps, to the sample of that identity; add up single values.

        Raises BadSample when a sum does not fit into 64 bits.
        """
        sample = self._samples.get(row)
        if sample is None:
            sample = self._samples[row] = self._add()
            sample.stack_index, attributes, sample.link_index = row
            sample.attribute_indices.extend(attributes)
        elif self._shape is Shape.AGGREGATE:
            values = (sample.values[0] + values[0],)
            check_values(values)
            del sample.values[:]
        if values:
            sample.values.extend(values)
        sample.timestamps_unix_nano.extend(timestamps_ns)


def check_values(values: Sequence[int]) -> None:
    """Raise BadSample when a value does not fit into 64 bits."""
    for value in (min(values), max(values)):
        if not -(2**63) <= value < 2**63:
            raise BadSample(f"value {value} does not fit into 64 bits")
