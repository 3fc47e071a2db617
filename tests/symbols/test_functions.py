"""Which symbols of a table count as functions, under which name, and how far they reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadElf
from otelprof.symbols.elf import ElfFile, MemorySource
from otelprof.symbols.functions import Functions, flatten, read_functions
from tests.elfwriter import (
    ALLOC,
    EXECUTE,
    IFUNC,
    LOCAL,
    NOTYPE,
    OBJECT,
    WEAK,
    ElfSection,
    ElfSymbol,
    write_elf,
)

TEXT = ElfSection(".text", bytes(256), flags=ALLOC | EXECUTE, address=0x1000)
DATA = ElfSection(".data", bytes(256), flags=ALLOC, address=0x2000)


def functions(*symbols: ElfSymbol) -> Functions:
    elf = ElfFile(MemorySource(write_elf(TEXT, DATA, symbols=symbols)))
    table = elf.section(".symtab")
    assert table is not None
    return read_functions(elf, table)


def pieces(*symbols: ElfSymbol) -> list[tuple[int, int, str]]:
    starts, ends, names = flatten(functions(*symbols))
    return [(start, end, name.decode()) for start, end, name in zip(starts, ends, names, strict=True)]


def name_at_1000(*symbols: ElfSymbol) -> bytes:
    return functions(*symbols)[0x1000][3]


@pytest.mark.parametrize(
    "symbol",
    [
        ElfSymbol("data", 0x1000, 4, type=OBJECT),
        ElfSymbol("elsewhere", 0x2000, 4, section=".data"),
        ElfSymbol("undefined", 0x1000, 4, section=0),
        ElfSymbol("absolute", 0x1000, 4, section=0xFFF1),
        ElfSymbol("before", 0xFFF, 4),
        ElfSymbol("behind", 0x1100, 4),
        ElfSymbol("", 0x1000, 4),
        ElfSymbol("$x", 0x1000, type=NOTYPE),
        ElfSymbol("$d.7", 0x1000, type=NOTYPE),
        ElfSymbol(".L12", 0x1000, type=NOTYPE),
    ],
)
def test_does_not_count(symbol: ElfSymbol) -> None:
    assert functions(symbol) == {}


@pytest.mark.parametrize("kind", [NOTYPE, IFUNC])
def test_assembler_labels_and_indirect_functions_count(kind: int) -> None:
    assert pieces(ElfSymbol("memcpy", 0x1000, 16, type=kind)) == [(0x1000, 0x1010, "memcpy")]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (ElfSymbol("typed", 0x1000, 4), ElfSymbol("a", 0x1000, 4, type=NOTYPE)),
        (ElfSymbol("sized", 0x1000, 4), ElfSymbol("a", 0x1000)),
        (ElfSymbol("global", 0x1000, 4), ElfSymbol("a", 0x1000, 4, binding=WEAK)),
        (ElfSymbol("weak", 0x1000, 4, binding=WEAK), ElfSymbol("a", 0x1000, 4, binding=LOCAL)),
        (ElfSymbol("read", 0x1000, 4), ElfSymbol("__read", 0x1000, 4)),
        (ElfSymbol("_reader", 0x1000, 4), ElfSymbol("__read", 0x1000, 4)),
        (ElfSymbol("zz", 0x1000, 4), ElfSymbol("aaa", 0x1000, 4)),
        (ElfSymbol("aa", 0x1000, 4), ElfSymbol("ab", 0x1000, 4)),
    ],
)
def test_the_best_of_several_names_does_not_depend_on_their_order(better: ElfSymbol, worse: ElfSymbol) -> None:
    expected = better.name if isinstance(better.name, bytes) else better.name.encode()
    assert name_at_1000(better, worse) == name_at_1000(worse, better) == expected


def test_functions_end_with_their_section() -> None:
    assert pieces(ElfSymbol("long", 0x10F0, 1 << 40)) == [(0x10F0, 0x1100, "long")]


def test_a_symbol_without_size_reaches_to_the_next() -> None:
    assert pieces(ElfSymbol("a", 0x1000), ElfSymbol("b", 0x1040, 16), ElfSymbol("c", 0x1080)) == [
        (0x1000, 0x1040, "a"),
        (0x1040, 0x1050, "b"),
        (0x1080, 0x1100, "c"),
    ]


def test_a_symbol_without_size_does_not_reach_far() -> None:
    far = ElfSection(".text", bytes(0x8000), flags=ALLOC | EXECUTE, address=0x1000)
    elf = ElfFile(MemorySource(write_elf(far, symbols=[ElfSymbol("a", 0x1000), ElfSymbol("b", 0x8000, 4)])))
    table = elf.section(".symtab")
    assert table is not None
    assert flatten(read_functions(elf, table)).ends[0] == 0x1000 + 0x4000


def test_labels_inside_a_function_are_left_out() -> None:
    assert pieces(ElfSymbol("f", 0x1000, 64), ElfSymbol("loop", 0x1010, type=NOTYPE)) == [(0x1000, 0x1040, "f")]


def test_the_innermost_function_wins() -> None:
    assert pieces(ElfSymbol("outer", 0x1000, 64), ElfSymbol("inner", 0x1010, 16), ElfSymbol("next", 0x1040, 8)) == [
        (0x1000, 0x1010, "outer"),
        (0x1010, 0x1020, "inner"),
        (0x1020, 0x1040, "outer"),
        (0x1040, 0x1048, "next"),
    ]


def test_names_without_end_are_cut() -> None:
    assert len(name_at_1000(ElfSymbol(b"x" * 100_000, 0x1000, 4))) == 16384


def test_refuses_symbols_of_another_size() -> None:
    odd = ElfSection(".symtab", bytes(48), 2, link=".text", entry_bytes=16)
    elf = ElfFile(MemorySource(write_elf(TEXT, odd)))
    table = elf.section(".symtab")
    assert table is not None
    with pytest.raises(BadElf):
        read_functions(elf, table)


plain = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=12)


@given(plain)
def test_flattening_agrees_with_asking_each_address(rows: list[tuple[int, int]]) -> None:
    limit = 64
    found: Functions = {start: (0, size, limit, str(start).encode()) for start, size in rows}
    starts, ends, names = flatten(found)

    assert all(start < end for start, end in zip(starts, ends, strict=True))
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    named = {
        address: name for start, end, name in zip(starts, ends, names, strict=True) for address in range(start, end)
    }
    assert named == {address: name for address in range(limit) if (name := _innermost(found, address, limit))}


def _innermost(found: Functions, address: int, limit: int) -> bytes | None:
    """The last function to start at or before the address that reaches it, sized ones first."""
    sized = [start for start, (_, size, _, _) in found.items() if size and start <= address < min(start + size, limit)]
    if sized:
        return found[max(sized)][3]
    before = [start for start in found if start <= address]
    if before and not found[max(before)][1]:
        start = max(before)
        enclosed = any(size and other < start < other + size for other, (_, size, _, _) in found.items())
        return None if enclosed else found[start][3]
    return None
