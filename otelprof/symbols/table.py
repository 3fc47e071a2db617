"""The symbol table artifact: sorted, disjoint address ranges with two strings each.

Layout, native byte order: ``<4I`` header (count, bytes of names, bytes of system names, 0), then
``count`` times u64 start, u32 size, u32 end of name, u32 end of system name, then the two blobs of UTF-8
without separators. Nothing is unpacked when a table is opened: lookups bisect the bytes in place.
"""

import operator
import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain, islice
from typing import Final, NamedTuple

from otelprof.errors import BadArtifact

__all__ = ("MAX_NAME_BYTES", "MAX_RANGE_BYTES", "MAX_SYMBOLS", "Symbol", "SymbolTable", "check_symbols", "pack_symbols")

MAX_NAME_BYTES: Final = 4096
"""Longest name that is kept; names of C++ templates reach tens of kilobytes and nobody reads them."""

MAX_RANGE_BYTES: Final = 1 << 32
"""Sizes have 32 bits: no function is that large."""

MAX_SYMBOLS: Final = 4 << 20
_HEADER: Final = struct.Struct("=4I")


class Symbol(NamedTuple):
    """A named range of addresses, ``end`` exclusive; ``system_name`` is "" where it equals ``name``."""

    name: str
    system_name: str
    start: int
    end: int


def pack_symbols(
    starts: Sequence[int], sizes: Sequence[int], names: Sequence[bytes], system_names: Sequence[bytes]
) -> bytes:
    """Turn columns of equal length into the bytes of a table.

    ``starts`` ascend, no range overlaps the next and none reaches MAX_RANGE_BYTES.
    """
    name_ends = array("I", accumulate(map(len, names)))
    system_ends = array("I", accumulate(map(len, system_names)))
    header = _HEADER.pack(len(starts), name_ends[-1] if name_ends else 0, system_ends[-1] if system_ends else 0, 0)
    columns = (array("Q", starts), array("I", sizes), name_ends, system_ends)
    return b"".join((header, *(column.tobytes() for column in columns), *names, *system_names))


class SymbolTable:
    """A table that was checked with :func:`check_symbols`, used in place.

    Raises BadArtifact when the length is not what the header says. ``data`` must stay valid as long as
    the table is used.
    """

    __slots__ = ("_blob", "_name_ends", "_names_at", "_sizes", "_starts", "_system_ends", "_systems_at")

    def __init__(self, data: memoryview) -> None:
        if len(data) < _HEADER.size:
            raise BadArtifact("a symbol table is too short")
        count, name_bytes, system_bytes, reserved = _HEADER.unpack_from(data)
        ends = tuple(accumulate((_HEADER.size, 8 * count, 4 * count, 4 * count, 4 * count)))
        if count > MAX_SYMBOLS or reserved or len(data) != ends[-1] + name_bytes + system_bytes:
            raise BadArtifact("a symbol table has another length than its header says")
        self._starts = data[ends[0] : ends[1]].cast("Q")
        self._sizes = data[ends[1] : ends[2]].cast("I")
        self._name_ends = data[ends[2] : ends[3]].cast("I")
        self._system_ends = data[ends[3] : ends[4]].cast("I")
        self._blob = data
        self._names_at = ends[4]
        self._systems_at = ends[4] + name_bytes

    def __len__(self) -> int:
        return len(self._starts)

    def index_of(self, address: int) -> int:
        """Return the index of the range that holds ``address``, -1 when none does."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address - self._starts[index] < self._sizes[index]:
            return index
        return -1

    def __getitem__(self, index: int) -> Symbol:
        start = self._starts[index]
        return Symbol(
            self._text(self._names_at, self._name_ends, index),
            self._text(self._systems_at, self._system_ends, index),
            start,
            start + self._sizes[index],
        )

    def find(self, address: int) -> Symbol | None:
        """Return the symbol whose range holds ``address``."""
        index = self.index_of(address)
        return None if index < 0 else self[index]

    def _text(self, blob_at: int, ends: memoryview, index: int) -> str:
        begin = ends[index - 1] if index else 0
        return str(self._blob[blob_at + begin : blob_at + ends[index]], "utf-8", "replace")

    def check(self) -> None:
        """Raise BadArtifact unless the ranges are sorted and disjoint and every name lies in its blob."""
        starts, sizes = self._starts, self._sizes
        following = islice(starts, 1, None)
        if not all(
            start + size <= after and start < after
            for start, size, after in zip(starts, sizes, following, strict=False)
        ):
            raise BadArtifact("the ranges of a symbol table are not sorted and disjoint")
        if len(starts) and starts[-1] + sizes[-1] > 1 << 64:
            raise BadArtifact("a symbol ends beyond the address space")
        _check_ends(self._name_ends, self._systems_at - self._names_at)
        _check_ends(self._system_ends, len(self._blob) - self._systems_at)


def _check_ends(ends: memoryview, blob_bytes: int) -> None:
    if (ends[-1] if len(ends) else 0) != blob_bytes:
        raise BadArtifact("the names of a symbol table have another length than its header says")
    lengths = map(operator.sub, ends, chain((0,), ends))
    if not all(0 <= length <= MAX_NAME_BYTES for length in lengths):
        raise BadArtifact("a name of a symbol table is out of bounds")


def check_symbols(data: memoryview) -> None:
    """Raise BadArtifact unless ``data`` is a symbol table with every bound and index right."""
    SymbolTable(data).check()
