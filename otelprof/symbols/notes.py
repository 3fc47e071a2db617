"""ELF notes, as they are in ELF files and in ``/sys/kernel/notes``."""

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ("Note", "gnu_build_id", "go_build_id", "iter_notes")

NT_GNU_BUILD_ID: Final = 3
NT_GO_BUILD_ID: Final = 4
"""cmd/internal/buildid of the Go toolchain: name "Go", type 4, the description is text."""
MAX_BUILD_ID_BYTES: Final = 64
MAX_GO_BUILD_ID_BYTES: Final = 256

_HEADER: Final = struct.Struct("<III")


class Note(NamedTuple):
    """One entry of a note section; ``name`` without its terminating zero."""

    name: bytes
    type: int
    description: bytes


def iter_notes(data: bytes, alignment: int = 4) -> Iterator[Note]:
    """Yield the notes in ``data`` up to the first that does not fit.

    ``alignment`` is that of the segment: 8 pads to 8, anything else to 4 as all tools do.
    """
    pad = 8 if alignment == 8 else 4
    position = 0
    while position + _HEADER.size <= len(data):
        name_bytes, description_bytes, kind = _HEADER.unpack_from(data, position)
        name_at = position + _HEADER.size
        description_at = _align(name_at + name_bytes, pad)
        end = description_at + description_bytes
        if end > len(data):
            return
        yield Note(data[name_at : name_at + name_bytes].rstrip(b"\0"), kind, data[description_at:end])
        position = _align(end, pad)


def _align(value: int, alignment: int) -> int:
    return (value + alignment - 1) & -alignment


def gnu_build_id(notes: Iterable[Note]) -> str:
    """Return the GNU build id as lower-case hex, "" when there is none."""
    for note in notes:
        if note.name == b"GNU" and note.type == NT_GNU_BUILD_ID and len(note.description) <= MAX_BUILD_ID_BYTES:
            return note.description.hex()
    return ""


def go_build_id(notes: Iterable[Note]) -> str:
    """Return the Go build id, "" when there is none."""
    for note in notes:
        if note.name == b"Go" and note.type == NT_GO_BUILD_ID and len(note.description) <= MAX_GO_BUILD_ID_BYTES:
            return note.description.decode("utf-8", "replace")
    return ""
