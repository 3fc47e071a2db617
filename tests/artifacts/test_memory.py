"""Files as memory: sealed, mapped without a descriptor, unmapped when nobody looks any more."""

import mmap
import os
from pathlib import Path

import pytest

from otelprof.artifacts.memory import create_memory_file, map_file, seal, write_all


def mappings(name: str) -> int:
    return Path("/proc/self/maps").read_text().count(name)


def test_a_mapping_lives_as_long_as_its_last_view() -> None:
    file = create_memory_file("otelprof-test-mapping")
    write_all(file, bytes(range(256)) * 32)
    whole = map_file(file, 8192)
    os.close(file)
    part = whole[8:24].cast("Q")
    assert whole.readonly
    del whole

    assert mappings("otelprof-test-mapping") == 1
    assert part[0] == int.from_bytes(bytes(range(8, 16)), "little")
    del part
    assert mappings("otelprof-test-mapping") == 0


def test_nothing_can_be_mapped_too() -> None:
    file = create_memory_file("empty")
    assert bytes(map_file(file, 0)) == b""
    os.close(file)


def test_what_cannot_be_mapped_is_an_error(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError, match="No such device"):
        map_file(directory, 100)
    os.close(directory)


def test_seals_hold() -> None:
    file = create_memory_file("sealed")
    os.ftruncate(file, 100)
    seal(file, size_only=True)
    assert os.pwrite(file, b"x", 99) == 1
    with pytest.raises(PermissionError):
        os.pwrite(file, b"x", 100)
    with pytest.raises(PermissionError):
        os.ftruncate(file, 50)

    seal(file)
    with pytest.raises(PermissionError):
        os.pwrite(file, b"x", 0)
    os.close(file)


def test_a_file_that_somebody_can_still_write_is_not_sealed() -> None:
    file = create_memory_file("mapped")
    os.ftruncate(file, 4096)
    with mmap.mmap(file, 4096), pytest.raises(OSError, match="busy"):
        seal(file)
    os.close(file)
