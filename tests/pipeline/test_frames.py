"""Names of frames, as soon as they can be known and not before."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from otelprof.errors import BadArtifact, OtelprofError
from otelprof.model.stack import Frame, Function, Line, Mapping
from otelprof.pipeline import frames as module
from otelprof.pipeline.frames import NamedFrames
from otelprof.sampler.records import BuildIdFrame, BuildIds, FrameKind, StackDefinition
from otelprof.symbols.kernel import KernelState, KernelSymbols
from tests.pipeline.scripted import kernel_stack, native, raw, user_stack
from tests.pipeline.world import TEXT_ADDRESS, World, elf

BASE = 0x7F00_0000_0000
KERNEL_TEXT = 0xFFFFFFFF81000000
BUILD_ID = "cd" * 20

Settle = Callable[[], None]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin-app"
    path.write_bytes(elf({"work": 0x10, "main": 0x40}, BUILD_ID))
    return path


def names(named: NamedFrames) -> list[str]:
    return [frame.lines[0].function.name if frame.lines else f"<{frame.type}>" for frame in named.frames]


def name_in_the_end(
    world: World, settle: Settle, stack: StackDefinition, build_ids: BuildIds | None = None
) -> NamedFrames:
    """Ask until the answer is final: first for the segments, then for the symbols."""
    for _ in range(3):
        named = world.namer.name(stack, build_ids)
        if named.final:
            break
        settle()
    return named


def learn(world: World, pid: int, *places: tuple[int, Path | None], space: int = 1) -> None:
    world.run(pid, *places)
    world.processes.learn(world.host.notice(pid, space))


def end(world: World, pid: int) -> None:
    world.end(pid)
    for process in world.processes.sweep():
        world.binaries.forget(process.space)


def test_a_name_is_final_once_segments_and_symbols_are_read(world: World, program: Path, settle: Settle) -> None:
    learn(world, 10, (BASE, program))
    stack = user_stack(5, raw(BASE + 0x18, called=False), raw(BASE + 0x48), space=1)

    first = world.namer.name(stack)
    assert (names(first), first.final) == (["<native>", "<native>"], False)
    settle()
    second = world.namer.name(stack)
    assert (names(second), second.final) == (["<native>", "<native>"], False)
    # By now the address is known in the binary's own space.
    assert second.frames[0].address == TEXT_ADDRESS + 0x18
    settle()
    third = world.namer.name(stack)
    assert (names(third), third.final) == (["work", "main"], True)
    mapping = third.frames[0].mapping
    assert mapping is not None
    assert (mapping.path, mapping.build_id_gnu) == (str(program), BUILD_ID)
    assert third.frames[1].mapping is mapping


def test_the_call_is_in_front_of_the_return_address(world: World, program: Path, settle: Settle) -> None:
    learn(world, 10, (BASE, program))
    edge = BASE + 0x20  # work ends here; a call at its very end returns behind it

    called = name_in_the_end(world, settle, user_stack(5, raw(edge - 1, called=False), raw(edge), space=1))
    assert names(called) == ["work", "work"]
    assert called.frames[1].address == TEXT_ADDRESS + 0x1F
    assert names(world.namer.name(user_stack(6, raw(edge, called=False), space=1))) == ["<native>"]


def test_a_return_address_where_no_code_is_cuts_the_stack(world: World, program: Path, settle: Settle) -> None:
    learn(world, 10, (BASE, program))
    stack = user_stack(5, raw(BASE + 0x18, called=False), raw(0x1234), raw(BASE + 0x48), space=1)

    named = name_in_the_end(world, settle, stack)
    assert (names(named), named.cut, named.final) == (["work"], True, True)


def test_code_of_a_jit_is_unknown_and_final(world: World) -> None:
    learn(world, 10, (BASE, None))

    named = world.namer.name(user_stack(5, raw(BASE + 0x18, called=False), raw(BASE + 0x48), space=1))
    assert named == NamedFrames((Frame("unknown", BASE + 0x18), Frame("unknown", BASE + 0x47)), final=True)


def test_a_leaf_that_nothing_maps_gets_its_name_when_the_mappings_are_read_again(
    world: World, program: Path, settle: Settle
) -> None:
    learn(world, 10, (BASE, None))
    stack = user_stack(5, raw(BASE + 0x8018, called=False), space=1)

    early = world.namer.name(stack)
    assert (early.unmapped, early.final) == (True, False)
    world.run(10, (BASE, None), (BASE + 0x8000, program))
    world.processes.refresh_mappings(1)
    late = name_in_the_end(world, settle, stack)
    assert (names(late), late.unmapped, late.final) == (["work"], False, True)


def test_a_leaf_that_nothing_maps_in_a_process_that_is_gone_stays_unknown(world: World) -> None:
    learn(world, 10, (BASE, None))
    end(world, 10)

    named = world.namer.name(user_stack(5, raw(BASE + 0x8018, called=False), space=1))
    assert named == NamedFrames((Frame("unknown", BASE + 0x8018),), final=True)


def test_names_come_after_the_end_of_a_process(world: World, program: Path, settle: Settle) -> None:
    learn(world, 10, (BASE, program))
    stack = user_stack(5, raw(BASE + 0x18, called=False), space=1)
    world.namer.name(stack)
    end(world, 10)

    assert names(name_in_the_end(world, settle, stack)) == ["work"]


def test_a_forked_child_that_is_gone_is_named_by_its_parent(world: World, program: Path, settle: Settle) -> None:
    learn(world, 10, (BASE, program))
    child = world.processes.learn(
        world.host.notice(
            11, space=2, parent_pid=10, parent_space=1, executable_inode=world.host.notice(10).executable_inode
        )
    )
    assert child.gone

    named = name_in_the_end(world, settle, user_stack(5, raw(BASE + 0x18, called=False), space=2))
    assert names(named) == ["work"]


def test_native_frames_are_named_by_the_number_of_their_binary(world: World, program: Path, settle: Settle) -> None:
    learn(world, 10, (BASE, program))
    process = world.processes.get(1)
    assert process is not None
    number = world.binaries.number(process, process.mappings[0])

    stack = user_stack(5, native(number, TEXT_ADDRESS + 0x18, called=False), native(number, TEXT_ADDRESS + 0x48))
    assert names(name_in_the_end(world, settle, stack)) == ["work", "main"]
    forgotten = world.namer.name(user_stack(6, native(999, 0x18, called=False)))
    assert forgotten == NamedFrames((Frame("native", 0x18),), final=True)


def test_a_process_gone_before_anybody_looked_is_named_by_the_build_ids_of_the_kernel(
    world: World, program: Path, settle: Settle
) -> None:
    learn(world, 10, (BASE, program))
    name_in_the_end(world, settle, user_stack(5, raw(BASE + 0x18, called=False), space=1))
    world.processes.learn(world.host.notice(11, space=2))
    stack = user_stack(6, raw(0x5018, called=False), raw(0x5048), raw(0x9999), space=2)
    known = [BuildIdFrame(bytes.fromhex(BUILD_ID), TEXT_ADDRESS + offset) for offset in (0x18, 0x48)]

    named = name_in_the_end(world, settle, stack, BuildIds(6, 2, tuple(known)))
    assert names(named) == ["work", "main", "<unknown>"]
    assert named.frames[1].address == TEXT_ADDRESS + 0x47


def test_an_unknown_build_id_is_passed_on_and_asked_for_again(world: World, program: Path, settle: Settle) -> None:
    world.processes.learn(world.host.notice(11, space=2))
    stack = user_stack(6, raw(0x5018, called=False), space=2)
    build_ids = BuildIds(6, 2, (BuildIdFrame(bytes.fromhex(BUILD_ID), TEXT_ADDRESS + 0x18),))

    early = world.namer.name(stack, build_ids)
    assert early == NamedFrames((Frame("native", 0, Mapping("", build_id_gnu=BUILD_ID)),), final=False)
    learn(world, 10, (BASE, program))
    name_in_the_end(world, settle, user_stack(5, raw(BASE + 0x18, called=False), space=1))
    assert names(name_in_the_end(world, settle, stack, build_ids)) == ["work"]


def test_a_file_that_cannot_be_looked_at_any_more_is_known_by_its_build_id(
    world: World, program: Path, settle: Settle
) -> None:
    learn(world, 10, (BASE, program))
    name_in_the_end(world, settle, user_stack(5, raw(BASE + 0x18, called=False), space=1))
    learn(world, 11, (BASE + 0x4000, program), space=2)
    end(world, 11)
    stack = user_stack(6, raw(BASE + 0x4018, called=False), space=2)
    build_ids = BuildIds(6, 2, (BuildIdFrame(bytes.fromhex(BUILD_ID), TEXT_ADDRESS + 0x18),))

    assert names(name_in_the_end(world, settle, stack)) == ["<native>"]
    world.namer._cache.clear()
    assert names(name_in_the_end(world, settle, stack, build_ids)) == ["work"]


def test_frames_of_a_process_nobody_knows_may_still_get_names(world: World) -> None:
    stack = user_stack(5, raw(BASE, called=False), space=9)

    assert world.namer.name(stack) == NamedFrames((Frame("unknown", BASE),), final=False)


def test_kernel_functions_are_named_once_kallsyms_is_read(world: World, settle: Settle) -> None:
    stack = kernel_stack(7, KERNEL_TEXT + 0x110, KERNEL_TEXT + 0x10)

    early = world.namer.name(stack)
    assert (names(early), early.final) == (["<kernel>", "<kernel>"], False)
    settle()
    late = world.namer.name(stack)
    assert (names(late), late.final) == (["do_work", "start_of_kernel"], True)


def test_kernel_code_that_was_loaded_since_is_named_when_kallsyms_is_read_again(
    world: World, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(world.kernel, "_clock", lambda: now)
    loaded = kernel_stack(7, 0xFFFFFFFFC0000010)
    world.namer.name(loaded)
    settle()
    assert (names(world.namer.name(loaded)), world.namer.name(loaded).final) == (["<kernel>"], False)

    world.host.write("proc/modules", "extra 4096 0 - Live 0xffffffffc0000000\n")
    kallsyms = world.host.root / "proc/kallsyms"
    kallsyms.write_text(kallsyms.read_text() + "ffffffffc0000000 t extra_work\t[extra]\n")
    now = 20.0
    world.namer.name(loaded)
    settle()
    named = world.namer.name(loaded)
    assert (names(named), named.final) == (["extra_work"], True)


def test_where_the_kernel_hides_its_names_frames_are_final_without(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KernelSymbols, "state", property(lambda _: KernelState.HIDDEN))
    monkeypatch.setattr(KernelSymbols, "frame", lambda _, address: Frame("kernel", address))

    assert world.namer.name(kernel_stack(7, KERNEL_TEXT)).final


def test_an_interpreter_s_frame_without_a_runtime_is_unknown(world: World) -> None:
    stack = user_stack(5, (FrameKind.CODE_OBJECT, 0x77), space=1)

    assert world.namer.name(stack) == NamedFrames((Frame("unknown", 0x77),), final=True)


@pytest.mark.parametrize(
    "error", [BadArtifact("a table is damaged"), OSError(5, "Input/output error"), OtelprofError("x")]
)
def test_a_binary_that_cannot_be_read_costs_its_names_only(
    world: World,
    program: Path,
    settle: Settle,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    learn(world, 10, (BASE, program), (BASE + 0x4000, None))
    stack = user_stack(5, raw(BASE + 0x4010, called=False), raw(BASE + 0x18), raw(BASE + 0x48), space=1)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(world.symbolizer, "identity", fail)
        named = world.namer.name(stack)
    assert (names(named), named.final) == (["<unknown>", "<native>", "<native>"], False)
    assert world.namer.errors == 2
    assert str(error) in caplog.text
    assert names(name_in_the_end(world, settle, stack)) == ["<unknown>", "work", "main"]


def test_memory_is_bounded(world: World, program: Path, settle: Settle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_FRAMES", 4)
    monkeypatch.setattr(module, "_MAX_MAPPINGS", 2)
    learn(world, 10, (BASE, program), (BASE + 0x4000, None))
    many = [raw(BASE + 0x4000 + offset, called=offset > 0) for offset in range(20)]
    world.namer.name(user_stack(5, *many, space=1))
    for number in range(5):
        build_id = BuildIdFrame(bytes([number] * 20), 0)
        world.namer.name(user_stack(6, raw(0x18, called=False), space=9), BuildIds(6, 9, (build_id,)))

    assert len(world.namer._cache) == 4
    assert len(world.namer._mappings) == 2
    # What was forgotten is named again.
    assert names(name_in_the_end(world, settle, user_stack(7, raw(BASE + 0x18, called=False), space=1))) == ["work"]


def test_addresses_stay_addresses_whatever_a_forged_file_makes_of_them(world: World) -> None:
    named = world.namer.name(user_stack(5, native(9, 0, called=False), native(9, 0)))

    null, wrapped = named.frames
    assert null == Frame("native", 0, None, (Line(Function("[null]")),))
    assert wrapped == Frame("native", (1 << 64) - 1)
