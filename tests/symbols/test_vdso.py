"""The vDSO is read from memory and treated as a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from otelprof.artifacts.store import ArtifactStore
from otelprof.roots import HostRoots
from otelprof.symbols.symbolizer import Symbolizer
from otelprof.symbols.vdso import read_vdso, vdso_binary
from tests.elfwriter import ALLOC, EXECUTE, ElfSection, ElfSegment, ElfSymbol, build_id_section, write_elf

IMAGE = write_elf(
    ElfSection(".text", bytes(64), flags=ALLOC | EXECUTE, address=0x800),
    build_id_section("ab" * 20),
    segments=[ElfSegment(".text")],
    dynamic_symbols=[ElfSymbol("__vdso_time", 0x810, 16)],
)


def process(root: Path, maps: str, memory: bytes) -> HostRoots:
    folder = root / "proc/self"
    folder.mkdir(parents=True)
    (folder / "maps").write_text(maps)
    (folder / "mem").write_bytes(memory)
    return HostRoots(root)


def line(start: int, end: int, name: str) -> str:
    return f"{start:08x}-{end:08x} r-xp 00000000 00:00 0      {name}\n"


def test_the_image_is_read_where_it_is_mapped(tmp_path: Path) -> None:
    maps = line(0, 16, "/bin/other") + line(64, 64 + len(IMAGE), "[vdso]")
    assert read_vdso(process(tmp_path, maps, bytes(64) + IMAGE + bytes(8))) == IMAGE


@pytest.mark.parametrize(
    "maps",
    ["", line(0, 16, "[vvar]"), line(0, 1 << 21, "[vdso]"), line(16, 0, "[vdso]"), line(0, 64, "[vdso]"), "[vdso]\n"],
)
def test_no_image_where_maps_tell_of_none(tmp_path: Path, maps: str) -> None:
    assert read_vdso(process(tmp_path, maps, bytes(32))) is None


def test_no_procfs(tmp_path: Path) -> None:
    assert read_vdso(HostRoots(tmp_path)) is None


def test_it_is_named_like_any_binary(store: ArtifactStore, settle: Callable[[], None]) -> None:
    symbolizer = Symbolizer(store)
    binary = vdso_binary(IMAGE)
    while (lines := symbolizer.lines(binary, 0x818)) is None:
        settle()
    identity = symbolizer.identity(binary)
    assert lines[0].function.name == "__vdso_time"
    assert identity is not None
    assert identity.build_id_gnu == "ab" * 20


def test_the_same_image_has_the_same_key() -> None:
    assert vdso_binary(IMAGE).key == vdso_binary(IMAGE).key != vdso_binary(IMAGE + b"x").key


def test_our_own(store: ArtifactStore, settle: Callable[[], None]) -> None:
    image = read_vdso()
    if image is None:
        pytest.skip("this kernel maps no vDSO")
    symbolizer = Symbolizer(store)
    binary = vdso_binary(image)
    while (identity := symbolizer.identity(binary)) is None:
        settle()
    assert identity.is_elf
    assert any(segment.is_executable for segment in identity.segments)
