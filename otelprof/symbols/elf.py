"""A defensive reader of ELF containers: headers, segments, sections, notes.

Every count and size found in a file is bounded before it is used, nothing recurses and nothing is
memory-mapped, so that a hostile file costs a :class:`~otelprof.errors.BadElf` and no more. Layouts and
constants are those of the System V ABI (gabi 4.1, chapters 4 and 5) as given in Linux ``<elf.h>``.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import zstandard

from otelprof.errors import BadElf
from otelprof.symbols.notes import Note, iter_notes

__all__ = (
    "MAX_SECTION_BYTES",
    "ElfFile",
    "FileSource",
    "MemorySource",
    "Section",
    "Segment",
    "Source",
)

MAX_SECTION_BYTES: Final = 256 << 20
"""Largest section that is read; the string table of a debug build of Chromium has 150 MB."""

MAX_SEGMENTS: Final = 4096
MAX_SECTIONS: Final = 65536
MAX_NOTES_BYTES: Final = 1 << 20
ZSTD_MAX_WINDOW_BYTES: Final = 128 << 20

PT_LOAD: Final = 1
PT_NOTE: Final = 4
SHT_NOTE: Final = 7
SHT_NOBITS: Final = 8
SHF_EXECINSTR: Final = 0x4
SHF_COMPRESSED: Final = 0x800
SHN_XINDEX: Final = 0xFFFF
COMPRESS_ZLIB: Final = 1
COMPRESS_ZSTD: Final = 2
EM_X86_64: Final = 62
EM_AARCH64: Final = 183

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_COMPRESSION: Final = struct.Struct("<IIQQ")
_IDENT_64_LITTLE: Final = b"\x7fELF\x02\x01\x01"


class Source(Protocol):
    """Where the bytes of an ELF file come from."""

    @property
    def size_bytes(self) -> int:
        """Length of the whole file."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``, or raise BadElf."""


class FileSource:
    """A file behind a descriptor, read with ``pread`` and never mapped: who shrinks it causes no SIGBUS."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size_bytes = os.fstat(descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``; raises BadElf when the file has fewer."""
        _check_range(offset, length, self.size_bytes)
        parts: list[bytes] = []
        while length:
            part = os.pread(self._descriptor, length, offset)
            if not part:
                raise BadElf("the file became shorter while it was read")
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class MemorySource:
    """A file that is already in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes at ``offset``; raises BadElf when there are fewer."""
        _check_range(offset, length, self.size_bytes)
        return self._data[offset : offset + length]


def _check_range(offset: int, length: int, size_bytes: int) -> None:
    if length > MAX_SECTION_BYTES or offset + length > size_bytes:
        raise BadElf(f"{length} bytes at {offset:#x} are outside the file or too many")


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header; fields in the order of Elf64_Phdr."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    file_bytes: int
    memory_bytes: int
    alignment: int


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; fields in the order of Elf64_Shdr, ``name`` already looked up."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size_bytes: int
    link: int
    info: int
    alignment: int
    entry_bytes: int


class ElfFile:
    """A 64-bit little-endian ELF file of any machine.

    Raises BadElf when ``source`` is anything else or its program headers are damaged.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        if source.size_bytes < _HEADER.size:
            raise BadElf("too short for an ELF file")
        header = _HEADER.unpack(source.read(0, _HEADER.size))
        if header[0][:7] != _IDENT_64_LITTLE:
            raise BadElf("not a 64-bit little-endian ELF file")
        self.type: int = header[1]
        self.machine: int = header[2]
        self._section_offset: int = header[6]
        self._section_entry_bytes: int = header[11]
        self._section_count: int = header[12]
        self._section_names_index: int = header[13]
        self.segments = self._read_segments(offset=header[5], entry_bytes=header[9], count=header[10])

    def _read_segments(self, *, offset: int, entry_bytes: int, count: int) -> tuple[Segment, ...]:
        if not offset or not count:
            return ()
        # More than 65,534 segments (PN_XNUM) exist in core files only, which are not executed.
        if entry_bytes != _SEGMENT.size or count > MAX_SEGMENTS:
            raise BadElf("the program headers have an impossible size or number")
        table = self._source.read(offset, count * entry_bytes)
        return tuple(Segment(*fields) for fields in _SEGMENT.iter_unpack(table))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections; none when the section table is damaged, for the kernel runs such programs too."""
        try:
            return self._read_sections()
        except BadElf:
            return ()

    def _read_sections(self) -> tuple[Section, ...]:
        if not self._section_offset or self._section_entry_bytes != _SECTION.size:
            return ()
        count, names_index = self._section_count, self._section_names_index
        if not count or names_index == SHN_XINDEX:
            first = _SECTION.unpack(self._source.read(self._section_offset, _SECTION.size))
            count = count or first[5]
            names_index = first[6] if names_index == SHN_XINDEX else names_index
        if count > MAX_SECTIONS:
            raise BadElf("too many sections")
        rows = list(_SECTION.iter_unpack(self._source.read(self._section_offset, count * _SECTION.size)))
        names = b""
        if names_index < count:
            names = self._source.read(rows[names_index][4], rows[names_index][5])
        return tuple(Section(_name_at(names, row[0]), *row[1:]) for row in rows)

    def section(self, name: str) -> Section | None:
        """Return the first section called ``name``."""
        return next((section for section in self.sections if section.name == name), None)

    def section_data(self, section: Section, *, limit_bytes: int = MAX_SECTION_BYTES) -> bytes:
        """Return a section's contents, decompressed where it is compressed; empty where the file has none.

        Raises BadElf when it is damaged or has more than ``limit_bytes``.
        """
        if section.type == SHT_NOBITS:
            return b""
        if section.size_bytes > limit_bytes:
            raise BadElf(f"section {section.name} is too large")
        data = self._source.read(section.offset, section.size_bytes)
        return _decompress(data, limit_bytes) if section.flags & SHF_COMPRESSED else data

    def data_of(self, name: str, *, limit_bytes: int = MAX_SECTION_BYTES) -> bytes:
        """Return the contents of the section called ``name``, empty when there is none."""
        section = self.section(name)
        return self.section_data(section, limit_bytes=limit_bytes) if section else b""

    def notes(self) -> Iterator[Note]:
        """Yield every note of the note sections, or of the note segments where there are no sections.

        Places outside of the file are passed over.
        """
        places = [(s.offset, s.size_bytes, s.alignment) for s in self.sections if s.type == SHT_NOTE]
        places = places or [(s.offset, s.file_bytes, s.alignment) for s in self.segments if s.type == PT_NOTE]
        budget = MAX_NOTES_BYTES
        for offset, size_bytes, alignment in places:
            if size_bytes <= budget and offset + size_bytes <= self._source.size_bytes:
                budget -= size_bytes
                yield from iter_notes(self._source.read(offset, size_bytes), alignment)


def _name_at(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset, offset + 256)
    return names[offset:end].decode("ascii", "replace") if end >= 0 else ""


def _decompress(data: bytes, limit_bytes: int) -> bytes:
    """Undo SHF_COMPRESSED; raises BadElf when the stream is not what its header says."""
    if len(data) < _COMPRESSION.size:
        raise BadElf("a compressed section is too short")
    kind, _, size_bytes, _ = _COMPRESSION.unpack_from(data)
    if size_bytes > limit_bytes:
        raise BadElf("a compressed section is too large")
    body = data[_COMPRESSION.size :]
    if kind == COMPRESS_ZLIB:
        result = _inflate(body, size_bytes)
    elif kind == COMPRESS_ZSTD:
        result = _unzstd(body, size_bytes)
    else:
        raise BadElf(f"unknown section compression {kind}")
    if len(result) != size_bytes:
        raise BadElf("a compressed section has another size than its header says")
    return result


def _inflate(body: bytes, size_bytes: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(body, size_bytes + 1)
    except zlib.error as error:
        raise BadElf(f"a compressed section is damaged: {error}") from None


def _unzstd(body: bytes, size_bytes: int) -> bytes:
    try:
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW_BYTES)
        with decompressor.stream_reader(body) as reader:
            result: bytes = reader.read(size_bytes + 1)
            return result
    except zstandard.ZstdError as error:
        raise BadElf(f"a compressed section is damaged: {error}") from None
