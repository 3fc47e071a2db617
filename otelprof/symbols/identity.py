"""What a binary is: its segments, build ids and where its symbols may be.

The worker packs an :class:`Identity` with :func:`pack_identity`; the agent checks and reads it back.
"""

import mmap
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from otelprof.errors import BadArtifact
from otelprof.model.stack import Mapping

__all__ = ("MAX_LOAD_SEGMENTS", "Identity", "LoadSegment", "check_identity", "pack_identity")

PF_X: Final = 1
MAX_LOAD_SEGMENTS: Final = 4096
_MAX_ADDRESS: Final = (1 << 64) - 1

_HEADER: Final = struct.Struct("<IIII5H")
"""Flags, CRC of the debug link, number of segments, 0, then the lengths of five strings."""
_SEGMENT: Final = struct.Struct("<5Q")
_HAS_SYMTAB: Final = 1
_IS_ELF: Final = 2


class LoadSegment(NamedTuple):
    """A PT_LOAD program header: where a part of the file lies in the ELF file's own address space."""

    file_offset: int
    vaddr: int
    file_bytes: int
    memory_bytes: int
    flags: int

    @property
    def is_executable(self) -> bool:
        """Whether code may run there."""
        return bool(self.flags & PF_X)

    def fits(self) -> bool:
        """Whether it ends before the end of the file offsets and of the address space."""
        return max(self.file_offset + self.file_bytes, self.vaddr + self.memory_bytes) <= _MAX_ADDRESS


@dataclass(frozen=True, slots=True)
class Identity:
    """The facts about one binary that do not need its symbols.

    Build ids are lower-case hex (``gnu``, ``htlhash``) or the toolchain's text (``go``), "" where unknown;
    ``htlhash`` is known for every file, also for one that is not ELF (``is_elf`` false, no segments).
    ``language`` is "go" or "". ``debuglink`` names a separate debug file with CRC32 ``debuglink_crc``.
    """

    is_elf: bool = False
    build_id_gnu: str = ""
    build_id_go: str = ""
    build_id_htlhash: str = ""
    language: str = ""
    debuglink: str = ""
    debuglink_crc: int = 0
    has_symtab: bool = False
    segments: tuple[LoadSegment, ...] = ()

    @classmethod
    def parse(cls, data: memoryview) -> "Identity":
        """Read what :func:`pack_identity` wrote; raises BadArtifact when a bound or value is wrong."""
        if len(data) < _HEADER.size:
            raise BadArtifact("an identity is too short")
        flags, crc, count, reserved, *lengths = _HEADER.unpack_from(data)
        strings_at = _HEADER.size + count * _SEGMENT.size
        if count > MAX_LOAD_SEGMENTS or reserved or flags & ~(_HAS_SYMTAB | _IS_ELF):
            raise BadArtifact("an identity has an impossible header")
        if len(data) != strings_at + sum(lengths):
            raise BadArtifact("an identity has another length than its header says")
        segments = tuple(map(LoadSegment._make, _SEGMENT.iter_unpack(data[_HEADER.size : strings_at])))
        if not all(segment.fits() for segment in segments):
            raise BadArtifact("an identity has a segment beyond the end of the address space")
        texts: list[str] = []
        for length in lengths:
            texts.append(bytes(data[strings_at : strings_at + length]).decode("utf-8", "surrogateescape"))
            strings_at += length
        gnu, go, htlhash, language, debuglink = texts
        return cls(
            is_elf=bool(flags & _IS_ELF),
            build_id_gnu=gnu,
            build_id_go=go,
            build_id_htlhash=htlhash,
            language=language,
            debuglink=debuglink,
            debuglink_crc=crc,
            has_symtab=bool(flags & _HAS_SYMTAB),
            segments=segments,
        )

    def executable_segment(self, file_offset: int) -> LoadSegment | None:
        """Return the executable segment that holds ``file_offset``.

        The kernel maps whole pages, so offsets in a segment's first or last page count when no segment
        holds them exactly.
        """
        near = None
        for segment in self.segments:
            if not segment.is_executable:
                continue
            end = segment.file_offset + segment.file_bytes
            if segment.file_offset <= file_offset < end:
                return segment
            if near is None and _page_down(segment.file_offset) <= file_offset < _page_up(end):
                near = segment
        return near

    def vaddr_of(self, file_offset: int) -> int | None:
        """Turn a file offset into an address of the ELF file's own address space, None outside of its code."""
        segment = self.executable_segment(file_offset)
        return None if segment is None else file_offset - segment.file_offset + segment.vaddr

    def mapping_at(self, address: int, path: str) -> Mapping | None:
        """Return the mapping of the executable segment that holds ``address`` (an ELF address), as the kernel maps it.

        It is named ``path`` and carries every build id; None when the address is in no executable segment.
        """
        for segment in self.segments:
            start, limit = _page_down(segment.vaddr), _page_up(segment.vaddr + segment.memory_bytes)
            if segment.is_executable and start <= address < limit:
                return Mapping(
                    path=path,
                    memory_start=start,
                    memory_limit=min(limit, _MAX_ADDRESS),
                    file_offset=_page_down(segment.file_offset),
                    build_id_gnu=self.build_id_gnu,
                    build_id_go=self.build_id_go,
                    build_id_htlhash=self.build_id_htlhash,
                )
        return None


def pack_identity(identity: Identity) -> bytes:
    """Turn an identity into the bytes of its artifact."""
    texts = [
        text.encode("utf-8", "surrogateescape")
        for text in (
            identity.build_id_gnu,
            identity.build_id_go,
            identity.build_id_htlhash,
            identity.language,
            identity.debuglink,
        )
    ]
    flags = (_HAS_SYMTAB if identity.has_symtab else 0) | (_IS_ELF if identity.is_elf else 0)
    header = _HEADER.pack(flags, identity.debuglink_crc, len(identity.segments), 0, *map(len, texts))
    return b"".join((header, *(_SEGMENT.pack(*segment) for segment in identity.segments), *texts))


def check_identity(data: memoryview) -> None:
    """Raise BadArtifact unless ``data`` is an identity."""
    Identity.parse(data)


def _page_down(value: int) -> int:
    return value & -mmap.PAGESIZE


def _page_up(value: int) -> int:
    return (value + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
