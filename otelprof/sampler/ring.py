"""BPF ring buffers read in bulk through their mapping.

Layout (kernel/bpf/ringbuf.c): one page with the consumer position, one with the producer position,
then the data pages, mapped twice in a row so that no record is ever cut. Each record has a header of
8 bytes, the length with two flag bits on top; records start at multiples of 8.
"""

import mmap
import struct
from collections.abc import Iterator

from otelprof.errors import BadRecord
from otelprof.sampler import abi

__all__ = ("Ring", "SampleGroups", "SampleRing")

SampleGroups = dict[bytes, list[int]]
"""Identity of samples (64 bytes) -> their times on CLOCK_MONOTONIC in ns."""

_PAGE = mmap.PAGESIZE
_POSITION = struct.Struct("=Q")
_LENGTH = struct.Struct("=I")
_HEADER_BYTES = 8
_BUSY = 1 << 31
_DISCARD = 1 << 30


class Ring:
    """The consumer's end of one BPF ring buffer."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        """Map the ring behind ``fd``; ``size_bytes`` is the map's max_entries."""
        self.fd = fd
        self._mask = size_bytes - 1
        self._consumer_page = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        self._producer_pages = mmap.mmap(fd, _PAGE + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._view = memoryview(self._producer_pages)
        self._data = self._view[_PAGE:]
        self._position: int = _POSITION.unpack_from(self._consumer_page)[0]

    def _pending(self) -> memoryview:
        produced: int = _POSITION.unpack_from(self._producer_pages)[0]
        start = self._position & self._mask
        return self._data[start : start + produced - self._position]

    def _consume(self, size_bytes: int) -> None:
        self._position += size_bytes
        _POSITION.pack_into(self._consumer_page, 0, self._position)

    def _next(self) -> tuple[memoryview, int] | None:
        """The oldest record that is committed and not discarded, and the ring bytes it takes."""
        while True:
            pending = self._pending()
            if len(pending) < _HEADER_BYTES:
                return None
            (word,) = _LENGTH.unpack_from(pending)
            if word & _BUSY:
                return None
            length = word & ~_DISCARD
            taken = _HEADER_BYTES + ((length + 7) & ~7)
            if taken > len(pending):
                raise BadRecord(f"a record of {length} bytes does not fit into its ring")
            if not word & _DISCARD:
                return pending[_HEADER_BYTES : _HEADER_BYTES + length], taken
            self._consume(taken)

    def records(self) -> Iterator[memoryview]:
        """Committed records, oldest first; each view is valid until the next one is asked for."""
        while found := self._next():
            record, taken = found
            yield record
            self._consume(taken)

    def close(self) -> None:
        """Unmap; the descriptor belongs to the BPF object."""
        self._data.release()
        self._view.release()
        self._producer_pages.close()
        self._consumer_page.close()


class SampleRing(Ring):
    """The ring of samples: nearly all records are equal in kind and size."""

    _RECORD = struct.Struct(f"=I4xQQ{abi.IDENTITY.size}s")

    def drain(self, groups: SampleGroups) -> int:
        """Add every committed sample to the times of its identity; returns how many there were.

        One pass of ``iter_unpack`` over the mapped bytes, one dictionary look-up per sample.
        """
        total = 0
        while True:
            pending = self._pending()
            whole = len(pending) // self._RECORD.size * self._RECORD.size
            taken = 0
            for length, header, time_ns, identity in self._RECORD.iter_unpack(pending[:whole]):
                if length != abi.SAMPLE_BYTES or header != abi.SAMPLE_HEADER:
                    break
                try:
                    groups[identity].append(time_ns)
                except KeyError:
                    groups[identity] = [time_ns]
                taken += 1
            self._consume(taken * self._RECORD.size)
            total += taken
            # Discarded records end a pass; so may one that was committed only since.
            found = self._next()
            if found is None:
                return total
            kind, weight, size_bytes = abi.HEADER.unpack_from(found[0])
            if (kind, weight, size_bytes) != (abi.RecordKind.SAMPLE, 1, abi.SAMPLE_BYTES):
                raise BadRecord(f"kind {kind}, weight {weight}, {size_bytes} bytes: not a sample")
