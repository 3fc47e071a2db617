"""Where the names of a binary are taken from, and when a debug file is believed."""

import struct
import zlib
from collections.abc import Callable

import pytest

from otelprof.errors import BadElf
from otelprof.symbols import extract as extract_module
from otelprof.symbols.extract import extract_symbols
from otelprof.symbols.table import MAX_NAME_BYTES, SymbolTable, check_symbols
from tests.elfwriter import (
    AARCH64,
    ALLOC,
    EXECUTE,
    NOBITS,
    RELA,
    X86_64,
    ElfSection,
    ElfSymbol,
    build_id_section,
    debugdata_section,
    debuglink_section,
    write_elf,
)

Opened = Callable[[bytes], int]

TEXT = ElfSection(".text", bytes(256), flags=ALLOC | EXECUTE, address=0x1000)
STRIPPED_TEXT = ElfSection(".text", type=NOBITS, size_bytes=256, flags=ALLOC | EXECUTE, address=0x1000)
DYNAMIC = [ElfSymbol("exported", 0x1000, 16)]
DEBUG = write_elf(STRIPPED_TEXT, build_id_section("aa" * 20), symbols=[ElfSymbol("hidden", 0x1020, 16)])


def names(opened: Opened, *files: bytes) -> dict[int, str]:
    table = extract(opened, *files)
    return {table[index].start: table[index].name for index in range(len(table))}


def extract(opened: Opened, *files: bytes) -> SymbolTable:
    data = memoryview(extract_symbols([opened(file) for file in files]))
    check_symbols(data)
    return SymbolTable(data)


def test_the_symbol_table_is_enough(opened: Opened) -> None:
    data = write_elf(TEXT, symbols=[ElfSymbol("main", 0x1010, 8)], dynamic_symbols=DYNAMIC)
    assert names(opened, data) == {0x1010: "main"}


def test_a_stripped_binary_has_its_exported_functions(opened: Opened) -> None:
    assert names(opened, write_elf(TEXT, dynamic_symbols=DYNAMIC)) == {0x1000: "exported"}


def test_a_debug_file_of_the_same_build_is_used(opened: Opened) -> None:
    binary = write_elf(TEXT, build_id_section("aa" * 20), dynamic_symbols=DYNAMIC)
    assert names(opened, binary, DEBUG) == {0x1020: "hidden"}


@pytest.mark.parametrize("debug", [DEBUG, DEBUG[:100], b"", b"text"])
def test_a_debug_file_of_another_build_or_damaged_is_not_used(opened: Opened, debug: bytes) -> None:
    binary = write_elf(TEXT, build_id_section("bb" * 20), dynamic_symbols=DYNAMIC)
    assert names(opened, binary, debug) == {0x1000: "exported"}


@pytest.mark.parametrize(("difference", "used"), [(0, True), (1, False)])
def test_a_debug_link_is_believed_with_the_right_checksum(opened: Opened, difference: int, used: bool) -> None:
    binary = write_elf(TEXT, debuglink_section(b"x.debug", zlib.crc32(DEBUG) ^ difference), dynamic_symbols=DYNAMIC)
    assert names(opened, binary, DEBUG) == ({0x1020: "hidden"} if used else {0x1000: "exported"})


def test_packed_symbols_and_exported_ones_make_one_table(opened: Opened) -> None:
    inner = write_elf(STRIPPED_TEXT, symbols=[ElfSymbol("hidden", 0x1020, 16), ElfSymbol("better_name", 0x1000, 16)])
    binary = write_elf(TEXT, debugdata_section(inner), dynamic_symbols=[*DYNAMIC, ElfSymbol("other", 0x1040, 4)])
    assert names(opened, binary) == {0x1000: "better_name", 0x1020: "hidden", 0x1040: "other"}


@pytest.mark.parametrize(
    "data", [b"no xz at all", debugdata_section(DEBUG).data[:-8], debugdata_section(b"no elf").data]
)
def test_damaged_packed_symbols_are_left_out(opened: Opened, data: bytes) -> None:
    binary = write_elf(TEXT, ElfSection(".gnu_debugdata", data), dynamic_symbols=DYNAMIC)
    assert names(opened, binary) == {0x1000: "exported"}


def test_an_xz_bomb_is_left_out(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "MAX_DEBUGDATA_BYTES", 1 << 20)
    bomb = DEBUG + bytes(1 << 20)
    binary = write_elf(TEXT, debugdata_section(bomb), dynamic_symbols=DYNAMIC)
    assert names(opened, binary) == {0x1000: "exported"}


def test_a_binary_without_symbols_has_an_empty_table(opened: Opened) -> None:
    assert names(opened, write_elf(TEXT)) == {}


def test_what_is_no_elf_is_refused(opened: Opened) -> None:
    with pytest.raises(BadElf):
        extract_symbols([opened(b"#!/bin/sh\n")])


def test_names_are_for_people_and_for_linkers(opened: Opened) -> None:
    symbols = [
        ElfSymbol("_RNvC7mycrate3run", 0x1000, 4),
        ElfSymbol("_ZN4core3fmt5write17h0123456789abcdefE", 0x1010, 4),
        ElfSymbol("memcpy@@GLIBC_2.14", 0x1020, 4),
        ElfSymbol("_Z", 0x1030, 4),
        ElfSymbol("@odd", 0x1040, 4),
    ]
    table = extract(opened, write_elf(TEXT, symbols=symbols))
    assert [(table[index].name, table[index].system_name) for index in range(len(table))] == [
        ("mycrate::run", "_RNvC7mycrate3run"),
        ("core::fmt::write", "_ZN4core3fmt5write17h0123456789abcdefE"),
        ("memcpy", ""),
        ("_Z", ""),
        ("@odd", ""),
    ]


def test_long_names_and_odd_bytes_are_cut_to_valid_text(opened: Opened) -> None:
    symbols = [ElfSymbol("é" * 5000, 0x1000, 4), ElfSymbol(b"a\xff\xfeb", 0x1010, 4), ElfSymbol(b"\xff", 0x1020, 4)]
    found = names(opened, write_elf(TEXT, symbols=symbols))
    assert found == {0x1000: "é" * (MAX_NAME_BYTES // 2), 0x1010: "ab", 0x1020: "?"}


def plt_binary(machine: int, section: ElfSection, *, kind: int, extra: tuple[ElfSection, ...] = ()) -> bytes:
    relocations = b"".join(struct.pack("<QQq", 0, symbol << 32 | kind, 0) for symbol in (1, 2))
    imported = [ElfSymbol("puts", 0, section=0), ElfSymbol("_RNvC7mycrate3run", 0, section=0)]
    return write_elf(
        section,
        *extra,
        ElfSection(".rela.plt", relocations, RELA, entry_bytes=24),
        dynamic_symbols=imported,
        machine=machine,
    )


def code(name: str, size: int, address: int) -> ElfSection:
    return ElfSection(name, bytes(size), flags=ALLOC | EXECUTE, address=address)


@pytest.mark.parametrize(("machine", "kind", "header"), [(X86_64, 7, 16), (AARCH64, 1026, 32)])
def test_stubs_are_named_after_their_functions(opened: Opened, machine: int, kind: int, header: int) -> None:
    data = plt_binary(machine, code(".plt", header + 32, 0x1000), kind=kind)
    table = extract(opened, data)
    assert [table[index].name for index in range(2)] == ["puts@plt", "mycrate::run@plt"]
    assert [table[index].system_name for index in range(2)] == ["", "_RNvC7mycrate3run@plt"]
    assert [table[index].start for index in range(2)] == [0x1000 + header, 0x1010 + header]


def test_stubs_in_a_second_section_are_named_too(opened: Opened) -> None:
    data = plt_binary(X86_64, code(".plt", 48, 0x1000), kind=7, extra=(code(".plt.sec", 32, 0x2000),))
    assert {start: name for start, name in names(opened, data).items() if name == "puts@plt"} == {
        0x1010: "puts@plt",
        0x2000: "puts@plt",
    }


@pytest.mark.parametrize(("size", "kind"), [(64, 7), (48, 6)])
def test_stubs_of_another_layout_stay_unnamed(opened: Opened, size: int, kind: int) -> None:
    assert names(opened, plt_binary(X86_64, code(".plt", size, 0x1000), kind=kind)) == {}
