"""What a measurement yields: figures with spread, judged against the targets of the design."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

__all__ = ("Figure", "Measurement", "number")


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity.

    ``values`` are repetitions, or slices of one run where ``is_mean`` is set: there rare work counts, which a median
    would hide. ``at_most`` is the target, None where there is none; ``peer`` is what the OpenTelemetry eBPF profiler
    was measured at, "" where there is nothing to compare.
    """

    name: str
    unit: str
    values: Sequence[float]
    at_most: float | None = None
    peer: str = ""
    is_mean: bool = False

    @property
    def value(self) -> float:
        """The median of the repetitions, or the mean of the slices."""
        return fmean(self.values) if self.is_mean else median(self.values)

    @property
    def spread(self) -> str:
        """Least and greatest value, and how many there are; "" for a single one."""
        if len(self.values) == 1:
            return ""
        return f"{number(min(self.values))}-{number(max(self.values))}, n={len(self.values)}"

    @property
    def target(self) -> str:
        """The target in words, "" for none."""
        return "" if self.at_most is None else f"≤ {number(self.at_most)} {self.unit}"

    @property
    def verdict(self) -> str:
        """``pass`` or ``miss``, "" where there is no target."""
        if self.at_most is None:
            return ""
        return "pass" if self.value <= self.at_most else "miss"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Something that can be measured on its own.

    ``definition`` says what exactly is measured. ``measure(quick)`` yields figures as they are found; with ``quick``
    it spends less time and its spread means less. It skips like a test does where this machine lacks what it needs.
    """

    name: str
    definition: str
    measure: Callable[[bool], Iterator[Figure]]


def number(value: float) -> str:
    """Three significant digits, never an exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"
