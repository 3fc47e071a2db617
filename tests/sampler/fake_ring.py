"""A BPF ring buffer in a memfd, written by the test."""

import mmap
import os
import struct

from otelprof.sampler import abi

PAGE = mmap.PAGESIZE
BUSY = 1 << 31
DISCARD = 1 << 30


class FakeRing:
    """The producer's end: the kernel maps the data pages twice, here both copies are written."""

    def __init__(self, size_bytes: int = PAGE) -> None:
        self.size_bytes = size_bytes
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * size_bytes)
        self._produced = 0

    def write(self, record: bytes, flags: int = 0) -> int:
        """Append a record; returns the position of its header, for :meth:`set_header`."""
        position = self._produced
        padded = record + bytes(-len(record) % 8)
        self._store(position, struct.pack("=II", len(record) | flags, 0) + padded)
        self._produced += 8 + len(padded)
        os.pwrite(self.fd, struct.pack("=Q", self._produced), PAGE)
        return position

    def set_header(self, position: int, word: int) -> None:
        """Overwrite the length word of a record."""
        self._store(position, struct.pack("=I", word))

    def consumed(self) -> int:
        """The consumer's position."""
        return int.from_bytes(os.pread(self.fd, 8, 0), "little")

    def _store(self, position: int, data: bytes) -> None:
        start = position % self.size_bytes
        for offset, byte in enumerate(data):
            at = (start + offset) % self.size_bytes
            os.pwrite(self.fd, bytes([byte]), 2 * PAGE + at)
            os.pwrite(self.fd, bytes([byte]), 2 * PAGE + self.size_bytes + at)

    def close(self) -> None:
        os.close(self.fd)


def identity(pid: int = 1, **changes: int) -> bytes:
    """The 64 bytes of a sample's identity."""
    values = {"tid": pid, "space": 5, "kernel": 0, "user": 0, "cgroup": 1, "cpu": 0, "outcome": 0, "known": 1} | changes
    return abi.IDENTITY.pack(
        pid,
        values["tid"],
        values["space"],
        values["kernel"],
        values["user"],
        values["cgroup"],
        values["cpu"],
        values["outcome"],
        values["known"],
        b"worker",
    )


def sample(time_ns: int, who: bytes) -> bytes:
    """A whole sample record."""
    header = abi.HEADER.pack(abi.RecordKind.SAMPLE, 1, abi.SAMPLE_BYTES)
    return header + struct.pack("=Q", time_ns) + who
