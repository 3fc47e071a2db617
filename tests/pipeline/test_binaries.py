"""Binaries by number: found, opened through whoever has them, bounded."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from otelprof.errors import ProcessGone
from otelprof.pipeline import binaries as module
from otelprof.pipeline.binaries import mapping_at
from otelprof.processes.table import Process
from tests.pipeline.world import TEXT_ADDRESS, World, elf, times_open

BASE = 0x7F00_0000_0000
BUILD_ID = "ab" * 20

Settle = Callable[[], None]


def put(path: Path, *names: str, build_id: str = "") -> Path:
    path.write_bytes(elf({name: 16 * index for index, name in enumerate(names)}, build_id))
    return path


def learn(world: World, pid: int, *places: tuple[int, Path | None], space: int = 0) -> Process:
    world.run(pid, *places)
    return world.processes.learn(world.host.notice(pid, space or pid))


def known(world: World, settle: Settle, process: Process, address: int = BASE) -> int:
    """Have the segments of the binary at an address read; return its number."""
    world.binaries.locate(process, address)
    settle()
    return world.binaries.locate(process, address).binary


def content(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)


def test_an_address_belongs_to_the_mapping_that_holds_it(world: World) -> None:
    process = learn(world, 10, (BASE, None), (BASE + 0x1000, None), (BASE + 0x5000, None))

    def start(address: int) -> int | None:
        mapping = mapping_at(process, address)
        return mapping.start - BASE if mapping else None

    assert [start(BASE + offset) for offset in (-1, 0, 0xFFF, 0x1000, 0x2000, 0x5FFF, 0x6000)] == [
        None,
        0,
        0,
        0x1000,
        None,
        0x5000,
        None,
    ]


def test_one_file_is_one_binary_in_every_process_and_another_file_another(world: World, tmp_path: Path) -> None:
    first, other = put(tmp_path / "a", "f"), put(tmp_path / "b", "f")
    ten = learn(world, 10, (BASE, first), (BASE + 0x4000, other))
    eleven = learn(world, 11, (BASE + 0x8000, first))

    numbers = [world.binaries.number(ten, mapping) for mapping in ten.mappings]
    assert len(set(numbers)) == 2
    assert 0 not in numbers
    assert world.binaries.number(eleven, eleven.mappings[0]) == numbers[0]
    assert len(world.binaries) == 2


def test_an_address_is_located_once_the_segments_are_known(world: World, tmp_path: Path, settle: Settle) -> None:
    process = learn(world, 10, (BASE, put(tmp_path / "a", "f")), (BASE + 0x4000, None))

    assert not world.binaries.locate(process, BASE + 0x18).certain
    settle()
    found = world.binaries.locate(process, BASE + 0x18)
    assert (found.address, found.certain) == (TEXT_ADDRESS + 0x18, True)
    for elsewhere in (BASE + 0x4010, BASE + 0x9000):
        nowhere = world.binaries.locate(process, elsewhere)
        assert (nowhere.binary, nowhere.address, nowhere.certain) == (0, elsewhere, True)


def test_rows_ask_for_nothing_and_tell_what_is_known(world: World, tmp_path: Path, settle: Settle) -> None:
    process = learn(world, 10, (BASE, put(tmp_path / "a", "f")), (BASE + 0x4000, put(tmp_path / "b", "g")))
    pending = world.store.pending()

    assert [row.binary for row in world.binaries.rows(process)] == [0, 0]
    assert world.store.pending() == pending
    number = known(world, settle, process)
    hit, not_hit = world.binaries.rows(process)
    assert (hit.binary, hit.start - hit.bias) == (number, TEXT_ADDRESS)
    assert (not_hit.binary, not_hit.bias) == (0, 0)


def test_a_file_that_is_no_binary_is_located_nowhere(world: World, tmp_path: Path, settle: Settle) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\n" * 1000)
    process = learn(world, 10, (BASE, script))
    known(world, settle, process)

    assert world.binaries.locate(process, BASE) == module.Location(0, BASE, certain=True)
    assert world.binaries.rows(process)[0].binary == 0


def test_what_was_seen_of_a_process_stays_known_when_it_is_gone(world: World, tmp_path: Path, settle: Settle) -> None:
    process = learn(world, 10, (BASE, put(tmp_path / "a", "f")))
    number = known(world, settle, process)
    world.end(10)
    (gone,) = world.processes.sweep()
    world.binaries.forget(10)

    assert gone.gone
    assert world.binaries.locate(gone, BASE + 0x18).binary == number


def test_a_process_that_was_never_seen_alive_has_no_binaries(world: World, tmp_path: Path) -> None:
    process = learn(world, 10, (BASE, put(tmp_path / "a", "f")))
    world.end(10)

    assert world.binaries.number(process, process.mappings[0]) == 0


def test_a_deleted_file_is_read_while_its_process_has_it(world: World, tmp_path: Path) -> None:
    program, kept = put(tmp_path / "a", "f"), tmp_path / "kept"
    kept.hardlink_to(program)
    process = learn(world, 10, (BASE, program))
    # What map_files leads to lives on without a name; here it has another one.
    world.host.link(f"proc/10/map_files/{BASE:x}-{BASE + 0x1000:x}", kept)
    program.unlink()

    file = world.binaries.file(world.binaries.number(process, process.mappings[0]))
    assert file is not None
    assert content(file.open()) == kept.read_bytes()


def test_a_file_stays_open_for_a_moment_and_then_is_opened_through_who_still_has_it(
    world: World, tmp_path: Path
) -> None:
    program = put(tmp_path / "a", "f")
    ten, eleven = learn(world, 10, (BASE, program)), learn(world, 11, (BASE + 0x4000, program))
    number = world.binaries.number(ten, ten.mappings[0])
    assert world.binaries.number(eleven, eleven.mappings[0]) == number
    world.end(10)
    file = world.binaries.file(number)
    assert file is not None
    assert content(file.open()) == program.read_bytes()

    world.clock.advance(11)
    world.binaries.release_files()
    with pytest.raises(ProcessGone):
        file.open()
    for process in world.processes.sweep():
        world.binaries.forget(process.space)
    file = world.binaries.file(number)
    assert file is not None
    assert content(file.open()) == program.read_bytes()


def test_a_binary_without_a_living_process_is_found_again_in_the_next(world: World, tmp_path: Path) -> None:
    program = put(tmp_path / "a", "f")
    ten = learn(world, 10, (BASE, program))
    number = world.binaries.number(ten, ten.mappings[0])
    world.end(10)
    world.processes.sweep()
    world.binaries.forget(10)
    world.clock.advance(11)
    world.binaries.release_files()

    twelve = learn(world, 12, (BASE + 0x4000, program))
    assert world.binaries.number(twelve, twelve.mappings[0]) == number
    file = world.binaries.file(number)
    assert file is not None
    assert content(file.open()) == program.read_bytes()


def test_a_child_that_is_gone_shows_nobody_a_binary(world: World, tmp_path: Path) -> None:
    program = put(tmp_path / "a", "f")
    learn(world, 10, (BASE, program))
    inode = world.host.notice(10).executable_inode
    child = world.processes.learn(world.host.notice(11, 11, parent_pid=10, parent_space=10, executable_inode=inode))
    assert child.gone
    number = world.binaries.number(child, child.mappings[0])
    world.end(10)
    for process in world.processes.sweep():
        world.binaries.forget(process.space)
    world.binaries.close()

    twelve = learn(world, 12, (BASE + 0x4000, program))
    assert world.binaries.number(twelve, twelve.mappings[0]) == number
    file = world.binaries.file(number)
    assert file is not None
    assert content(file.open()) == program.read_bytes()


def test_a_library_that_was_unloaded_is_opened_through_another_process(world: World, tmp_path: Path) -> None:
    library = put(tmp_path / "a", "f")
    ten, eleven = learn(world, 10, (BASE, library)), learn(world, 11, (BASE + 0x4000, library))
    number = world.binaries.number(ten, ten.mappings[0])
    world.binaries.rows(eleven)
    shutil.rmtree(world.host.root / "proc/10/map_files")
    world.host.process(10, maps="", executable=None)
    reread = world.processes.refresh_mappings(10)
    assert reread is not None
    assert world.binaries.rows(reread) == ()
    world.binaries.close()

    file = world.binaries.file(number)
    assert file is not None
    assert content(file.open()) == library.read_bytes()


def test_binaries_that_nobody_has_mapped_are_dropped_when_there_are_many(
    make_world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_BINARIES", 4)
    monkeypatch.setattr(module, "_MAX_ENDED", 2)
    world = make_world()
    stays = learn(world, 10, (BASE, put(tmp_path / "stays", "f")))
    number = world.binaries.number(stays, stays.mappings[0])
    seen = set()
    for pid in range(20, 60):
        process = learn(world, pid, (BASE, put(tmp_path / f"tool-{pid}", "f")))
        seen.add(world.binaries.number(process, process.mappings[0]))
        world.end(pid)
        for ended in world.processes.sweep():
            world.binaries.forget(ended.space)

    assert len(seen) == 40
    assert len(world.binaries) <= 8
    assert len(world.binaries._ended) == 2
    assert world.binaries.number(stays, stays.mappings[0]) == number
    assert world.binaries.file(number) is not None
    assert world.binaries.file(min(seen)) is None


def test_a_process_that_maps_ever_new_files_holds_only_its_present_ones(world: World, tmp_path: Path) -> None:
    learn(world, 10)
    for turn in range(5):
        world.run(10, (BASE, put(tmp_path / f"plugin-{turn}", "f")))
        process = world.processes.refresh_mappings(10)
        assert process is not None
        world.binaries.rows(process)

    assert len(world.binaries._living[10]) == 1


def test_no_file_stays_open(world: World, tmp_path: Path, settle: Settle) -> None:
    program = put(tmp_path / "a", "f")
    known(world, settle, learn(world, 10, (BASE, program)))
    assert times_open(program) == 1
    world.binaries.close()

    assert times_open(program) == 0


def copies(world: World, settle: Settle, *files: Path) -> list[int]:
    """Let one process after the other run a file; return their numbers."""
    return [
        known(world, settle, learn(world, 20 + index, (BASE, file), space=20 + index))
        for index, file in enumerate(files)
    ]


def test_a_library_in_many_containers_is_found_by_its_build_id(world: World, tmp_path: Path, settle: Settle) -> None:
    library = put(tmp_path / "libc", "malloc", build_id=BUILD_ID)
    other = Path(shutil.copy(library, tmp_path / "libc-of-another-layer"))
    numbers = copies(world, settle, library, other)

    assert len(set(numbers)) == 2
    assert world.binaries.with_build_id(BUILD_ID) == numbers[-1]


def test_a_forged_build_id_is_not_trusted(world: World, tmp_path: Path, settle: Settle) -> None:
    library = put(tmp_path / "libc", "malloc", build_id=BUILD_ID)
    (number,) = copies(world, settle, library)
    assert world.binaries.with_build_id(BUILD_ID) == number

    copies(world, settle, put(tmp_path / "forged", "evil", build_id=BUILD_ID))
    assert world.binaries.with_build_id(BUILD_ID) == 0


def test_files_of_which_the_content_is_not_known_to_be_equal_are_not_trusted(
    world: World, tmp_path: Path, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written a moment ago: it may be written again, and look the same.
    monkeypatch.setattr("otelprof.artifacts.keys._SETTLED_NS", 3600 * 10**9)
    library = put(tmp_path / "libc", "malloc", build_id=BUILD_ID)
    copies(world, settle, library, Path(shutil.copy(library, tmp_path / "young")))

    assert world.binaries.with_build_id(BUILD_ID) == 0
