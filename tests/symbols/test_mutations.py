"""Thousands of damaged binaries: each is read or refused with BadInput, in bounded time and memory."""

import os
import random
import resource
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otelprof.errors import BadInput
from otelprof.symbols.extract import extract_identity, extract_symbols
from otelprof.symbols.identity import check_identity
from otelprof.symbols.table import check_symbols
from tests.elfwriter import (
    ALLOC,
    EXECUTE,
    RELA,
    ElfSection,
    ElfSegment,
    ElfSymbol,
    build_id_section,
    debugdata_section,
    debuglink_section,
    write_elf,
)

MAX_CPU_S = 2.0
"""Of one file; a sound one takes a millisecond."""

MAX_GROWTH_KIB = 200 << 10
"""Of this process, over all files."""

TEXT = ElfSection(".text", bytes(range(256)), flags=ALLOC | EXECUTE, address=0x1000)
SYMBOLS = [
    ElfSymbol("_RINvNtC3std3mem8align_ofNtNtC3std3mem12DiscriminantE", 0x1000, 16),
    ElfSymbol("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", 0x1010, 16),
    ElfSymbol("_ZNKSt6vectorIiSaIiEE4sizeEv", 0x1020, 64),
    ElfSymbol("inner", 0x1030, 16),
    ElfSymbol("memcpy@@GLIBC_2.14", 0x1080),
]


def seeds() -> dict[str, bytes]:
    relocations = struct.pack("<QQq", 0, 1 << 32 | 7, 0)
    inner = write_elf(TEXT, build_id_section("ab" * 20), symbols=SYMBOLS)
    own = write_elf(
        TEXT,
        ElfSection(".plt", bytes(32), flags=ALLOC | EXECUTE, address=0x3000),
        ElfSection(".rela.plt", relocations, RELA, entry_bytes=24),
        build_id_section("ab" * 20),
        debuglink_section(b"tool.debug", zlib.crc32(inner)),
        debugdata_section(inner),
        dynamic_symbols=[ElfSymbol("puts", 0, section=0), *SYMBOLS],
        segments=[ElfSegment(".text"), ElfSegment(".plt")],
    )
    files = {"own": own, "symbols": inner}
    for path in (Path("/bin/true"), Path("/usr/lib/x86_64-linux-gnu/libdl.so.2")):
        if path.exists():
            files[path.name] = path.read_bytes()
    return files


def mutate(data: bytes, choose: random.Random) -> bytes:
    """Damage a file where it hurts: its headers, its tables, its length."""
    changed = bytearray(data)
    for _ in range(choose.randint(1, 6)):
        # Headers are at the start, the section table of our own and most other files at the end.
        at = choose.choice((choose.randrange(64), choose.randrange(len(changed)), -choose.randrange(1, 2048)))
        at = max(-len(changed), min(at, len(changed) - 8))
        kind = choose.randrange(4)
        if kind == 0:
            changed[at] ^= 1 << choose.randrange(8)
        elif kind == 1:
            changed[at] = choose.randrange(256)
        elif kind == 2:
            number = choose.choice((0, 1, 0xFFFF, 0xFFFF_FFFF, (1 << 63) - 1, (1 << 64) - 1, len(data), 1 << 32))
            at %= len(changed)
            changed[at : at + 8] = number.to_bytes(8, "little")
        else:
            at %= len(changed)
            end = min(at + choose.randrange(1, 64), len(changed))
            source = choose.randrange(len(changed))
            changed[at:end] = changed[source : source + end - at]
    if choose.random() < 0.1:
        del changed[choose.randrange(1, len(changed)) :]
    return bytes(changed)


def variants(count: int) -> Iterator[tuple[str, int, bytes, bytes]]:
    files = seeds()
    for number in range(count):
        name = sorted(files)[number % len(files)]
        choose = random.Random(f"{name} {number}")
        yield name, number, mutate(files[name], choose), mutate(files["symbols"], choose)


def survive(count: int, opened: Callable[[bytes], int]) -> None:
    read = refused = 0
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, number, binary, debug in variants(count):
        files = [opened(binary), opened(debug)]
        start = time.process_time()
        for extract, check in ((extract_identity, check_identity), (extract_symbols, check_symbols)):
            try:
                check(memoryview(extract(files)))
                read += 1
            except BadInput:
                refused += 1
            except Exception as error:
                raise AssertionError(f"variant {number} of {name}") from error
        assert time.process_time() - start < MAX_CPU_S, f"variant {number} of {name}"
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < MAX_GROWTH_KIB
    # The mutations are worth something only if some of them hurt and some do not.
    assert read > count / 10
    assert refused > count / 10


@pytest.fixture
def reopened() -> Iterator[Callable[[bytes], int]]:
    """Two files in turn, so that ten thousand variants need no ten thousand descriptors."""
    files = [os.memfd_create("first"), os.memfd_create("second")]
    turn = 0

    def write(data: bytes) -> int:
        nonlocal turn
        file = files[turn % 2]
        turn += 1
        os.ftruncate(file, 0)
        os.pwrite(file, data, 0)
        return file

    yield write
    for file in files:
        os.close(file)


def test_damaged_files_are_read_or_refused(reopened: Callable[[bytes], int]) -> None:
    survive(1500, reopened)


@pytest.mark.real
def test_ten_thousand_damaged_files(reopened: Callable[[bytes], int]) -> None:
    survive(10_000, reopened)
