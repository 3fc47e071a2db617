"""Names for procedure linkage tables: the stubs through which functions of other libraries are called."""

import struct
from typing import Final

from otelprof.symbols.elf import EM_AARCH64, EM_X86_64, ElfFile, Section
from otelprof.symbols.functions import MAX_MANGLED_BYTES, Functions

__all__ = ("read_plt",)

MAX_STUBS: Final = 65536
STUB_BYTES: Final = 16
_PLT_RANK: Final = 2
_RELOCATION: Final = struct.Struct("<QQq")
_SYMBOL_BYTES: Final = 24

_HEADER_BYTES: Final = {EM_X86_64: 16, EM_AARCH64: 32}
"""Code before the first stub of ``.plt``, by machine (psABI x86-64 5.2, AArch64 "Procedure Linkage Table")."""

_JUMP_SLOT: Final = {EM_X86_64: 7, EM_AARCH64: 1026}
"""R_X86_64_JUMP_SLOT and R_AARCH64_JUMP_SLOT."""


def read_plt(elf: ElfFile) -> Functions:
    """Return a function ``name@plt`` for every stub, in the order of ``.rela.plt``.

    Empty unless the stubs have one of the layouts that linkers make by default: anything else is better
    left unnamed than named wrongly. Raises BadElf when a section lies outside of the file.
    """
    relocations, dynamic = elf.section(".rela.plt"), elf.section(".dynsym")
    if relocations is None or dynamic is None or elf.machine not in _JUMP_SLOT or dynamic.link >= len(elf.sections):
        return {}
    count = relocations.size_bytes // _RELOCATION.size
    places = _stub_places(elf, count)
    if not places or count > MAX_STUBS:
        return {}
    symbols = elf.section_data(dynamic)
    strings = elf.section_data(elf.sections[dynamic.link])
    data = memoryview(elf.section_data(relocations))[: count * _RELOCATION.size]
    found: Functions = {}
    for index, (_, info, _) in enumerate(_RELOCATION.iter_unpack(data)):
        symbol_at = (info >> 32) * _SYMBOL_BYTES
        if info & 0xFFFF_FFFF != _JUMP_SLOT[elf.machine] or symbol_at + _SYMBOL_BYTES > len(symbols):
            continue
        name_at = int.from_bytes(symbols[symbol_at : symbol_at + 4], "little")
        end = strings.find(b"\0", name_at, name_at + MAX_MANGLED_BYTES)
        if end > name_at:
            for section, first in places:
                address = section.address + first + index * STUB_BYTES
                limit = section.address + section.size_bytes
                found[address] = (_PLT_RANK, STUB_BYTES, limit, strings[name_at:end] + b"@plt")
    return found


def _stub_places(elf: ElfFile, count: int) -> list[tuple[Section, int]]:
    """Return the sections with ``count`` stubs each and where in them the stubs begin."""
    places = []
    # With indirect branch tracking each function has a stub in .plt and another in .plt.sec.
    for name, first in ((".plt", _HEADER_BYTES[elf.machine]), (".plt.sec", 0)):
        section = elf.section(name)
        if section and section.size_bytes == first + count * STUB_BYTES:
            places.append((section, first))
    return places
