"""What the kernel side is told of processes, and how often."""

from pathlib import Path

import pytest

from otelprof.errors import BpfError
from otelprof.pipeline.describer import Describer
from otelprof.pipeline.failures import Failures
from tests.pipeline.world import World

BASE = 0x7F00_0000_0000


@pytest.fixture
def describer(world: World) -> Describer:
    return Describer(world.sampler, world.processes, world.binaries, Failures(), world.clock)


def times_described(world: World) -> int:
    return world.sampler.calls["describe"]


def test_a_process_is_described_when_it_is_noticed(world: World, describer: Describer) -> None:
    world.run(10, (BASE, None))
    describer.heed(world.host.notice(10))

    (row,) = world.sampler.described[1]
    assert (row.start, row.end, row.binary) == (BASE, BASE + 0x1000, 0)
    assert world.sampler.descriptions == {(1, 10): 1}


def test_a_process_that_is_gone_is_learnt_and_not_described(world: World, describer: Describer) -> None:
    describer.heed(world.host.notice(10))

    process = world.processes.get(1)
    assert process is not None
    assert process.gone
    assert not times_described(world)


def test_what_the_kernel_side_has_forgotten_it_is_told_again(world: World, describer: Describer) -> None:
    world.run(10, (BASE, None))
    describer.heed(world.host.notice(10))
    world.sampler.described.clear()
    describer.heed(world.host.notice(10))

    assert world.sampler.described[1]


@pytest.mark.parametrize("alive", [True, False])
def test_notices_that_repeat_are_answered_ever_more_rarely(
    world: World, describer: Describer, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    # The kernel side repeats a notice every 100 ms for as long as it is not answered.
    world.sampler.rows_left = False
    if alive:
        world.run(10, (BASE, None))
    learnt = []
    learn = world.processes.learn
    monkeypatch.setattr(world.processes, "learn", lambda notice: learnt.append(1) or learn(notice))  # type: ignore[func-returns-value]
    for _ in range(600):
        describer.heed(world.host.notice(10))
        world.clock.advance(0.1)

    # At 0, 0.1, 0.4, 0.9, 1.9 … 31.9 seconds.
    assert len(learnt) == 9
    assert describer._failures.counts["no_room_for_mappings"] == (9 if alive else 0)


def test_mappings_are_read_again_when_code_runs_in_none_of_them(
    world: World, describer: Describer, tmp_path: Path
) -> None:
    world.run(10, (BASE, None))
    describer.heed(world.host.notice(10))
    world.run(10, (BASE, None), (BASE + 0x8000, None))
    describer.refresh(1)

    assert [row.start for row in world.sampler.described[1]] == [BASE, BASE + 0x8000]
    before = times_described(world)
    world.clock.advance(60)
    describer.refresh(1)
    assert times_described(world) == before


def test_nobody_is_read_for_an_unknown_process(world: World, describer: Describer) -> None:
    describer.refresh(99)
    describer.note_raw(98)
    describer.describe_raw()

    assert not times_described(world)
    assert not describer._refresh._plans


def test_a_process_with_raw_addresses_is_described_again_only_when_more_is_known(
    world: World, describer: Describer
) -> None:
    world.run(10, (BASE, None))
    describer.heed(world.host.notice(10))
    for _ in range(3):
        describer.note_raw(1)
        describer.describe_raw()

    assert times_described(world) == 1


def test_nothing_is_kept_of_processes_that_ended(world: World, describer: Describer) -> None:
    for pid in range(10, 15):
        world.run(pid, (BASE, None))
        for _ in range(2):
            describer.heed(world.host.notice(pid, space=pid))
            world.clock.advance(1)
        world.end(pid)
    describer.sweep()

    assert sorted(set(world.sampler.forgotten)) == list(range(10, 15))
    assert not describer._described
    assert not describer._refresh._plans
    assert not world.binaries._living


def test_one_process_that_makes_trouble_is_no_trouble_for_the_next(world: World, describer: Describer) -> None:
    for pid in (10, 11):
        world.run(pid, (BASE, None))
    world.sampler.failing["describe"] = BpfError("BPF map processes: Device or resource busy")
    describer.heed(world.host.notice(10, space=1))
    describer.heed(world.host.notice(11, space=2))

    assert describer._failures.counts == {"process": 1}
    assert list(world.sampler.described) == [2]
    describer.note_raw(1)
    describer.describe_raw()
    assert 1 in world.sampler.described
