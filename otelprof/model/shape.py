"""The three ways in which a Sample holds its events."""

from collections.abc import Sized
from enum import IntEnum

from otelprof.errors import BadSample

__all__ = ("Shape", "shape_of")


class Shape(IntEnum):
    """How ``values`` and ``timestamps_unix_nano`` of a Sample are filled; one Profile has one shape."""

    TIMESTAMPS = 1
    """Each timestamp counts 1."""
    AGGREGATE = 2
    """One total, and no time."""
    PAIRS = 3
    """Value i happened at timestamp i."""


def shape_of(values: Sized, timestamps: Sized) -> Shape:
    """Tell the shape of a sample; raises BadSample when it is none of the three."""
    if not values:
        if not timestamps:
            raise BadSample("a sample needs at least one value or timestamp")
        return Shape.TIMESTAMPS
    if not timestamps:
        if len(values) != 1:
            raise BadSample(f"a sample without timestamps has exactly one value, not {len(values)}")
        return Shape.AGGREGATE
    if len(values) != len(timestamps):
        raise BadSample(f"a sample has {len(values)} values for {len(timestamps)} timestamps")
    return Shape.PAIRS
