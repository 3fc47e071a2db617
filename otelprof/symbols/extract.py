"""What the worker computes from binaries: identities and symbol tables, as artifact bytes.

Imported by the worker only. Everything needed is imported at the top, for the worker cannot open files
once it is confined.
"""

import hashlib
import lzma
import zlib
from collections.abc import Sequence
from typing import Final

from otelprof.errors import BadElf
from otelprof.symbols.demangle import MANGLED_PREFIXES, demangle
from otelprof.symbols.elf import PT_LOAD, SHT_NOBITS, ElfFile, FileSource, MemorySource
from otelprof.symbols.functions import Functions, flatten, read_functions
from otelprof.symbols.identity import MAX_LOAD_SEGMENTS, Identity, LoadSegment, pack_identity
from otelprof.symbols.notes import gnu_build_id, go_build_id
from otelprof.symbols.plt import read_plt
from otelprof.symbols.table import MAX_NAME_BYTES, pack_symbols

__all__ = ("extract_identity", "extract_symbols")

MAX_DEBUGDATA_BYTES: Final = 64 << 20
"""Unpacked .gnu_debugdata; that of Firefox's libxul has 25 MB."""

MAX_DEBUGLINK_BYTES: Final = 4096
_HASHED_END_BYTES: Final = 4096
_CRC_CHUNK_BYTES: Final = 1 << 20
_LZMA_MEMORY_BYTES: Final = 96 << 20


def extract_identity(files: Sequence[int]) -> bytes:
    """Return the packed identity of the binary behind ``files[0]``.

    A file that is not 64-bit little-endian ELF has its htlhash and nothing else. Raises BadElf when the
    program headers are damaged.
    """
    source = FileSource(files[0])
    htlhash = _htlhash(source)
    if source.read(0, min(source.size_bytes, 7)) != b"\x7fELF\x02\x01\x01":
        return pack_identity(Identity(build_id_htlhash=htlhash))
    elf = ElfFile(source)
    notes = list(elf.notes())
    go = go_build_id(notes)
    link, crc = _debuglink(elf)
    return pack_identity(
        Identity(
            is_elf=True,
            build_id_gnu=gnu_build_id(notes),
            build_id_go=go,
            build_id_htlhash=htlhash,
            language="go" if go or elf.section(".gopclntab") else "",
            debuglink=link,
            debuglink_crc=crc,
            has_symtab=_has_symtab(elf),
            segments=_load_segments(elf),
        )
    )


def extract_symbols(files: Sequence[int]) -> bytes:
    """Return the symbol table of the binary behind ``files[0]``, with the help of its debug file ``files[1]``.

    Names come from .symtab; where it was stripped from that of the debug file (only if that has the same
    build id, or the CRC32 that the debug link asks for), else from .gnu_debugdata and .dynsym together.
    Stubs of the procedure linkage table are named ``function@plt``. Raises BadElf when what is there is damaged.
    """
    elf = ElfFile(FileSource(files[0]))
    functions = _table(elf, ".symtab")
    if not functions and len(files) > 1:
        functions = _debug_file_functions(elf, files[1])
    if not functions:
        functions = _debugdata_functions(elf)
        for address, function in _table(elf, ".dynsym").items():
            functions.setdefault(address, function)
    for address, function in read_plt(elf).items():
        functions.setdefault(address, function)
    ranges = flatten(functions)
    names, system_names = _names(ranges.names)
    sizes = [end - start for start, end in zip(ranges.starts, ranges.ends, strict=True)]
    return pack_symbols(ranges.starts, sizes, names, system_names)


def _htlhash(source: FileSource) -> str:
    """Head, tail, length: the build id of OpenTelemetry that every file has (semantic conventions 1.44)."""
    size_bytes = source.size_bytes
    end_bytes = min(size_bytes, _HASHED_END_BYTES)
    digest = hashlib.sha256(source.read(0, end_bytes))
    digest.update(source.read(size_bytes - end_bytes, end_bytes))
    digest.update(size_bytes.to_bytes(8, "big"))
    return digest.digest()[:16].hex()


def _load_segments(elf: ElfFile) -> tuple[LoadSegment, ...]:
    """Return the PT_LOAD segments; raises BadElf when one wraps around the address space."""
    segments = tuple(
        LoadSegment(s.offset, s.vaddr, s.file_bytes, s.memory_bytes, s.flags) for s in elf.segments if s.type == PT_LOAD
    )
    if len(segments) > MAX_LOAD_SEGMENTS or not all(segment.fits() for segment in segments):
        raise BadElf("the program headers describe impossible segments")
    return segments


def _has_symtab(elf: ElfFile) -> bool:
    section = elf.section(".symtab")
    return section is not None and section.type != SHT_NOBITS and section.size_bytes > 0


def _debuglink(elf: ElfFile) -> tuple[str, int]:
    """Return file name and CRC32 of .gnu_debuglink: text, zeros up to a multiple of four, checksum."""
    try:
        data = elf.data_of(".gnu_debuglink", limit_bytes=MAX_DEBUGLINK_BYTES)
    except BadElf:
        return "", 0
    name, terminator, _ = data.partition(b"\0")
    if len(data) < 8 or not name or not terminator:
        return "", 0
    return name.decode("utf-8", "surrogateescape"), int.from_bytes(data[-4:], "little")


def _table(elf: ElfFile, name: str) -> Functions:
    section = elf.section(name)
    return read_functions(elf, section) if section and section.type != SHT_NOBITS else {}


def _debug_file_functions(elf: ElfFile, descriptor: int) -> Functions:
    """Return the functions of a separate debug file, none when it belongs to another binary or is damaged."""
    try:
        debug = ElfFile(FileSource(descriptor))
        if _belongs_to(elf, debug, descriptor):
            return _table(debug, ".symtab")
    except BadElf:
        pass
    return {}


def _belongs_to(elf: ElfFile, debug: ElfFile, descriptor: int) -> bool:
    build_id = gnu_build_id(elf.notes())
    if build_id and build_id == gnu_build_id(debug.notes()):
        return True
    link, crc = _debuglink(elf)
    return bool(link) and crc == _crc32(FileSource(descriptor))


def _crc32(source: FileSource) -> int:
    crc = 0
    for offset in range(0, source.size_bytes, _CRC_CHUNK_BYTES):
        crc = zlib.crc32(source.read(offset, min(_CRC_CHUNK_BYTES, source.size_bytes - offset)), crc)
    return crc


def _debugdata_functions(elf: ElfFile) -> Functions:
    """Return the functions of .gnu_debugdata: an ELF file compressed with xz that holds a .symtab."""
    packed = elf.data_of(".gnu_debugdata")
    if not packed:
        return {}
    try:
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES)
        data = unpacker.decompress(packed, MAX_DEBUGDATA_BYTES)
        return _table(ElfFile(MemorySource(data)), ".symtab") if unpacker.eof else {}
    except (lzma.LZMAError, BadElf):
        return {}


def _names(raw_names: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return names for people and, where they differ, the linker's names, both valid UTF-8 and cut."""
    names: list[bytes] = []
    system_names: list[bytes] = []
    for raw in raw_names:
        symbol, mark = _without_version(raw) if b"@" in raw else (raw, b"")
        name = demangle(symbol) if symbol.startswith(MANGLED_PREFIXES) else None
        if name is None:
            names.append(symbol + mark)
            system_names.append(b"")
        else:
            names.append(name + mark)
            system_names.append(symbol + mark)
    return _clean(names), _clean(system_names)


def _without_version(name: bytes) -> tuple[bytes, bytes]:
    """Split a name from what follows "@": nothing for a version (memcpy@@GLIBC_2.14), our own mark of a stub."""
    symbol, _, suffix = name.partition(b"@")
    return symbol or name, b"@plt" if suffix == b"plt" else b""


def _clean(names: list[bytes]) -> list[bytes]:
    if b"".join(names).isascii() and max(map(len, names), default=0) <= MAX_NAME_BYTES:
        return names
    return [_cut(name) for name in names]


def _cut(name: bytes) -> bytes:
    if not name:
        return b""
    # A function must keep a name, so one without a valid character gets a question mark.
    return name[:MAX_NAME_BYTES].decode("utf-8", "ignore").encode() or b"?"
