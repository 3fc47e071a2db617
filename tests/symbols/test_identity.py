"""What a binary is, from its headers and notes."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadArtifact, BadElf
from otelprof.model.stack import Mapping
from otelprof.symbols.extract import extract_identity
from otelprof.symbols.identity import Identity, LoadSegment, check_identity, pack_identity
from tests.elfwriter import (
    ALLOC,
    EXECUTE,
    NOBITS,
    ElfSection,
    ElfSegment,
    ElfSymbol,
    build_id_section,
    debuglink_section,
    note,
    write_elf,
)

TEXT = ElfSection(".text", b"\x90" * 64, flags=ALLOC | EXECUTE, address=0x401040, alignment=16)

LINKED = Identity(
    is_elf=True,
    build_id_gnu="ab" * 20,
    build_id_htlhash="0" * 32,
    segments=(
        LoadSegment(0, 0x400000, 0x800, 0x800, 4),
        LoadSegment(0x1840, 0x402840, 0x1000, 0x1000, 5),
        LoadSegment(0x2840, 0x404840, 0x100, 0x5000, 6),
    ),
)


def identify(opened: Callable[[bytes], int], data: bytes) -> Identity:
    artifact = memoryview(extract_identity([opened(data)]))
    check_identity(artifact)
    return Identity.parse(artifact)


def test_everything_about_a_binary(opened: Callable[[bytes], int]) -> None:
    data = write_elf(
        build_id_section("12AB" * 5),
        TEXT,
        debuglink_section(b"tool.debug", 0xDEADBEEF),
        symbols=[ElfSymbol("main", 0x401040, 4)],
        segments=[ElfSegment(".text", memory_bytes=128)],
    )
    offset = data.index(b"\x90" * 64)

    assert identify(opened, data) == Identity(
        is_elf=True,
        build_id_gnu="12ab" * 5,
        build_id_htlhash=htlhash(data),
        debuglink="tool.debug",
        debuglink_crc=0xDEADBEEF,
        has_symtab=True,
        segments=(LoadSegment(offset, 0x401040, 64, 128, 5),),
    )


def htlhash(data: bytes) -> str:
    return hashlib.sha256(data[:4096] + data[-4096:] + len(data).to_bytes(8, "big")).hexdigest()[:32]


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 20_000])
def test_htlhash_of_any_file(opened: Callable[[bytes], int], size: int) -> None:
    data = os.urandom(size)
    assert identify(opened, data) == Identity(build_id_htlhash=htlhash(data))


def test_go_is_recognised_by_its_build_id(opened: Callable[[bytes], int]) -> None:
    go = ElfSection(".note.go.buildid", note(b"Go", 4, b"abc/def/ghi"), 7, alignment=4)
    identity = identify(opened, write_elf(TEXT, go))
    assert (identity.build_id_go, identity.language) == ("abc/def/ghi", "go")


def test_go_is_recognised_by_its_function_table(opened: Callable[[bytes], int]) -> None:
    assert identify(opened, write_elf(TEXT, ElfSection(".gopclntab", b"\xf1"))).language == "go"


def test_a_symbol_table_without_bytes_is_none(opened: Callable[[bytes], int]) -> None:
    table = ElfSection(".symtab", type=NOBITS, size_bytes=96, entry_bytes=24)
    assert not identify(opened, write_elf(TEXT, table)).has_symtab


def test_names_of_debug_files_keep_bytes_that_are_not_utf8(opened: Callable[[bytes], int]) -> None:
    identity = identify(opened, write_elf(debuglink_section(b"\xff.debug", 7)))
    assert os.fsencode(identity.debuglink) == b"\xff.debug"


@pytest.mark.parametrize("data", [b"", b"name without end", b"\0\0\0\0\0\0\0\0"])
def test_damaged_debug_links_count_as_none(opened: Callable[[bytes], int], data: bytes) -> None:
    assert identify(opened, write_elf(ElfSection(".gnu_debuglink", data))).debuglink == ""


@pytest.mark.parametrize("name", [".note.gnu.build-id", ".gnu_debuglink"])
def test_a_damaged_section_hides_nothing_else(opened: Callable[[bytes], int], name: str) -> None:
    damaged = ElfSection(name, type=7 if name.startswith(".note") else 1, size_bytes=1 << 40)
    go = ElfSection(".note.go.buildid", note(b"Go", 4, b"abc"), 7, alignment=4)
    identity = identify(opened, write_elf(damaged, TEXT, go, segments=[ElfSegment(".text")]))
    assert identity.build_id_go == "abc"
    assert identity.build_id_htlhash
    assert len(identity.segments) == 1


def test_a_segment_that_wraps_around_is_refused(opened: Callable[[bytes], int]) -> None:
    data = write_elf(TEXT, segments=[ElfSegment(".text", vaddr=(1 << 64) - 32, memory_bytes=64)])
    with pytest.raises(BadElf):
        extract_identity([opened(data)])


@pytest.mark.parametrize(
    ("file_offset", "vaddr"),
    [
        (0x1840, 0x402840),
        (0x283F, 0x40383F),
        (0x1000, 0x402000),
        (0x2FFF, 0x403FFF),
        (0x0FFF, None),
        (0x3000, None),
        (0, None),
    ],
)
def test_file_offsets_become_addresses_of_executable_segments(file_offset: int, vaddr: int | None) -> None:
    assert LINKED.vaddr_of(file_offset) == vaddr


def test_an_exact_segment_wins_over_the_page_of_another() -> None:
    identity = replace(
        LINKED, segments=(LoadSegment(0x800, 0x10800, 0x100, 0x100, 5), LoadSegment(0x900, 0x20900, 0x100, 0x100, 5))
    )
    assert identity.vaddr_of(0x910) == 0x20910


def test_the_mapping_is_that_of_the_whole_pages() -> None:
    mapping = Mapping("/bin/tool", 0x402000, 0x404000, 0x1000, build_id_gnu="ab" * 20, build_id_htlhash="0" * 32)

    assert LINKED.mapping_at(0x402840, "/bin/tool") == mapping
    assert LINKED.mapping_at(0x403FFF, "/bin/tool") == mapping
    assert LINKED.mapping_at(0x400000, "/bin/tool") is None
    assert LINKED.mapping_at(0x404840, "/bin/tool") is None


segments = st.builds(LoadSegment, *[st.integers(0, (1 << 63) - 1)] * 4, st.integers(0, 7))
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
identities = st.builds(
    Identity,
    is_elf=st.booleans(),
    build_id_gnu=names,
    build_id_go=names,
    build_id_htlhash=names,
    language=names,
    debuglink=names,
    debuglink_crc=st.integers(0, (1 << 32) - 1),
    has_symtab=st.booleans(),
    segments=st.lists(segments, max_size=4).map(tuple),
)


@given(identities)
def test_identities_survive_packing(identity: Identity) -> None:
    data = memoryview(pack_identity(identity))
    assert Identity.parse(data) == identity


@given(st.data())
def test_damaged_identities_are_refused_or_read(data: st.DataObject) -> None:
    raw = bytearray(pack_identity(LINKED))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        identity = Identity.parse(memoryview(bytes(raw)))
    except BadArtifact:
        return
    identity.mapping_at(0x402840, "x")


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        check_identity(memoryview(data))
    except BadArtifact:
        return


def test_a_real_binary() -> None:
    path = Path("/bin/true")
    with path.open("rb") as file:
        identity = Identity.parse(memoryview(extract_identity([file.fileno()])))
    assert identity.is_elf
    assert identity.build_id_htlhash == htlhash(path.read_bytes())
    assert any(segment.is_executable for segment in identity.segments)
