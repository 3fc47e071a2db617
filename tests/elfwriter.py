"""Write small ELF files: records in, bytes out, so that each test shows the bytes that matter.

::

    data = write_elf(
        ElfSection(".text", b"\\x90" * 64, flags=ALLOC | EXECUTE, address=0x1000),
        build_id_section("ab" * 20),
        symbols=[ElfSymbol("main", 0x1000, 16)],
    )

Layouts are those of ``<elf.h>`` for 64-bit little-endian files.
"""

import lzma
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = (
    "AARCH64",
    "ALLOC",
    "COMPRESSED",
    "EXECUTE",
    "LOCAL",
    "WEAK",
    "X86_64",
    "ElfSection",
    "ElfSegment",
    "ElfSymbol",
    "build_id_section",
    "debugdata_section",
    "debuglink_section",
    "note",
    "write_elf",
)

X86_64: Final = 62
AARCH64: Final = 183
ALLOC: Final = 2
EXECUTE: Final = 4
COMPRESSED: Final = 0x800
PROGBITS: Final = 1
SYMTAB: Final = 2
STRTAB: Final = 3
RELA: Final = 4
NOTE: Final = 7
NOBITS: Final = 8
DYNSYM: Final = 11
LOAD: Final = 1
LOCAL: Final = 0
GLOBAL: Final = 1
WEAK: Final = 2
NOTYPE: Final = 0
OBJECT: Final = 1
FUNC: Final = 2
IFUNC: Final = 10

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")


@dataclass(frozen=True, slots=True)
class ElfSection:
    """A section; ``link`` names another one, ``size_bytes`` is given for what has no bytes (NOBITS)."""

    name: str
    data: bytes = b""
    type: int = PROGBITS
    flags: int = 0
    address: int = 0
    link: str = ""
    entry_bytes: int = 0
    alignment: int = 1
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ElfSegment:
    """A program header that covers the section called ``section``, at ``vaddr`` (default: the section's address)."""

    section: str
    type: int = LOAD
    flags: int = 5
    vaddr: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ElfSymbol:
    """A symbol; ``section`` is a name, or a number that is used as it is."""

    name: str | bytes
    value: int
    size: int = 0
    type: int = FUNC
    binding: int = GLOBAL
    section: str | int = ".text"


@dataclass(slots=True)
class _Strings:
    data: bytearray = field(default_factory=lambda: bytearray(1))

    def add(self, text: str | bytes) -> int:
        raw = text.encode() if isinstance(text, str) else text
        offset = len(self.data)
        self.data += raw + b"\0"
        return offset if raw else 0


def write_elf(
    *sections: ElfSection,
    segments: Sequence[ElfSegment] = (),
    symbols: Sequence[ElfSymbol] = (),
    dynamic_symbols: Sequence[ElfSymbol] = (),
    machine: int = X86_64,
) -> bytes:
    """Return the bytes of a shared object: header, sections in the order given, section table, program headers.

    Symbol tables and their strings are added as the last sections, ``.symtab`` only when there are ``symbols``.
    """
    named = list(sections)
    numbers = {section.name: index for index, section in enumerate(named, 1)}
    for table, kind, strings, rows in (
        (".symtab", SYMTAB, ".strtab", symbols),
        (".dynsym", DYNSYM, ".dynstr", dynamic_symbols),
    ):
        if rows:
            named += _symbol_sections(table, kind, strings, rows, numbers)
    names = _Strings()
    name_offsets = [names.add(section.name) for section in named] + [names.add(".shstrtab")]
    named.append(ElfSection(".shstrtab", bytes(names.data), STRTAB))
    numbers = {section.name: index for index, section in enumerate(named, 1)}

    body = bytearray(_HEADER.size)
    headers = [bytes(_SECTION.size)]
    places: dict[str, tuple[ElfSection, int]] = {}
    for section, name_offset in zip(named, name_offsets, strict=True):
        body += bytes(-len(body) % max(section.alignment, 1))
        offset = len(body)
        places[section.name] = section, offset
        size = len(section.data) if section.size_bytes is None else section.size_bytes
        headers.append(
            _SECTION.pack(
                name_offset, section.type, section.flags, section.address, offset, size,
                numbers.get(section.link, 0), 0, section.alignment, section.entry_bytes,
            )
        )  # fmt: skip
        body += section.data
    section_table = len(body)
    body += b"".join(headers)
    segment_table = len(body) if segments else 0
    for segment in segments:
        section, offset = places[segment.section]
        vaddr = section.address if segment.vaddr is None else segment.vaddr
        memory_bytes = len(section.data) if segment.memory_bytes is None else segment.memory_bytes
        body += _SEGMENT.pack(
            segment.type, segment.flags, offset, vaddr, vaddr, len(section.data), memory_bytes, section.alignment
        )
    body[: _HEADER.size] = _HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 3, machine, 1, 0, segment_table, section_table, 0, _HEADER.size,
        _SEGMENT.size, len(segments), _SECTION.size, len(headers), len(headers) - 1,
    )  # fmt: skip
    return bytes(body)


def _symbol_sections(
    name: str, kind: int, strings_name: str, symbols: Sequence[ElfSymbol], numbers: dict[str, int]
) -> list[ElfSection]:
    strings = _Strings()
    rows = [bytes(_SYMBOL.size)]
    for symbol in symbols:
        index = numbers[symbol.section] if isinstance(symbol.section, str) else symbol.section
        info = symbol.binding << 4 | symbol.type
        rows.append(_SYMBOL.pack(strings.add(symbol.name), info, 0, index, symbol.value, symbol.size))
    return [
        ElfSection(name, b"".join(rows), kind, link=strings_name, entry_bytes=_SYMBOL.size, alignment=8),
        ElfSection(strings_name, bytes(strings.data), STRTAB),
    ]


def note(name: bytes, kind: int, description: bytes) -> bytes:
    """Return one entry of a note section."""
    raw = name + b"\0"
    padded = raw + bytes(-len(raw) % 4)
    return struct.pack("<III", len(raw), len(description), kind) + padded + description + bytes(-len(description) % 4)


def build_id_section(build_id: str) -> ElfSection:
    """Return .note.gnu.build-id with a build id given in hex."""
    return ElfSection(".note.gnu.build-id", note(b"GNU", 3, bytes.fromhex(build_id)), NOTE, ALLOC, alignment=4)


def debuglink_section(name: bytes, crc: int) -> ElfSection:
    """Return .gnu_debuglink: the name of the debug file and its CRC32."""
    raw = name + b"\0"
    return ElfSection(".gnu_debuglink", raw + bytes(-len(raw) % 4) + struct.pack("<I", crc), alignment=4)


def debugdata_section(elf: bytes) -> ElfSection:
    """Return .gnu_debugdata: a whole ELF file, packed with xz."""
    return ElfSection(".gnu_debugdata", lzma.compress(elf, format=lzma.FORMAT_XZ, preset=0))
