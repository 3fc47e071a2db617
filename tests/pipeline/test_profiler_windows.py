"""When windows end and close: what they wait for, and what they must not lose meanwhile."""

import os
import select
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.artifacts.store import ArtifactStore
from otelprof.pipeline import profiler as module
from otelprof.pipeline import rows
from otelprof.pipeline.clock import WallClock
from tests.pipeline.conftest import MakeWorld
from tests.pipeline.scripted import KernelSide, identity, raw, user_stack
from tests.pipeline.world import World, elf, resource_of, times_open

BASE = 0x7F00_0000_0000

Settle = Callable[[], None]


def sample(world: World, user: int = 0, **who: int) -> None:
    world.sampler.sample((identity(user=user, **who), world.clock()))  # type: ignore[arg-type]


def binary(world: World, name: str, *functions: str) -> Path:
    return world.host.write(f"bin/{name}", elf({function: 16 * index for index, function in enumerate(functions)}))


def test_a_new_binary_has_its_names_in_the_first_window(world: World, settle: Settle) -> None:
    world.run(10, (BASE, binary(world, "app", "new_work")))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE, called=False), space=1))
    sample(world, 5)
    world.step()
    settle()  # its segments are known, its symbols were not asked for

    world.step(5)
    assert world.windows == []
    settle()
    world.step(0.2)
    assert world.names() == {("new_work",): 1}


@pytest.mark.parametrize("seconds", [1.0, 0.9])
def test_names_are_read_while_the_window_is_open(world: World, seconds: float) -> None:
    world.run(10, (BASE, binary(world, "app", f"early_work_{seconds}")))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE, called=False), space=1))
    sample(world, 5)
    for _ in range(3):
        world.step(seconds)
        # Whoever looks at the store finds the answers: the poll of each second, or the step that they wake.
        assert not world.store.pending() or select.select([world.store.fileno()], [], [], 60)[0]

    world.step(5)
    assert world.names() == {(f"early_work_{seconds}",): 1}


def test_more_files_than_may_wait_at_one_time_are_read_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otelprof.artifacts.store.MAX_PENDING", 2)
    places = [(BASE + 0x10000 * index, binary(world, f"app-{index}", f"work_{index}")) for index in range(7)]
    world.run(10, *places)
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    for index, (start, _) in enumerate(places):
        world.sampler.write(user_stack(5 + index, raw(start, called=False), space=1))
        sample(world, 5 + index)
    world.step()
    world.profiler.finish(60)

    assert world.names() == {(f"work_{index}",): 1 for index in range(7)}


def test_a_window_that_waits_is_looked_at_soon(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    class Poll:
        def poll(self, timeout_s: float) -> list[tuple[int, int]]:
            waits.append(timeout_s)
            return []

        def close(self) -> None:
            pass

    world.profiler.start()
    sample(world, 99)
    world.step(5)
    world.profiler.poll.close()
    monkeypatch.setattr(world.profiler, "poll", Poll())
    world.profiler.step(1 << 62)

    assert waits == [pytest.approx(0.1)]


def test_a_stack_whose_definition_comes_with_the_next_drain_is_not_lost(world: World) -> None:
    world.profiler.start()
    sample(world, 5)
    world.step(5)
    assert world.windows == []

    world.sampler.write(user_stack(5, raw(BASE, called=False), space=1))
    world.step(0.3)
    assert world.profiler.lost.total() == 0
    assert world.profiler.accepted == 1


def test_windows_follow_each_other_without_gaps_or_overlaps(world: World) -> None:
    world.profiler.start()
    for _ in range(20):
        sample(world)
        world.step(1.7)
        world.clock.advance(2.2)
        sample(world)
        world.step()
    world.clock.advance(0.1)
    world.profiler.finish(0)
    now_ns = world.clock() + 1_700_000_000 * 10**9

    batches = [window.batch for window in world.windows]
    assert len(batches) > 8
    for earlier, later in pairwise(batches):
        # A sample of this very moment is still in the one that ends.
        assert earlier.end_ns - later.start_ns in {0, 1}
    assert batches[-1].end_ns == now_ns
    assert sum(batch.sample_count for batch in batches) == 40


def test_a_window_without_samples_is_not_delivered(world: World) -> None:
    world.profiler.start()
    world.step(5)
    sample(world)
    world.step(5)
    world.profiler.finish(0)

    assert [window.batch.sequence for window in world.windows] == [1]


def test_a_window_with_very_many_samples_ends_early(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WINDOW_SAMPLES", 10)
    world.profiler.start()
    for _ in range(4):
        world.sampler.sample(*[(identity(), world.clock())] * 6)
        world.step(0.3)
    world.profiler.finish(0)

    assert [window.batch.sample_count for window in world.windows] == [12, 12]


def test_a_process_is_known_to_the_end_of_a_window_in_which_it_was_forgotten(
    make_world: MakeWorld,
) -> None:
    world = make_world(window_s=600)
    world.run(10, (BASE, None), environ={"OTEL_SERVICE_NAME": "shop"})
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    sample(world)
    for _ in range(3):
        world.step(1)
    world.end(10)
    for _ in range(100):
        world.step(1)
    assert world.processes.get(1) is None
    world.resolver._rows.clear()
    world.profiler.finish(0)

    (found,) = world.samples()
    assert resource_of(found)["service.name"] == "shop"


def test_a_suspended_host_moves_no_window_back(world: World) -> None:
    offset = 0
    world.profiler._wall_clock = WallClock(world.clock, lambda: world.clock() + offset)
    world.profiler.start()
    for step_ns in (0, 3600 * 10**9, -(10**8), 0):
        offset += step_ns
        sample(world)
        world.step(5)
    world.profiler.finish(0)

    batches = [window.batch for window in world.windows]
    assert len(batches) == 4
    assert all(earlier.end_ns <= later.start_ns for earlier, later in pairwise(batches))
    assert batches[-1].start_ns - batches[0].start_ns > 3600 * 10**9


def test_finishing_takes_what_is_left_even_when_the_sampler_cannot_be_stopped(world: World) -> None:
    world.profiler.start()
    sample(world)
    world.sampler.failing["stop"] = OSError(5, "Input/output error")
    world.profiler.finish(0)

    assert world.profiler.accepted == 1
    assert world.profiler.failures.counts == {"sampler": 1}


def test_finishing_waits_no_longer_than_it_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(10, (BASE, binary(world, "app", "late_work")))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE, called=False), space=1))
    sample(world, 5)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "pending", lambda: 1)
        patch.setattr(world.store, "wait", lambda _: False)
        world.profiler.finish(0.05)

    assert world.names() == {("<native>",): 1}


def test_files_are_not_held_for_ever(world: World) -> None:
    program = binary(world, "app", "work")
    world.run(10, (BASE, program))
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))
    world.step()
    assert times_open(program) == 1
    for _ in range(12):
        world.step(1)

    assert times_open(program) == 0


def test_only_the_caller_s_descriptors_are_told(world: World) -> None:
    reader, writer = os.pipe()
    world.profiler.poll.register(reader, select.EPOLLIN)
    world.profiler.start()
    world.sampler.notify(world.host.notice(10))

    assert world.step() == frozenset()
    os.write(writer, b"x")
    assert world.step() == {reader}
    world.profiler.poll.unregister(reader)
    os.close(reader)
    os.close(writer)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 40), max_size=12), st.sampled_from([0.0, 0.3, 1.1, 2.5, 6.0])),
        min_size=1,
        max_size=25,
    )
)
def test_no_turn_of_the_epoch_loses_a_sample(store: ArtifactStore, ticks: list[tuple[list[int], float]]) -> None:
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        # Names are forgotten at once, so that every sample needs its definition.
        patch.setattr(rows, "_MAX_STACKS", 0)
        patch.setattr(rows, "_MAX_ROWS", 0)
        kernel_side = KernelSide()
        world = World(Path(root), store, kernel_side, max_stacks=5)
        # Every second stack has no final name, and windows wait for it.
        patch.setattr(store, "pending", lambda: 1)
        patch.setattr(store, "wait", lambda _: False)
        world.run(10, (BASE, None))
        world.processes.learn(world.host.notice(10))
        world.profiler.start()
        for stacks, seconds in ticks:
            kernel_side.tick(
                world.clock(),
                [user_stack(number, raw(BASE + number % 2 * 0x9000, called=False), space=1) for number in stacks],
            )
            world.step(seconds)
            assert world.balance()[0] == world.balance()[1]
        world.profiler.finish(0)
        world.close()

    assert world.profiler.lost.total() == 0
    assert world.profiler.accepted == world.profiler.consumed == sum(len(stacks) for stacks, _ in ticks)


def test_definitions_do_not_pile_up(make_world: MakeWorld, kernel_side: KernelSide) -> None:
    world = make_world(kernel_side, max_stacks=20, window_s=600)
    world.run(10, (BASE, None))
    world.profiler.start()
    most = 0
    for turn in range(100):
        fresh = [user_stack(1000 + 5 * turn + n, raw(BASE + n, called=False), space=1) for n in range(5)]
        kernel_side.tick(world.clock(), fresh)
        world.step(0.3)
        most = max(most, len(world.stacks))
    world.profiler.finish(0)

    assert most < 100
    assert world.profiler.accepted == 500
    assert world.profiler.lost.total() == 0
