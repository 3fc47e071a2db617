"""Reading input of unknown size within a limit."""

from typing import BinaryIO, Protocol

from otelprof.errors import BadProfile

__all__ = ("MAX_INPUT_BYTES", "read_line", "read_whole")

MAX_INPUT_BYTES = 512 << 20
"""Largest message or line read, after decompression: an hour of a busy host is a tenth of it."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_whole(stream: _Readable) -> bytes:
    """Read the rest of a stream; raises BadProfile when it is longer than the limit."""
    return _limited(stream.read(MAX_INPUT_BYTES + 1))


def read_line(stream: BinaryIO) -> bytes:
    """Read one line, with its line feed; b"" at the end. Raises BadProfile when it is longer than the limit."""
    return _limited(stream.readline(MAX_INPUT_BYTES + 1))


def _limited(data: bytes) -> bytes:
    if len(data) > MAX_INPUT_BYTES:
        raise BadProfile(f"the input is larger than {MAX_INPUT_BYTES >> 20} MiB")
    return data
