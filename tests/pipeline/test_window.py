"""Windows: what is in their batch, and what they wait for."""

from typing import cast

import pytest

from otelprof.errors import BadSample
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.check import check
from otelprof.model.reader import read_samples
from otelprof.model.stack import Frame, Resource, Stack
from otelprof.pipeline.rows import Row, RowResolver
from otelprof.pipeline.window import ClosedWindow, OpenWindow, cpu_samples
from tests.pipeline.scripted import identity

SECOND = 10**9
OFFSET = 1_700_000_000 * SECOND
STACK: Stack = (Frame("native", 16),)


class Answers:
    """A resolver whose answers the test changes."""

    def __init__(self) -> None:
        self.missing: set[bytes] = set()
        self.unnamed: set[bytes] = set()
        self.forgotten = False
        self.asked: list[bytes] = []

    def resolve(self, who: bytes, owner: Resource | None = None) -> tuple[Row | None, bool]:
        self.asked.append(who)
        if who in self.missing:
            return None, False
        pid = int.from_bytes(who[:4], "little")
        resource = Resource((("service.name", "shop"), ("process.pid", pid)))
        if self.forgotten:
            resource = owner or Resource((("service.name", "nobody"),))
        return Row(resource, STACK, (("thread.id", pid),), complete=pid % 2 == 0), who not in self.unnamed


def resolver(answers: Answers) -> RowResolver:
    return cast("RowResolver", answers)


def window(groups: dict[bytes, list[int]]) -> OpenWindow:
    return OpenWindow(3, 100 * SECOND, 105 * SECOND, OFFSET, groups)


def close(open_window: OpenWindow, answers: Answers) -> ClosedWindow:
    closed = open_window.close(resolver(answers), cpu_samples(19))
    assert check(closed.batch.payload) == []
    return closed


def test_the_period_is_that_of_the_clock() -> None:
    assert cpu_samples(19).period == 52_631_578


def test_a_batch_holds_every_sample_with_its_wall_time() -> None:
    closed = close(window({identity(10): [101 * SECOND, 102 * SECOND], identity(11, 2): [103 * SECOND]}), Answers())

    batch = closed.batch
    assert (batch.sequence, batch.sample_count, closed.complete, closed.undefined) == (3, 3, 2, 0)
    assert (batch.start_ns, batch.end_ns) == (OFFSET + 100 * SECOND, OFFSET + 105 * SECOND)
    times = {sample.attributes: sample.timestamps_ns for sample in read_samples(batch.payload)}
    assert times == {
        (("thread.id", 10),): (OFFSET + 101 * SECOND, OFFSET + 102 * SECOND),
        (("thread.id", 11),): (OFFSET + 103 * SECOND,),
    }


def test_samples_on_the_edges_widen_batch_and_profiles_alike() -> None:
    closed = close(window({identity(10): [99 * SECOND], identity(11, 2): [106 * SECOND]}), Answers())

    assert (closed.batch.start_ns, closed.batch.end_ns) == (OFFSET + 99 * SECOND, OFFSET + 106 * SECOND + 1)
    for sample in read_samples(closed.batch.payload):
        assert (sample.start_ns, sample.duration_ns) == (OFFSET + 99 * SECOND, 7 * SECOND + 1)


def test_samples_without_a_stack_are_counted_and_left_out() -> None:
    answers = Answers()
    answers.missing.add(identity(10))
    closed = close(window({identity(10): [101 * SECOND] * 2, identity(11, 2): [101 * SECOND]}), answers)

    assert (closed.undefined, closed.batch.sample_count) == (2, 1)


def test_a_window_of_nothing_but_lost_samples_is_empty() -> None:
    answers = Answers()
    answers.missing.add(identity(10))
    closed = window({identity(10): [101 * SECOND]}).close(resolver(answers), cpu_samples(19))

    assert closed.batch.sample_count == 0
    assert (closed.batch.start_ns, closed.batch.end_ns) == (OFFSET + 100 * SECOND, OFFSET + 105 * SECOND)


def test_a_sample_that_cannot_be_expressed_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    add = ProfilesBuilder.add

    def refuse(builder: ProfilesBuilder, resource: Resource, *rest: object, **options: object) -> None:
        if ("process.pid", 10) in resource.attributes:
            raise BadSample("it cannot be expressed")
        add(builder, resource, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ProfilesBuilder, "add", refuse)
    closed = close(window({identity(10): [101 * SECOND] * 2, identity(11, 2): [101 * SECOND]}), Answers())

    assert (closed.refused, closed.batch.sample_count, closed.complete) == (2, 1, 0)


def test_naming_looks_at_new_samples_once_and_at_unnamed_ones_again() -> None:
    answers = Answers()
    first, second, third = identity(1), identity(2), identity(3)
    answers.unnamed.add(first)
    open_window = window({first: [1], second: [1]})

    assert not open_window.name(resolver(answers))
    open_window.groups[third] = [1]
    assert not open_window.name(resolver(answers), again=False)
    assert answers.asked == [first, second, third]
    answers.unnamed.clear()
    assert open_window.name(resolver(answers))
    assert open_window.name(resolver(answers))
    assert answers.asked == [first, second, third, first]


def test_a_window_tells_that_it_lacks_stacks_until_they_are_there() -> None:
    answers = Answers()
    answers.missing.add(identity(10))
    open_window = window({identity(10): [1]})

    seen = []
    for again in (True, False, True):
        open_window.name(resolver(answers), again=again)
        seen.append(open_window.lacks_stacks)
    answers.missing.clear()
    open_window.name(resolver(answers), again=False)
    seen.append(open_window.lacks_stacks)
    open_window.name(resolver(answers))
    seen.append(open_window.lacks_stacks)

    assert seen == [True, True, True, True, False]


def test_owners_that_were_looked_up_in_time_are_kept() -> None:
    answers = Answers()
    open_window = window({identity(10, space=5): [101 * SECOND]})
    open_window.name(resolver(answers))
    answers.forgotten = True
    open_window.groups[identity(10, space=5, cpu=1)] = [102 * SECOND]
    open_window.groups[identity(12, space=6)] = [103 * SECOND]
    closed = close(open_window, answers)

    found = read_samples(closed.batch.payload)
    owners = {dict(sample.resource.attributes)["service.name"]: sample.count for sample in found}
    assert owners == {"shop": 2, "nobody": 1}
