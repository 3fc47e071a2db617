"""The ELF reader finds what is there and refuses, in bounded time, what cannot be."""

import os
import struct
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import BadElf
from otelprof.symbols.elf import ElfFile, FileSource, MemorySource, Segment
from otelprof.symbols.notes import Note, gnu_build_id, go_build_id, iter_notes
from tests.elfwriter import (
    ALLOC,
    COMPRESSED,
    EXECUTE,
    NOBITS,
    ElfSection,
    ElfSegment,
    build_id_section,
    note,
    write_elf,
)

TEXT = ElfSection(".text", b"\x90" * 64, flags=ALLOC | EXECUTE, address=0x1000, alignment=16)


def elf(*sections: ElfSection, segments: tuple[ElfSegment, ...] = ()) -> ElfFile:
    return ElfFile(MemorySource(write_elf(*sections, segments=segments)))


def compressed(kind: int, size: int, body: bytes) -> ElfSection:
    return ElfSection(".z", struct.pack("<IIQQ", kind, 0, size, 1) + body, flags=COMPRESSED)


def test_reads_headers_segments_and_sections() -> None:
    file = elf(TEXT, segments=(ElfSegment(".text", memory_bytes=128),))

    assert file.machine == 62
    assert file.segments == (Segment(1, 5, 64, 0x1000, 0x1000, 64, 128, 16),)
    text = file.section(".text")
    assert text is not None
    assert (text.address, text.size_bytes, text.flags) == (0x1000, 64, ALLOC | EXECUTE)
    assert file.section_data(text) == b"\x90" * 64
    assert file.data_of(".absent") == b""


def test_reads_through_a_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "elf"
    path.write_bytes(write_elf(TEXT))
    with path.open("rb") as file:
        assert ElfFile(FileSource(file.fileno())).data_of(".text") == b"\x90" * 64


def test_a_file_that_shrinks_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "elf"
    path.write_bytes(write_elf(TEXT))
    with path.open("rb") as file:
        source = FileSource(file.fileno())
        os.truncate(path, 32)
        with pytest.raises(BadElf, match="shorter"):
            ElfFile(source)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (slice(0, 4), "not a 64-bit"),
        (slice(4, 5), "not a 64-bit"),
        (slice(32, 40), "outside the file"),
        (slice(54, 56), "impossible size"),
        (slice(56, 58), "impossible size"),
    ],
)
def test_refuses_damaged_headers(change: slice, match: str) -> None:
    data = bytearray(write_elf(TEXT, segments=(ElfSegment(".text"),)))
    data[change] = b"\xee" * (change.stop - change.start)
    with pytest.raises(BadElf, match=match):
        ElfFile(MemorySource(bytes(data)))


def test_a_damaged_section_table_counts_as_none() -> None:
    data = bytearray(write_elf(TEXT, segments=(ElfSegment(".text"),)))
    data[40:48] = b"\xee" * 8
    file = ElfFile(MemorySource(bytes(data)))

    assert file.sections == ()
    assert len(file.segments) == 1


def test_more_sections_than_the_header_can_count() -> None:
    data = bytearray(write_elf(TEXT))
    table = int.from_bytes(data[40:48], "little")
    count, names = struct.unpack_from("<HH", data, 60)
    struct.pack_into("<HH", data, 60, 0, 0xFFFF)
    struct.pack_into("<Q", data, table + 32, count)
    struct.pack_into("<I", data, table + 40, names)

    assert ElfFile(MemorySource(bytes(data))).section(".text") is not None


def test_sections_beyond_the_limit_are_not_read() -> None:
    data = write_elf(ElfSection(".big", b"x" * 100))
    file = ElfFile(MemorySource(data))
    section = file.section(".big")
    assert section is not None
    with pytest.raises(BadElf, match="too large"):
        file.section_data(section, limit_bytes=99)


def test_sections_without_bytes_are_empty() -> None:
    assert elf(ElfSection(".bss", type=NOBITS, size_bytes=1 << 40)).data_of(".bss") == b""


@pytest.mark.parametrize(("kind", "pack"), [(1, zlib.compress), (2, zstandard.compress)])
def test_compressed_sections_are_unpacked(kind: int, pack: object) -> None:
    body = pack(b"text" * 1000)  # type: ignore[operator]
    assert elf(compressed(kind, 4000, body)).data_of(".z") == b"text" * 1000


@pytest.mark.parametrize(
    "section",
    [
        ElfSection(".z", b"short", flags=COMPRESSED),
        compressed(3, 4, b"body"),
        compressed(1, 4, b"body"),
        compressed(2, 4, b"body"),
        compressed(1, 1 << 40, zlib.compress(b"x")),
        compressed(1, 3, zlib.compress(b"four")),
        compressed(1, 5, zlib.compress(b"four")),
        compressed(2, 3, zstandard.compress(b"four")),
    ],
)
def test_refuses_damaged_compression(section: ElfSection) -> None:
    with pytest.raises(BadElf):
        elf(section).data_of(".z")


def test_a_zip_bomb_stops_at_its_declared_size() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    with pytest.raises(BadElf):
        elf(compressed(1, 1000, bomb)).data_of(".z")


def test_notes_come_from_sections_or_segments() -> None:
    with_sections = elf(build_id_section("abcd"))
    assert gnu_build_id(with_sections.notes()) == "abcd"

    raw = write_elf(build_id_section("abcd"), segments=(ElfSegment(".note.gnu.build-id", type=4),))
    without = bytearray(raw)
    without[40:48] = bytes(8)
    assert gnu_build_id(ElfFile(MemorySource(bytes(without))).notes()) == "abcd"


def test_build_ids_among_other_notes() -> None:
    data = note(b"GNU", 1, bytes(16)) + note(b"Go", 4, b"abc/def") + note(b"GNU", 3, b"\x12\x34\x56")
    notes = list(iter_notes(data))

    assert gnu_build_id(notes) == "123456"
    assert go_build_id(notes) == "abc/def"
    assert gnu_build_id([]) == go_build_id([]) == ""
    assert gnu_build_id([Note(b"GNU", 3, bytes(1000))]) == ""


def test_notes_of_eight_byte_alignment() -> None:
    first = struct.pack("<III4s4s", 4, 4, 5, b"GNU\0", b"abcd")
    second = note(b"GNU", 3, b"\xab")

    assert [entry.type for entry in iter_notes(first + bytes(4) + second, 8)] == [5, 3]
    assert [entry.type for entry in iter_notes(first + second, 4)] == [5, 3]


@given(st.binary(max_size=200), st.sampled_from([1, 4, 8]))
def test_notes_of_any_bytes_end(data: bytes, alignment: int) -> None:
    for entry in iter_notes(data, alignment):
        assert len(entry.description) <= len(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tail: bytes) -> None:
    try:
        file = ElfFile(MemorySource(b"\x7fELF\x02\x01\x01" + tail))
    except BadElf:
        return
    for section in file.sections:
        try:
            file.section_data(section)
        except BadElf:
            continue
