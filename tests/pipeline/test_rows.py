"""What a sample's identity means."""

import pytest

from otelprof.model.stack import Frame, Resource, Stack
from otelprof.pipeline import rows as module
from otelprof.pipeline.unnoticed import is_unnoticed
from otelprof.sampler.records import Outcome
from tests.pipeline.scripted import identity, kernel_stack, raw, user_stack
from tests.pipeline.world import World, elf

BASE = 0x7F00_0000_0000
KERNEL_TEXT = 0xFFFFFFFF81000000


@pytest.fixture
def settled(world: World) -> World:
    """A process with code of a JIT, whose frames are final at once, and a kernel whose names are known."""
    world.run(10, (BASE, None))
    world.processes.learn(world.host.notice(10))
    world.stacks.define(user_stack(5, raw(BASE + 0x10, called=False), raw(BASE + 0x20), space=1))
    world.stacks.define(kernel_stack(7, KERNEL_TEXT + 0x110))
    while world.store.pending():
        assert world.store.wait(1 << 60)
    world.kernel.frame(KERNEL_TEXT)
    assert world.store.wait(1 << 60)
    return world


def stack_of(world: World, who: bytes) -> Stack:
    row, _ = world.resolver.resolve(who)
    assert row is not None
    return row.stack


def test_kernel_frames_come_before_those_of_user_space(settled: World) -> None:
    stack = stack_of(settled, identity(kernel=7, user=5))

    assert [frame.type for frame in stack] == ["kernel", "unknown", "unknown"]


def test_one_pair_of_stacks_is_one_object_and_one_identity_one_row(settled: World) -> None:
    first, final = settled.resolver.resolve(identity(kernel=7, user=5, cpu=0))
    other, _ = settled.resolver.resolve(identity(kernel=7, user=5, cpu=1))

    assert final
    assert first is not None
    assert other is not None
    assert first.stack is other.stack
    assert first.resource is other.resource
    assert settled.resolver.resolve(identity(kernel=7, user=5, cpu=0))[0] is first


def test_attributes_tell_thread_cpu_and_an_incomplete_stack(settled: World) -> None:
    whole, _ = settled.resolver.resolve(identity(user=5, tid=12, cpu=3, comm=b"wor\xffker"))
    cut, _ = settled.resolver.resolve(identity(user=5, outcome=Outcome.TIME_BUDGET))

    assert whole is not None
    assert whole.complete
    assert whole.attributes == (("thread.id", 12), ("thread.name", "wor\ufffdker"), ("cpu.logical_number", 3))
    assert cut is not None
    assert not cut.complete
    assert cut.attributes[-1] == ("otelprof.stack.outcome", "time_budget")


def test_a_sample_without_any_frame_has_a_stack_all_the_same(settled: World) -> None:
    (frame,) = stack_of(settled, identity(outcome=Outcome.NO_REGISTERS))

    assert frame.type == "unknown"


def test_a_walk_that_left_the_stack_is_not_complete_whatever_ended_it(settled: World) -> None:
    settled.stacks.define(user_stack(6, raw(BASE + 0x10, called=False), raw(0x1234), space=1))
    row, _ = settled.resolver.resolve(identity(user=6, outcome=Outcome.COMPLETE))

    assert row is not None
    assert not row.complete
    assert ("otelprof.stack.outcome", "bad_frame_pointer") in row.attributes


@pytest.mark.parametrize(("name", "complete"), [("_start", True), ("start_thread@GLIBC_2.34", True), ("main", False)])
def test_a_walk_that_ended_in_the_root_is_complete_whatever_stopped_it(world: World, name: str, complete: bool) -> None:
    program = world.host.write("bin/app", elf({name: 0x10}))
    world.run(10, (BASE, program))
    world.processes.learn(world.host.notice(10))
    world.stacks.define(user_stack(5, raw(BASE + 0x18, called=False), space=1))
    who = identity(user=5, outcome=Outcome.BAD_FRAME_POINTER)
    while not world.resolver.resolve(who)[1]:
        assert world.store.wait(1 << 60)

    row, _ = world.resolver.resolve(who)
    assert row is not None
    assert row.complete == complete
    assert ("otelprof.stack.outcome" in dict(row.attributes)) != complete


@pytest.mark.parametrize("missing", [identity(user=99), identity(kernel=98), identity(kernel=98, user=5)])
def test_a_sample_waits_for_the_definition_of_its_stacks(settled: World, missing: bytes) -> None:
    assert settled.resolver.resolve(missing) == (None, False)

    settled.stacks.define(user_stack(99, raw(BASE, called=False), space=1))
    settled.stacks.define(kernel_stack(98, KERNEL_TEXT))
    row, final = settled.resolver.resolve(missing)
    assert row is not None
    assert final


def test_an_epoch_does_not_take_away_what_was_named(settled: World) -> None:
    who = identity(kernel=7, user=5)
    before = stack_of(settled, who)
    settled.stacks.turn()
    settled.stacks.turn()

    assert settled.stacks.get(5) is None
    assert stack_of(settled, who) == before
    assert stack_of(settled, identity(kernel=7, user=5, cpu=9)) == before


def test_what_is_not_final_is_asked_for_again(settled: World) -> None:
    settled.stacks.define(user_stack(6, raw(BASE + 0x9000, called=False), space=1))  # mapped since
    row, final = settled.resolver.resolve(identity(user=6))
    assert not final
    settled.run(10, (BASE, None), (BASE + 0x9000, None))
    settled.processes.refresh_mappings(1)

    again, final = settled.resolver.resolve(identity(user=6))
    assert final
    assert again is not row


def test_a_process_whose_notice_was_lost_is_put_together_from_the_sample(world: World) -> None:
    row, _ = world.resolver.resolve(identity(77, space=3, comm=b"quick"))

    assert row is not None
    found = dict(row.resource.attributes)
    assert (found["process.pid"], found["service.name"]) == (77, "quick")
    process = world.processes.get(3)
    assert process is not None
    assert is_unnoticed(process)


def test_a_notice_that_comes_late_gives_a_process_its_real_resource(world: World) -> None:
    who = identity(10, space=1)
    world.resolver.resolve(who)
    world.run(10, (BASE, None), environ={"OTEL_SERVICE_NAME": "shop"})
    world.processes.learn(world.host.notice(10))

    row, _ = world.resolver.resolve(who)
    assert row is not None
    assert dict(row.resource.attributes)["service.name"] == "shop"


def test_raw_frames_of_a_process_whose_notice_comes_late_are_named_then(world: World) -> None:
    world.stacks.define(user_stack(5, raw(BASE + 0x10, called=False), raw(0x1234), space=1))
    who = identity(10, space=1, user=5)
    world.resolver.resolve(who)
    _, final = world.resolver.resolve(who)
    assert not final
    world.run(10, (BASE, None))
    world.processes.learn(world.host.notice(10))

    assert stack_of(world, who) == (Frame("unknown", BASE + 0x10),)


def test_the_owner_of_a_sample_survives_its_process(world: World) -> None:
    owner = Resource((("service.name", "shop"),))
    row, final = world.resolver.resolve(identity(77, space=3), owner)

    assert row is not None
    assert final
    assert row.resource is owner
    assert world.processes.get(3) is None


def test_memory_is_bounded(settled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ROWS", 3)
    monkeypatch.setattr(module, "_MAX_STACKS", 2)
    for number in range(10):
        settled.stacks.define(user_stack(100 + number, raw(BASE + number, called=False), space=1))
        settled.resolver.resolve(identity(user=100 + number))

    resolver = settled.resolver
    assert (len(resolver._rows), len(resolver._user), len(resolver._joined)) == (3, 2, 2)
    assert len(stack_of(settled, identity(user=100))) == 1
