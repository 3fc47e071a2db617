"""The table of executable mappings that the kernel side normalises addresses with."""

import mmap
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from otelprof.sampler import abi

__all__ = ("MappingRow", "MappingRowTable", "Region")

_QUARANTINE_NS = 1_000_000_000
"""A freed region rests this long: a sampler that just looked it up is done after microseconds."""


@dataclass(frozen=True, slots=True)
class MappingRow:
    """Addresses [start, end) of a process belong to a binary; ``binary`` 0 = code without a known file.

    ``bias`` subtracted from an address (modulo 2^64) gives the address in the ELF file's own space.
    """

    start: int
    end: int
    bias: int
    binary: int


@dataclass(frozen=True, slots=True)
class Region:
    """Consecutive rows that belong to one process; ``generation`` is written into each of them."""

    first: int
    count: int
    generation: int


class MappingRowTable:
    """Allocates regions of the kernel's row array and fills them through its mapping."""

    def __init__(self, memory: mmap.mmap | bytearray, clock_ns: Callable[[], int]) -> None:
        """``memory`` is the mapped array, of ``MAX_MAPPING_ROWS`` rows."""
        self._memory = memory
        self._clock_ns = clock_ns
        self._free: list[tuple[int, int]] = [(0, len(memory) // abi.MAPPING_ROW.size)]
        self._resting: deque[tuple[int, int, int]] = deque()
        self._generation = 0

    def put(self, rows: Sequence[MappingRow]) -> Region | None:
        """Store rows sorted by start; None when no room is left. More than the limit are cut."""
        rows = rows[: abi.MAX_PROCESS_MAPPINGS]
        first = self._allocate(max(len(rows), 1))
        if first is None:
            return None
        self._generation = self._generation % 0xFFFFFFFF + 1
        size = abi.MAPPING_ROW.size
        for index, row in enumerate(rows, first):
            bias = row.bias & 0xFFFFFFFFFFFFFFFF
            abi.MAPPING_ROW.pack_into(
                self._memory, index * size, row.start, row.end, bias, row.binary, self._generation
            )
        return Region(first, len(rows), self._generation)

    def free(self, region: Region) -> None:
        """Give a region back; it is used again after a rest."""
        self._resting.append((self._clock_ns() + _QUARANTINE_NS, region.first, max(region.count, 1)))

    def _allocate(self, count: int) -> int | None:
        now = self._clock_ns()
        if self._resting and self._resting[0][0] <= now:
            while self._resting and self._resting[0][0] <= now:
                _, first, size = self._resting.popleft()
                self._free.append((first, size))
            self._merge_free()
        for index, (first, size) in enumerate(self._free):
            if size >= count:
                if size == count:
                    del self._free[index]
                else:
                    self._free[index] = (first + count, size - count)
                return first
        return None

    def _merge_free(self) -> None:
        merged: list[tuple[int, int]] = []
        for first, size in sorted(self._free):
            if merged and merged[-1][0] + merged[-1][1] == first:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((first, size))
        self._free = merged
