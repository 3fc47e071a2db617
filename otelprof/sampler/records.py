"""What the sampler yields: samples, stack definitions and notices."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

__all__ = ("BuildIdFrame", "FrameKind", "Notice", "Outcome", "RawFrame", "SpaceId", "StackDefinition", "StackId")

StackId: TypeAlias = int
"""64-bit hash of a stack's frames, 0 = no stack. Never reused within an epoch."""

SpaceId: TypeAlias = int
"""64-bit id of one address space: process, start time, exec count and mm together; 0 = none."""


class FrameKind(IntEnum):
    """What the two words of a frame mean (``enum op_frame_kind`` of ``bpf/otelprof.h``)."""

    NATIVE = 1
    """``detail`` = binary id, ``address`` in the ELF file's own address space."""
    RAW = 2
    """``address`` in the address space of the stack's ``space``."""
    KERNEL = 3
    """``address`` in the kernel."""
    CODE_OBJECT = 4
    """``address`` of an interpreter's code object, ``detail`` = position in it."""


class Outcome(IntEnum):
    """How the walk of a user stack ended (``enum op_outcome`` of ``bpf/otelprof.h``)."""

    COMPLETE = 0
    KERNEL_ONLY = 1
    """A kernel thread, or a task that has no memory any more."""
    BAD_FRAME_POINTER = 2
    READ_FAULT = 3
    TOO_DEEP = 4
    TIME_BUDGET = 5
    NO_REGISTERS = 6


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One frame as the kernel side wrote it; return addresses are not yet decremented."""

    kind: FrameKind
    address: int
    detail: int = 0
    is_return_address: bool = True


@dataclass(frozen=True, slots=True)
class BuildIdFrame:
    """What the kernel itself knew of a user frame: GNU build id and file offset, or a bare address."""

    build_id: bytes
    file_offset: int


@dataclass(frozen=True, slots=True)
class StackDefinition:
    """The frames of a stack id, leaf first; ``pid`` is the process that was seen with it first."""

    stack_id: StackId
    space: SpaceId
    pid: int
    frames: tuple[RawFrame, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A process was sampled that user space has not described to the kernel yet.

    ``start_ns`` is the start of the process on CLOCK_BOOTTIME. ``start_stack`` and ``executable_inode``
    identify the program that ran when the sample was taken: /proc must show the same, or another
    program has been executed since.
    """

    space: SpaceId
    pid: int
    tid: int
    parent_pid: int
    start_ns: int
    start_stack: int
    executable_inode: int
    cgroup_id: int
    comm: str
    parent_space: SpaceId = 0
