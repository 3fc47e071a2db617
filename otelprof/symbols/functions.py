"""Functions of an ELF symbol table: which symbols count, which of several names is used, how far each reaches.

Runs in the worker. The two loops here see every symbol of every binary, so they are written for speed:
linear but for one sort, plain tuples, nothing called that can be looked up.
"""

import struct
from collections.abc import Mapping
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from otelprof.errors import BadElf
from otelprof.symbols.elf import SHF_EXECINSTR, ElfFile, Section
from otelprof.symbols.table import MAX_RANGE_BYTES, MAX_SYMBOLS

__all__ = ("Function", "Functions", "Ranges", "flatten", "read_functions")

MAX_MANGLED_BYTES: Final = 16384
"""Names are read up to here; longer ones are cut."""

MAX_NAMES_BYTES: Final = 256 << 20
"""All names of one table together: symbols may share bytes of the string table, so its size is no bound."""

UNSIZED_REACH_BYTES: Final = 16 << 10
"""A symbol without a size (assembler) reaches to the next symbol, but no further than this."""

Function: TypeAlias = tuple[int, int, int, bytes]
"""Rank (lower is better), size in bytes or 0, end of the section, name."""

Functions: TypeAlias = dict[int, Function]
"""The best function of each address."""


class Ranges(NamedTuple):
    """Disjoint address ranges in ascending order, as columns; ``ends`` are exclusive."""

    starts: list[int]
    ends: list[int]
    names: list[bytes]


SHN_LORESERVE: Final = 0xFF00
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_UNSIZED: Final = 4
_UNTYPED: Final = 8
_END_OF_ADDRESSES: Final = 1 << 64


def _ranks() -> tuple[int, ...]:
    """Rank of every value of ``st_info``, -1 for what is no function."""
    ranks = [-1] * 256
    for binding in range(16):
        # STB_GLOBAL 1 and STB_GNU_UNIQUE 10 before STB_WEAK 2 before STB_LOCAL 0 before all others.
        rank = {1: 0, 10: 0, 2: 1, 0: 2}.get(binding, 3)
        ranks[binding << 4 | 0] = rank + _UNTYPED  # STT_NOTYPE
        ranks[binding << 4 | 2] = rank  # STT_FUNC
        ranks[binding << 4 | 10] = rank  # STT_GNU_IFUNC
    return tuple(ranks)


_RANKS: Final = _ranks()


def read_functions(elf: ElfFile, table: Section) -> Functions:
    """Return the functions of a .symtab or .dynsym by address, one name each.

    Functions and untyped symbols (assembler) count when they lie in the executable section they name.
    Of several names for an address a typed one wins over an untyped one, a sized one over one without a
    size, global over weak over local, then fewer leading underscores, then the shorter, then the
    alphabetically first. Raises BadElf when the table is damaged.
    """
    symbols, strings = _table_data(elf, table)
    code = _code_sections(elf)
    found: Functions = {}
    budget = MAX_NAMES_BYTES
    for name_at, info, _, section_index, address, size in _SYMBOL.iter_unpack(symbols):
        rank = _RANKS[info]
        if rank < 0 or section_index not in code:
            continue
        start, limit = code[section_index]
        if not start <= address < limit:
            continue
        if not size:
            rank += _UNSIZED
        rival = found.get(address)
        if rival is not None and rival[0] < rank:
            continue
        end = strings.find(b"\0", name_at, name_at + MAX_MANGLED_BYTES)
        name = strings[name_at:end] if end >= 0 else strings[name_at : name_at + MAX_MANGLED_BYTES]
        budget -= len(name)
        if budget < 0:
            raise BadElf("the names of a symbol table are too long")
        # "$x" and "$d" mark code and data on arm64, ".L" labels are private to the assembler.
        if not name or (rank >= _UNTYPED and name.startswith((b"$", b".L"))):
            continue
        if rival is None or rank < rival[0] or _name_rank(name) < _name_rank(rival[3]):
            found[address] = (rank, size, limit, name)
    return found


def _table_data(elf: ElfFile, table: Section) -> tuple[memoryview, bytes]:
    """Return the symbols, cut to whole entries, and their strings."""
    if table.entry_bytes != _SYMBOL.size or table.link >= len(elf.sections):
        raise BadElf("a symbol table has no string table or strange entries")
    if table.size_bytes > MAX_SYMBOLS * _SYMBOL.size:
        raise BadElf("a symbol table has too many entries")
    symbols = elf.section_data(table)
    whole_bytes = len(symbols) // _SYMBOL.size * _SYMBOL.size
    return memoryview(symbols)[:whole_bytes], elf.section_data(elf.sections[table.link])


def _code_sections(elf: ElfFile) -> Mapping[int, tuple[int, int]]:
    """Return start and end address of every executable section by index."""
    return {
        index: (section.address, section.address + section.size_bytes)
        for index, section in enumerate(elf.sections)
        if section.flags & SHF_EXECINSTR
        and index < SHN_LORESERVE
        and section.size_bytes < MAX_RANGE_BYTES
        and section.address + section.size_bytes <= _END_OF_ADDRESSES
    }


def _name_rank(name: bytes) -> tuple[int, int, bytes]:
    return len(name) - len(name.lstrip(b"_")), len(name), name


def flatten(functions: Functions) -> Ranges:
    """Cut functions into disjoint ranges; where several overlap the one that starts last wins.

    A function without a size reaches to the next one, and counts only outside of those that have one.
    """
    ranges = Ranges([], [], [])
    add_start, add_end, add_name = ranges.starts.append, ranges.ends.append, ranges.names.append
    starts = sorted(functions)
    enclosing: list[tuple[int, bytes]] = []
    cursor = 0
    for start, following in zip(starts, [*islice(starts, 1, None), _END_OF_ADDRESSES], strict=False):
        _, size, limit, name = functions[start]
        end = start + (size or UNSIZED_REACH_BYTES)
        end = min(end, limit)
        if not size and end > following:
            end = following
        if enclosing:
            cursor = _close(enclosing, start, cursor, ranges)
        if not enclosing and end <= following:
            add_start(start)
            add_end(end)
            add_name(name)
            continue
        if enclosing:
            if not size:
                continue
            if cursor < start:
                add_start(cursor)
                add_end(start)
                add_name(enclosing[-1][1])
        cursor = start
        enclosing.append((end, name))
    _close(enclosing, _END_OF_ADDRESSES, cursor, ranges)
    return ranges


def _close(enclosing: list[tuple[int, bytes]], until: int, cursor: int, ranges: Ranges) -> int:
    """Add what is left, from ``cursor`` on, of the functions that end by ``until``; return the new cursor."""
    while enclosing and enclosing[-1][0] <= until:
        end, name = enclosing.pop()
        if cursor < end:
            ranges.starts.append(cursor)
            ranges.ends.append(end)
            ranges.names.append(name)
            cursor = end
    return cursor
