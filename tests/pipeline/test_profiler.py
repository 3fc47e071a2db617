"""From what a sampler yields to closed windows."""

import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from otelprof.errors import BadRecord
from otelprof.model.check import check
from otelprof.model.rules import Level
from otelprof.pipeline.profiler import drain_interval_ns
from otelprof.sampler.records import BuildIdFrame, BuildIds, Outcome
from tests.pipeline.conftest import MakeWorld
from tests.pipeline.scripted import KernelSide, identity, kernel_stack, native, raw, user_stack
from tests.pipeline.world import TEXT_ADDRESS, World, elf, resource_of

BASE = 0x7F00_0000_0000
KERNEL_TEXT = 0xFFFFFFFF81000000


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin-app"
    path.write_bytes(elf({"work": 0x10, "main": 0x40}))
    return path


def finish(world: World) -> None:
    world.profiler.finish(60)
    assert world.balance()[0] == world.balance()[1]
    for window in world.windows:
        assert [breach for breach in check(window.batch.payload) if breach.level is not Level.NOTICE] == []


def test_a_sample_becomes_a_named_stack_of_its_process(world: World, program: Path) -> None:
    world.run(10, (BASE, program))
    sampler = world.sampler
    sampler.notify(world.host.notice(10))
    sampler.write(
        kernel_stack(7, KERNEL_TEXT + 0x100),
        user_stack(5, raw(BASE + 0x18, called=False), raw(BASE + 0x48), space=1),
    )
    sampler.sample((identity(kernel=7, user=5), world.clock()))

    world.profiler.start()
    world.step()
    finish(world)

    assert world.names() == {("do_work", "work", "main"): 1}
    (sample,) = world.samples()
    assert resource_of(sample)["process.pid"] == 10
    assert dict(sample.attributes)["thread.name"] == "app"


def test_the_kernel_side_is_told_of_a_binary_once_a_sample_has_hit_it(
    world: World, program: Path, settle: Callable[[], None]
) -> None:
    world.run(10, (BASE, program))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.step()
    assert [row.binary for row in world.sampler.described[1]] == [0]

    world.sampler.write(user_stack(5, raw(BASE + 0x18, called=False), space=1))
    world.step(0.3)
    settle()
    world.sampler.write(user_stack(6, raw(BASE + 0x48, called=False), space=1))
    world.step(1)

    (row,) = world.sampler.described[1]
    assert row.binary > 0
    assert BASE - row.bias == TEXT_ADDRESS
    world.sampler.write(user_stack(8, native(row.binary, TEXT_ADDRESS + 0x18, called=False)))
    world.sampler.sample((identity(user=8), world.clock()))
    finish(world)
    assert world.names() == {("work",): 1}


def test_windows_close_in_order_and_hold_what_was_drained_in_them(world: World) -> None:
    world.profiler.start()
    world.sampler.write(user_stack(5, raw(0x4000, called=False), space=1))
    for window in range(3):
        world.sampler.sample(*[(identity(user=5), world.clock())] * (window + 1))
        world.step(5)
        world.step(2.1)
    finish(world)

    batches = [window.batch for window in world.windows]
    assert [batch.sample_count for batch in batches] == [1, 2, 3]
    assert [batch.sequence for batch in batches] == [0, 1, 2]
    assert all(first.end_ns <= second.start_ns for first, second in pairwise(batches))


def test_a_window_waits_for_names_but_not_for_ever(
    world: World, program: Path, settle: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(10, (BASE, program))
    world.profiler.start()
    monkeypatch.setattr(world.store, "poll", lambda: None)  # the worker's answers are not looked at
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE + 0x18, called=False), space=1))
    world.sampler.sample((identity(user=5), world.clock()))

    world.step(5)
    world.step(1.9)
    assert world.windows == []
    world.step(0.2)
    assert world.names() == {("<native>",): 1}

    monkeypatch.undo()
    settle()
    world.sampler.sample((identity(user=5), world.clock()))
    finish(world)
    assert world.names() == {("<native>",): 1, ("work",): 1}


def test_a_stack_that_was_never_defined_is_lost_by_name(world: World) -> None:
    world.profiler.start()
    world.sampler.sample((identity(user=99), world.clock()), (identity(), world.clock()))
    world.step()
    finish(world)

    assert world.profiler.lost == {"stack_undefined": 1}
    assert world.profiler.accepted == 1


def test_a_process_whose_notice_was_lost_still_has_an_owner(world: World) -> None:
    world.profiler.start()
    world.sampler.sample((identity(pid=77, comm=b"quick"), world.clock()))
    world.step()
    finish(world)

    (sample,) = world.samples()
    assert resource_of(sample)["process.pid"] == 77
    assert resource_of(sample)["service.name"] == "quick"


def test_a_process_that_is_gone_is_named_by_build_ids(world: World, tmp_path: Path, settle: Callable[[], None]) -> None:
    library = tmp_path / "libshared.so"
    library.write_bytes(elf({"shared_work": 0x20}, build_id="ab" * 20))
    world.run(10, (BASE, library))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE + 0x28, called=False), space=1))
    world.sampler.sample((identity(user=5), world.clock()))
    world.step()
    settle()

    world.sampler.notify(world.host.notice(11, space=2))  # there is no such process any more
    world.sampler.write(
        user_stack(6, raw(0x1234, called=False), space=2, pid=11),
        BuildIds(6, 2, (BuildIdFrame(bytes.fromhex("ab" * 20), TEXT_ADDRESS + 0x28),)),
    )
    world.sampler.sample((identity(pid=11, space=2, user=6), world.clock()))
    world.step(0.5)
    finish(world)

    assert world.names() == {("shared_work",): 2}


def test_what_lies_above_the_stack_is_cut_and_code_of_a_jit_stays(world: World, program: Path) -> None:
    world.run(10, (BASE, program), (BASE + 0x10000, None))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(
        user_stack(5, raw(BASE + 0x10010, called=False), raw(BASE + 0x48), raw(0x5555), raw(BASE + 0x48), space=1)
    )
    outcome = Outcome.BAD_FRAME_POINTER
    world.sampler.sample((identity(user=5, outcome=outcome), world.clock()))
    world.step()
    finish(world)

    assert world.names() == {("<unknown>", "main"): 1}
    assert dict(world.samples()[0].attributes)["otelprof.stack.outcome"] == "bad_frame_pointer"
    assert world.profiler.complete == 0


@pytest.mark.parametrize(
    ("root", "complete"),
    [
        ({"_start": 0x10}, 1),
        ({"__libc_start_call_main": 0x10}, 1),
        ({"start_thread": 0x10}, 1),
        ({"elsewhere": 0x80}, 1),
        ({"qsort": 0x10}, 0),
    ],
)
def test_a_walk_that_ends_in_start_code_is_complete(
    root: dict[str, int], complete: int, world: World, program: Path, tmp_path: Path
) -> None:
    """Code without a name that calls main is that of a C library without debug symbols."""
    library = tmp_path / "libc.so"
    library.write_bytes(elf(root))
    world.run(10, (BASE, program), (BASE + 0x10000, library))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE + 0x48, called=False), raw(BASE + 0x10018), space=1))
    world.sampler.sample((identity(user=5, outcome=Outcome.BAD_FRAME_POINTER), world.clock()))
    world.step()
    finish(world)

    assert world.profiler.complete == complete


def test_a_library_that_was_loaded_since_is_found(world: World, program: Path, tmp_path: Path) -> None:
    world.run(10, (BASE, program))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.step()
    plugin = tmp_path / "plugin.so"
    plugin.write_bytes(elf({"plug": 0x10}))
    world.run(10, (BASE, program), (BASE + 0x20000, plugin))

    world.sampler.write(user_stack(5, raw(BASE + 0x20018, called=False), space=1))
    world.sampler.sample((identity(user=5), world.clock()))
    world.step(0.5)
    finish(world)

    assert world.names() == {("plug",): 1}


def test_many_epochs_lose_nothing(make_world: MakeWorld, kernel_side: KernelSide) -> None:
    world = make_world(kernel_side, max_stacks=8)
    world.profiler.start()
    for turn in range(40):
        stacks = [user_stack(1000 * turn + n + 1, raw(0x4000 + n, called=False), space=1) for n in range(6)]
        kernel_side.tick(world.clock(), stacks)
        world.step(1.3)
    finish(world)

    assert kernel_side.calls["next_epoch"] > 2
    assert world.profiler.lost.total() == 0
    assert world.profiler.accepted == 240


@pytest.mark.parametrize("call", ["drain_samples", "drain_records", "describe", "follow_hotplug", "forget"])
def test_a_failure_on_the_way_ends_nothing(
    world: World, program: Path, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.run(10, (BASE, program))
    world.profiler.start()
    world.sampler.failing[call] = BadRecord("it went wrong")
    with caplog.at_level(logging.WARNING):
        for _ in range(8):
            world.sampler.notify(world.host.notice(10))
            world.sampler.sample((identity(), world.clock()))
            world.step(1)
        world.end(10)
        world.step(6)
        finish(world)

    assert "it went wrong" in caplog.text
    assert world.profiler.accepted == 8


def test_ended_processes_are_forgotten(world: World, program: Path) -> None:
    world.run(10, (BASE, program))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.step()
    world.end(10)
    world.step(6)

    assert world.sampler.forgotten == [1]
    finish(world)


@pytest.mark.parametrize(
    ("frequency_hz", "cpus", "expected_ns"),
    [(19, 2, 1_000_000_000), (99, 16, 315_656_565), (999, 64, 100_000_000), (19, 0, 1_000_000_000)],
)
def test_samples_are_drained_as_often_as_they_come(frequency_hz: int, cpus: int, expected_ns: int) -> None:
    assert drain_interval_ns(frequency_hz, cpus) == expected_ns
