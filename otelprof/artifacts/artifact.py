"""A cached artifact as a file: a header that tells it from any other, then the payload.

Header, little-endian, 72 bytes: magic, name of the kind, its version, CRC32, length of the payload, SHA-256 of
the content that it was computed from. The CRC covers the payload and the header without itself.
"""

import os
import struct
import zlib
from typing import Final

from otelprof.artifacts.kinds import ArtifactKind
from otelprof.artifacts.memory import MAPPED_FROM_BYTES, map_file
from otelprof.errors import BadArtifact

__all__ = ("pack_header", "read_artifact")

_MAGIC: Final = b"otelprf\x01"
_HEADER: Final = struct.Struct("<8s16sIIQ32s")
_CHUNK_BYTES: Final = 256 << 10


def pack_header(kind: ArtifactKind, content: bytes, payload: memoryview) -> bytes:
    """Return the header for a payload that was computed from ``content``."""
    return _header(kind, content, len(payload), zlib.crc32(payload))


def read_artifact(descriptor: int, kind: ArtifactKind, content: bytes) -> memoryview:
    """Return the payload of an artifact file of our own, aligned to 8 bytes.

    Raises BadArtifact when it is not the artifact of ``kind`` for ``content``, or damaged; OSError.
    """
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, _CHUNK_BYTES, 0)
    crc = zlib.crc32(head[_HEADER.size :])
    at = len(head)
    # By read and not through the mapping: what is only verified shall not count as resident.
    while at < size and (chunk := os.pread(descriptor, _CHUNK_BYTES, at)):
        crc = zlib.crc32(chunk, crc)
        at += len(chunk)
    if at != size or head[: _HEADER.size] != _header(kind, content, size - _HEADER.size, crc):
        raise BadArtifact("a cached artifact is damaged or belongs to something else")
    whole = map_file(descriptor, size) if size >= MAPPED_FROM_BYTES else memoryview(head)
    return whole[_HEADER.size :]


def _header(kind: ArtifactKind, content: bytes, length: int, payload_crc: int) -> bytes:
    if length < 0:
        raise BadArtifact("a cached artifact is too short")
    fields = (_MAGIC, kind.name.encode(), kind.version)
    crc = zlib.crc32(_HEADER.pack(*fields, 0, length, content), payload_crc)
    return _HEADER.pack(*fields, crc, length, content)
