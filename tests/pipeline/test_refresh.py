"""How often mappings are read again."""

from otelprof.pipeline.refresh import RefreshPlan
from tests.pipeline.scripted import Clock


def test_a_process_without_news_is_read_ever_more_rarely() -> None:
    clock = Clock()
    plan = RefreshPlan(clock)
    readings = 0
    for _ in range(4 * 600):
        if plan.is_due(1):
            plan.done(1, changed=False)
            readings += 1
        clock.advance(0.25)

    # Pauses of 0.25, 0.5, 1 … 32, 60, 60 … seconds in ten minutes.
    assert readings == 17


def test_news_make_the_next_reading_soon_again() -> None:
    clock = Clock()
    plan = RefreshPlan(clock)
    for _ in range(5):
        plan.done(1, changed=False)
    plan.done(1, changed=True)

    assert not plan.is_due(1)
    clock.advance(0.25)
    assert plan.is_due(1)


def test_processes_have_plans_of_their_own_and_ended_ones_none() -> None:
    plan = RefreshPlan(Clock())
    plan.done(1, changed=True)

    assert plan.is_due(2)
    plan.forget(1)
    plan.forget(2)
    assert plan.is_due(1)
    assert not plan._plans
