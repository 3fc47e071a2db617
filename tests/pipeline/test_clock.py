"""Kernel time to wall time."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from otelprof.pipeline.clock import WallClock

SECOND = 10**9


def follow(*offsets_ns: int) -> tuple[WallClock, Callable[[], int]]:
    """A clock that was made at the first offset; each renewal meets the next one."""
    offsets = iter(offsets_ns)
    current = next(offsets)

    def wall_ns() -> int:
        return 100 * SECOND + current

    clock = WallClock(lambda: 100 * SECOND, wall_ns)

    def renew() -> int:
        nonlocal current
        current = next(offsets)
        clock.renew()
        return clock.offset_ns

    return clock, renew


@pytest.mark.parametrize(
    ("step_ns", "followed"),
    [
        (3600 * SECOND, True),  # a suspend, or a clock that was set forward
        (1, True),
        (0, True),
        (-1, False),
        (-SECOND + 1, False),
        (-SECOND, True),
        (-3600 * SECOND, True),
    ],
)
def test_steps_are_followed_but_small_ones_back_move_no_window_back(step_ns: int, followed: bool) -> None:
    clock, renew = follow(50 * SECOND, 50 * SECOND + step_ns)

    assert clock.offset_ns == 50 * SECOND
    assert renew() == 50 * SECOND + (step_ns if followed else 0)


def test_many_small_steps_back_are_followed_in_the_end() -> None:
    _, renew = follow(0, *(-step * SECOND // 4 for step in range(1, 6)))

    assert [renew() for _ in range(5)] == [0, 0, 0, -SECOND, -SECOND]


def test_the_quickest_reading_counts() -> None:
    # Each reading is monotonic, wall, monotonic: the second one was not interrupted in between.
    monotonic: Iterator[int] = chain([0, 5000, 10_000, 10_010, 20_000, 29_000], repeat(30_000))
    wall = iter([1_000_000, 1_010_005, 1_029_000])

    clock = WallClock(lambda: next(monotonic), lambda: next(wall))

    assert clock.offset_ns == 1_000_000
