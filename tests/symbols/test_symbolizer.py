"""Names of addresses through the real store and its confined worker."""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.store import ArtifactStore
from otelprof.errors import ProcessGone
from otelprof.model.stack import Function, Line
from otelprof.symbols import symbolizer as module
from otelprof.symbols.identity import Identity
from otelprof.symbols.symbolizer import BinaryFile, Symbolizer, frame_type
from tests.elfwriter import (
    ALLOC,
    EXECUTE,
    ElfSection,
    ElfSegment,
    ElfSymbol,
    build_id_section,
    debuglink_section,
    write_elf,
)

TEXT = ElfSection(".text", bytes(256), flags=ALLOC | EXECUTE, address=0x1000)
SEGMENTS = (ElfSegment(".text"),)
SYMBOLS = [ElfSymbol("_RNvC7mycrate3run", 0x1000, 16), ElfSymbol("main", 0x1010, 16)]
DYNAMIC = [ElfSymbol("exported", 0x1000, 16)]


@dataclass
class Target:
    """The root of a process and what was opened in it."""

    root: Path
    opened: list[str] = field(default_factory=list)
    has_ended: bool = False

    def put(self, path: str, data: bytes) -> None:
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def open(self, path: str) -> int:
        self.opened.append(path)
        if self.has_ended:
            raise ProcessGone(1)
        return os.open(self.root / path[1:], os.O_RDONLY)

    def binary(self, path: str) -> BinaryFile:
        key = FileKey.from_stat((self.root / path[1:]).stat())
        return BinaryFile(key, path, lambda: self.open(path), self.open)


@dataclass
class Symbolization:
    """A symbolizer with its clock, and what it says in the end."""

    symbolizer: Symbolizer
    settle: Callable[[], None]
    now: float = 0.0

    def lines(self, binary: BinaryFile, address: int) -> tuple[Line, ...] | None:
        for _ in range(3):
            if (lines := self.symbolizer.lines(binary, address)) is not None:
                return lines
            self.settle()
        return None

    def name(self, binary: BinaryFile, address: int) -> str | None:
        lines = self.lines(binary, address)
        return None if lines is None else lines[0].function.name if lines else ""


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


@pytest.fixture
def named(store: ArtifactStore, settle: Callable[[], None]) -> Symbolization:
    symbolization = Symbolization(Symbolizer(store), settle)
    symbolization.symbolizer = Symbolizer(store, clock=lambda: symbolization.now)
    return symbolization


def test_an_address_is_named_once_its_symbols_are_there(target: Target, named: Symbolization) -> None:
    target.put("/bin/tool", write_elf(TEXT, symbols=SYMBOLS, segments=SEGMENTS))
    binary = target.binary("/bin/tool")

    assert named.symbolizer.lines(binary, 0x1004) is None
    assert named.lines(binary, 0x1004) == (Line(Function("mycrate::run", "_RNvC7mycrate3run")),)
    assert named.lines(binary, 0x1010) == (Line(Function("main")),)
    assert named.lines(binary, 0x1020) == ()
    assert named.lines(binary, 0x1004) is named.lines(binary, 0x100F)


def test_the_identity_is_there_first(target: Target, named: Symbolization) -> None:
    target.put("/bin/tool", write_elf(TEXT, build_id_section("ab" * 20), segments=SEGMENTS))
    binary = target.binary("/bin/tool")

    assert named.symbolizer.identity(binary) is None
    named.settle()
    identity = named.symbolizer.identity(binary)
    assert identity is not None
    assert identity.build_id_gnu == "ab" * 20
    assert target.opened == ["/bin/tool"]


def test_symbols_are_asked_for_only_when_a_sample_needs_them(
    target: Target, named: Symbolization, store: ArtifactStore
) -> None:
    target.put("/bin/tool", write_elf(TEXT, symbols=SYMBOLS, segments=SEGMENTS))
    before = store.counters()["requests"]
    named.symbolizer.identity(target.binary("/bin/tool"))
    named.settle()
    named.symbolizer.identity(target.binary("/bin/tool"))
    assert store.counters()["requests"] == before + 1


def test_the_same_file_in_another_process_is_known_at_once(target: Target, named: Symbolization) -> None:
    target.put("/bin/tool", write_elf(TEXT, symbols=SYMBOLS, segments=SEGMENTS))
    assert named.name(target.binary("/bin/tool"), 0x1010) == "main"
    target.has_ended = True
    assert named.symbolizer.lines(target.binary("/bin/tool"), 0x1018) == (Line(Function("main")),)


def test_equal_paths_of_different_files_are_not_mixed_up(target: Target, named: Symbolization, tmp_path: Path) -> None:
    other = Target(tmp_path / "other")
    target.put("/bin/tool", write_elf(TEXT, symbols=SYMBOLS))
    other.put("/bin/tool", write_elf(TEXT, symbols=[ElfSymbol("other", 0x1010, 16)]))

    assert named.name(target.binary("/bin/tool"), 0x1010) == "main"
    assert named.name(other.binary("/bin/tool"), 0x1010) == "other"


def test_a_forged_build_id_changes_no_names_elsewhere(target: Target, named: Symbolization) -> None:
    target.put("/lib/libc.so", write_elf(TEXT, build_id_section("ab" * 20), symbols=SYMBOLS))
    target.put("/bin/forged", write_elf(TEXT, build_id_section("ab" * 20), symbols=[ElfSymbol("evil", 0x1010, 16)]))

    assert named.name(target.binary("/bin/forged"), 0x1010) == "evil"
    assert named.name(target.binary("/lib/libc.so"), 0x1010) == "main"


@pytest.mark.parametrize("path", ["/usr/lib/debug/.build-id/ab/" + "ab" * 19 + ".debug", "/bin/.debug/tool.debug"])
def test_a_stripped_binary_is_named_by_its_debug_file(target: Target, named: Symbolization, path: str) -> None:
    debug = write_elf(TEXT, build_id_section("ab" * 20), symbols=SYMBOLS)
    link = debuglink_section(b"tool.debug", zlib.crc32(debug))
    target.put("/bin/tool", write_elf(TEXT, build_id_section("ab" * 20), link, dynamic_symbols=DYNAMIC))
    target.put(path, debug)

    assert named.name(target.binary("/bin/tool"), 0x1010) == "main"


def test_a_debug_file_of_another_build_names_nothing(target: Target, named: Symbolization) -> None:
    target.put("/bin/tool", write_elf(TEXT, build_id_section("ab" * 20), dynamic_symbols=DYNAMIC))
    target.put(
        "/usr/lib/debug/.build-id/ab/" + "ab" * 19 + ".debug",
        write_elf(TEXT, build_id_section("cd" * 20), symbols=SYMBOLS),
    )
    assert named.name(target.binary("/bin/tool"), 0x1000) == "exported"
    assert named.name(target.binary("/bin/tool"), 0x1010) == ""


def test_no_debug_file_is_looked_for_where_the_binary_has_symbols(target: Target, named: Symbolization) -> None:
    target.put("/bin/tool", write_elf(TEXT, build_id_section("ab" * 20), symbols=SYMBOLS))
    named.name(target.binary("/bin/tool"), 0x1000)
    assert set(target.opened) == {"/bin/tool"}


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01" + b"\xff" * 200])
def test_what_cannot_be_parsed_has_no_names(target: Target, named: Symbolization, data: bytes) -> None:
    target.put("/bin/tool", data)
    binary = target.binary("/bin/tool")

    assert named.lines(binary, 0x1000) == ()
    identity = named.symbolizer.identity(binary)
    assert identity is not None
    assert not identity.is_elf


def test_damaged_symbols_leave_the_identity(target: Target, named: Symbolization) -> None:
    broken = ElfSection(".symtab", bytes(24), 2, link=".text", entry_bytes=7)
    target.put("/bin/tool", write_elf(TEXT, broken, segments=SEGMENTS))
    binary = target.binary("/bin/tool")

    assert named.lines(binary, 0x1000) == ()
    identity = named.symbolizer.identity(binary)
    assert identity is not None
    assert identity.is_elf


def test_a_file_of_a_process_that_ended_is_tried_again_later(target: Target, named: Symbolization) -> None:
    target.put("/bin/tool", write_elf(TEXT, symbols=SYMBOLS))
    binary = target.binary("/bin/tool")
    target.has_ended = True
    assert named.name(binary, 0x1010) is None
    tries = len(target.opened)
    assert named.name(binary, 0x1010) is None
    assert len(target.opened) == tries

    target.has_ended = False
    named.now += module.RETRY_S
    assert named.name(binary, 0x1010) == "main"


def test_a_file_that_was_replaced_meanwhile_is_not_taken(
    target: Target, named: Symbolization, store: ArtifactStore
) -> None:
    target.put("/bin/tool", write_elf(TEXT, symbols=SYMBOLS))
    binary = target.binary("/bin/tool")
    target.put("/bin/new", write_elf(TEXT, symbols=[ElfSymbol("new", 0x1010, 16)]))
    (target.root / "bin/new").replace(target.root / "bin/tool")
    before = store.counters()["requests"]

    assert named.name(binary, 0x1010) is None
    assert store.counters()["requests"] == before


def test_old_binaries_are_forgotten_and_found_again(
    target: Target, named: Symbolization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_BINARIES", 2)
    for number in range(4):
        target.put(f"/bin/{number}", write_elf(TEXT, symbols=[ElfSymbol(f"f{number}", 0x1000, 16)]))
    for number in (0, 1, 2, 3, 0):
        assert named.name(target.binary(f"/bin/{number}"), 0x1000) == f"f{number}"


def test_real_binaries(target: Target, named: Symbolization) -> None:
    target.root = Path("/")
    path = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libc.so" in line)
    binary = target.binary(path)
    symbols = {"malloc", "qsort", "printf"}
    found = {named.name(binary, address) for address in range(0x20000, 0x140000, 16)}
    assert symbols <= found


@pytest.mark.parametrize(
    ("language", "system_name", "expected"),
    [
        ("", "", "native"),
        ("", "_Z3foov", "native"),
        ("", "_RNvC7mycrate3run", "rust"),
        ("", "_ZN3foo17h05af221e174051e9E", "rust"),
        ("go", "", "go"),
    ],
)
def test_frame_types(language: str, system_name: str, expected: str) -> None:
    lines = (Line(Function("name", system_name)),)
    assert frame_type(Identity(language=language), lines) == expected


def test_frames_without_names_are_native() -> None:
    assert frame_type(Identity(), ()) == "native"
