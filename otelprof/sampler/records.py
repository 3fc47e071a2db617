"""What the sampler yields besides samples: stack definitions and notices."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

__all__ = (
    "BuildIdFrame",
    "BuildIds",
    "FrameKind",
    "FrameWords",
    "Notice",
    "Outcome",
    "RawFrame",
    "Record",
    "SpaceId",
    "StackDefinition",
    "StackId",
    "decode_frame",
)

StackId: TypeAlias = int
"""64-bit hash of a stack's frames, 0 = no stack. Never reused within an epoch."""

SpaceId: TypeAlias = int
"""64-bit id of one address space: process, start time, exec count and mm together; 0 = none."""

_FRAME = struct.Struct("=QQ")
_ADDRESS = struct.Struct("=Q")

FrameWords: TypeAlias = tuple[int, int]
"""A frame as the kernel side wrote it: kind, flags and detail in one word, and the address."""


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
    """The user registers could not be had, or belong to a 32-bit program."""


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One decoded frame; a return address is not yet decremented."""

    kind: FrameKind
    address: int
    detail: int
    is_return_address: bool


def decode_frame(words: FrameWords) -> RawFrame:
    """Take the two words of a frame apart; raises ValueError for a kind nobody defined."""
    meta, address = words
    return RawFrame(FrameKind(meta & 0xFF), address, meta >> 32, bool(meta >> 8 & 1))


@dataclass(frozen=True, slots=True)
class StackDefinition:
    """The frames of a stack id; ``pid`` is the process first seen with it, 0 for kernel stacks.

    ``data`` holds the frames as they were written, 16 bytes each (8 in a kernel stack, bare addresses): there
    are many definitions and few are looked at twice.
    """

    stack_id: StackId
    space: SpaceId
    pid: int
    data: bytes
    is_kernel: bool = False

    def frames(self) -> Iterator[FrameWords]:
        """The words of each frame, leaf first."""
        if not self.is_kernel:
            yield from _FRAME.iter_unpack(self.data)
            return
        for index, (address,) in enumerate(_ADDRESS.iter_unpack(self.data)):
            yield FrameKind.KERNEL | bool(index) << 8, address


@dataclass(frozen=True, slots=True)
class BuildIdFrame:
    """What the kernel itself knew of a user frame: GNU build id and file offset.

    ``build_id`` is empty where it knew nothing; ``offset`` is then the bare address.
    """

    build_id: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class BuildIds:
    """The kernel's own view of a user stack, frame by frame, for a process that nobody had described."""

    stack_id: StackId
    space: SpaceId
    frames: tuple[BuildIdFrame, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A process was sampled that user space has not described to the kernel yet.

    ``start_ns`` is the start of the process on CLOCK_BOOTTIME. ``start_stack`` and ``executable_inode``
    identify the program that ran when the sample was taken: /proc must show the same, or another
    program has been executed since. ``parent_space`` is set when its mappings were inherited at fork.
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


Record: TypeAlias = StackDefinition | BuildIds | Notice
