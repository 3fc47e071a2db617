"""The real extract functions in the real worker: forged build ids, damaged files."""

import os
import random
import time
from pathlib import Path

import pytest

from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.kinds import IDENTITY, SYMBOLS
from otelprof.artifacts.store import ArtifactStore, State
from otelprof.symbols.identity import Identity
from otelprof.symbols.table import SymbolTable
from tests.artifacts.conftest import key_of, write_old
from tests.elfwriter import (
    ALLOC,
    EXECUTE,
    ElfSection,
    ElfSegment,
    ElfSymbol,
    build_id_section,
    debugdata_section,
    write_elf,
)

BUILD_ID = "ab" * 20


def elf(function: str) -> bytes:
    text = ElfSection(".text", b"\x90" * 64, flags=ALLOC | EXECUTE, address=0x1000)
    minimal = write_elf(text, symbols=[ElfSymbol(f"{function}_debug", 0x1020, 16)])
    return write_elf(
        text,
        build_id_section(BUILD_ID),
        debugdata_section(minimal),
        segments=[ElfSegment(".text")],
        symbols=[ElfSymbol(function, 0x1000, 16)],
    )


def test_a_forged_build_id_changes_no_name_elsewhere(tmp_path: Path) -> None:
    files = {name: write_old(tmp_path / name, elf(name)) for name in ("forged", "malloc")}
    with ArtifactStore(tmp_path / "cache") as store:
        for path in files.values():
            for kind in (IDENTITY, SYMBOLS):
                store.request(kind, key_of(path), [open_file(path)], label=str(path))
        assert store.wait(time.monotonic() + 60)
        for name, path in files.items():
            identity, symbols = (store.get(kind, key_of(path)) for kind in (IDENTITY, SYMBOLS))
            assert identity is not None
            assert Identity.parse(identity).build_id_gnu == BUILD_ID
            assert symbols is not None
            symbol = SymbolTable(symbols).find(0x1004)
            assert symbol is not None
            assert symbol.name == name


def open_file(path: Path) -> int:
    return os.open(path, os.O_RDONLY)


def feed_damaged_files(tmp_path: Path, count: int) -> None:
    """Damage one file again and again; each copy must cost itself alone, and be counted."""
    chance = random.Random(count)
    whole = elf("function")
    good = write_old(tmp_path / "good", whole)
    path = tmp_path / "damaged"
    with ArtifactStore(None) as store:
        for number in range(count):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            path.write_bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])
            key = (FileKey.synthetic(b"%d" % number),)
            kind = chance.choice((IDENTITY, SYMBOLS))
            store.request(kind, key, [open_file(path)], label=f"damaged {number}")
            # One name, overwritten: each must be read before the next is written.
            assert store.wait(time.monotonic() + 60)
            assert store.state(kind, key) in {State.READY, State.FAILED}
        store.request(SYMBOLS, key_of(good), [open_file(good)], label="good")
        assert store.wait(time.monotonic() + 60)
        assert store.state(SYMBOLS, key_of(good)) is State.READY

        counters = store.counters()
        failed = sum(number for name, number in counters.items() if name.startswith("failed_"))
        assert counters["built"] + counters["shared"] + failed == counters["requests"] == count + 1
        assert counters["worker_starts"] == 1
        assert counters["failed_refused"] == failed, "a parser crashed, hung or wrote nonsense"


def test_damaged_files_cost_themselves(tmp_path: Path) -> None:
    feed_damaged_files(tmp_path, 250)


@pytest.mark.real
def test_ten_thousand_damaged_files_cost_themselves(tmp_path: Path) -> None:
    feed_damaged_files(tmp_path, 10_000)
