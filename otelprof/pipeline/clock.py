"""Kernel time (CLOCK_MONOTONIC) to wall time."""

import time
from collections.abc import Callable

__all__ = ("WallClock",)

_READINGS = 3
"""The reading with the least time between its two clocks is the truest."""
_LARGEST_ABSORBED_NS = 1_000_000_000
"""A wall clock that was set back by less does not move windows back; it is waited for instead."""


class WallClock:
    """Adds an offset that is renewed from time to time, so that steps and suspends are followed.

    Within one offset wall time is as monotonic as kernel time.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self.offset_ns = self._measure()

    def renew(self) -> None:
        """Measure the offset again; call between windows."""
        offset_ns = self._measure()
        if not 0 < self.offset_ns - offset_ns < _LARGEST_ABSORBED_NS:
            self.offset_ns = offset_ns

    def _measure(self) -> int:
        readings = []
        for _ in range(_READINGS):
            before = self._monotonic_ns()
            wall = self._wall_ns()
            after = self._monotonic_ns()
            readings.append((after - before, wall - (before + after) // 2))
        return min(readings)[1]
