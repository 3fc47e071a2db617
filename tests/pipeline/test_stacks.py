"""Definitions of stacks through epochs."""

from otelprof.pipeline.stacks import StackTable
from otelprof.sampler.records import BuildIdFrame, BuildIds
from tests.pipeline.scripted import kernel_stack, raw, user_stack


def test_what_was_defined_is_found_and_nothing_else() -> None:
    stacks = StackTable(lambda: None)
    stacks.define(kernel_stack(1, 0xFFFF))
    stacks.define(user_stack(2, raw(1), raw(2), space=7))

    assert stacks.get(1) == kernel_stack(1, 0xFFFF)
    assert stacks.get(2) == user_stack(2, raw(1), raw(2), space=7)
    assert stacks.get(3) is None


def test_build_ids_explain_the_stacks_of_one_address_space() -> None:
    stacks = StackTable(lambda: None)
    explained = BuildIds(2, 7, (BuildIdFrame(b"\xab", 16),))
    stacks.explain(explained)

    assert stacks.build_ids(2, 7) == explained
    assert stacks.build_ids(2, 8) is None
    assert stacks.build_ids(3, 7) is None


def test_a_new_epoch_keeps_the_definitions_of_the_last_one_only() -> None:
    epochs: list[int] = []
    stacks = StackTable(lambda: epochs.append(1), max_stacks=2)
    for number in (1, 2, 3):
        assert not stacks.is_full
        stacks.define(kernel_stack(number, 0xFFFF))
    stacks.explain(BuildIds(1, 7, ()))

    was_full = stacks.is_full
    stacks.turn()
    assert was_full
    assert not stacks.is_full
    assert len(epochs) == 1
    stacks.define(kernel_stack(4, 0xFFFF))
    assert stacks.get(1)
    assert stacks.build_ids(1, 7)

    stacks.turn()
    assert stacks.get(1) is None
    assert stacks.build_ids(1, 7) is None
    assert stacks.get(4)
    assert len(stacks) == 1
