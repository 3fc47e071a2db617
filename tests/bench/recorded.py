"""A made-up recording as the kernel side writes it, and names for its frames."""

import mmap
import os
import random
import struct
from dataclasses import dataclass

from otelprof.artifacts.keys import FileKey
from otelprof.model.stack import Frame, Function, Line, Mapping
from otelprof.sampler import abi
from otelprof.sampler.records import FrameKind
from otelprof.symbols.identity import Identity, LoadSegment
from otelprof.symbols.symbolizer import BinaryFile

__all__ = ("PROCESSES", "MadeBinaries", "MadeKernel", "MadeSymbols", "Recording", "ring_of", "space_of")

PROCESSES = range(1000, 1040)
_THREADS = 5
_STACKS = 400
_BINARIES = 30
_FUNCTIONS = 200
_FUNCTION_BYTES = 256
_USER_FRAMES = range(8, 40)
_KERNEL_FRAMES = range(4, 12)
_WITH_KERNEL = 0.3
_PERIOD_NS = 50_000
_HEADER = struct.Struct("=II")


def space_of(pid: int) -> int:
    """The address space of a process of the recording."""
    return pid << 20


@dataclass(frozen=True, slots=True)
class Recording:
    """Records of the two rings: the same for equal arguments of :meth:`make`."""

    definitions: tuple[bytes, ...]
    samples: tuple[bytes, ...]

    @classmethod
    def make(cls, identities: int, samples: int) -> "Recording":
        """Make ``samples`` samples of ``identities`` distinct identities, in random order, some more frequent."""
        chance = random.Random(7)
        definitions = [_user_stack(number, chance) for number in range(1, _STACKS + 1)]
        definitions += [_kernel_stack(number, chance) for number in range(1, _STACKS + 1)]
        known = list({_identity(chance): None for _ in range(2 * identities)})[:identities]
        weights = [1 / (rank + 10) for rank in range(identities)]
        # Each one occurs.
        order = known + chance.choices(known, weights, k=samples - identities)
        chance.shuffle(order)
        header = abi.HEADER.pack(abi.RecordKind.SAMPLE, 1, abi.SAMPLE_BYTES)
        return cls(
            tuple(definitions),
            tuple(
                header + struct.pack("=Q", 10**12 + number * _PERIOD_NS) + identity
                for number, identity in enumerate(order)
            ),
        )


def _identity(chance: random.Random) -> bytes:
    pid = chance.choice(PROCESSES)
    tid = pid + chance.randrange(_THREADS)
    kernel = chance.randrange(1, _STACKS + 1) if chance.random() < _WITH_KERNEL else 0
    # A process runs some of all stacks.
    user = 1 + (pid * 7 + chance.randrange(_STACKS // 4)) % _STACKS
    cpu = chance.randrange(2)
    return abi.IDENTITY.pack(pid, tid, space_of(pid), kernel, user << 32, 1, cpu, 0, 1, b"worker")


def _user_stack(number: int, chance: random.Random) -> bytes:
    frames = [
        abi.USER_STACK_FRAME.pack(
            FrameKind.NATIVE | bool(index) << 8 | chance.randint(1, _BINARIES) << 32,
            chance.randrange(_FUNCTIONS) * _FUNCTION_BYTES + 16,
        )
        for index in range(chance.choice(_USER_FRAMES))
    ]
    body = abi.USER_STACK.pack(number << 32, 0, PROCESSES[0], len(frames))[abi.HEADER.size :] + b"".join(frames)
    return abi.HEADER.pack(abi.RecordKind.USER_STACK, 0, abi.HEADER.size + len(body)) + body


def _kernel_stack(number: int, chance: random.Random) -> bytes:
    addresses = [chance.randrange(_FUNCTIONS) * _FUNCTION_BYTES + 16 for _ in range(chance.choice(_KERNEL_FRAMES))]
    body = struct.pack(f"=Q{len(addresses)}Q", number, *addresses)
    return abi.HEADER.pack(abi.RecordKind.KERNEL_STACK, 0, abi.HEADER.size + len(body)) + body


def ring_of(records: tuple[bytes, ...]) -> tuple[int, int]:
    """Put records into a ring of their own; gives the descriptor of its memory and its size in bytes.

    The layout is that of ``otelprof.sampler.ring``; the ring is large enough that nothing wraps around.
    """
    written = b"".join(_HEADER.pack(len(record), 0) + record + bytes(-len(record) % 8) for record in records)
    size_bytes = 1 << len(written).bit_length()
    fd = os.memfd_create("ring")
    os.ftruncate(fd, 2 * mmap.PAGESIZE + 2 * size_bytes)
    os.pwrite(fd, struct.pack("=Q", len(written)), mmap.PAGESIZE)
    os.pwrite(fd, written, 2 * mmap.PAGESIZE)
    return fd, size_bytes


class MadeBinaries:
    """Answers for ``otelprof.pipeline.binaries.BinaryTable``: all segments are known."""

    def __init__(self) -> None:
        segments = (LoadSegment(0, 0, 1 << 20, 1 << 20, 5),)
        self._identities = [
            Identity(is_elf=True, build_id_gnu=f"{number:040x}", segments=segments) for number in range(_BINARIES + 1)
        ]
        self._files = [
            BinaryFile(FileKey(1, number, 0, 0, 0), f"/usr/lib/x86_64-linux-gnu/libexample{number}.so.1", int, int)
            for number in range(_BINARIES + 1)
        ]

    def file(self, number: int) -> BinaryFile:
        return self._files[number]

    def identity(self, number: int) -> Identity:
        return self._identities[number]


class MadeSymbols:
    """Answers for ``otelprof.symbols.symbolizer.Symbolizer``: every address has a name."""

    def __init__(self) -> None:
        self._lines = {
            (binary, number): _line(number) for binary in range(_BINARIES + 1) for number in range(_FUNCTIONS)
        }

    def lines(self, binary: BinaryFile, address: int) -> tuple[Line, ...]:
        return self._lines[binary.key.inode, address // _FUNCTION_BYTES]


def _line(number: int) -> tuple[Line, ...]:
    name = f"example::Component{number}::handle_request(example::Context&)"
    return (Line(Function(name, f"_ZN7example9Component{number}14handle_requestERNS_7ContextE")),)


class MadeKernel:
    """Answers for ``otelprof.symbols.kernel.KernelSymbols``."""

    _MAPPING = Mapping("vmlinux", 0, 1 << 24, 0, build_id_gnu="c0ffee", build_id_htlhash="c0ffee")

    def __init__(self) -> None:
        self._lines = [(Line(Function(f"do_something_{number}")),) for number in range(_FUNCTIONS)]

    def frame(self, address: int) -> Frame:
        return Frame("kernel", address, self._MAPPING, self._lines[address // _FUNCTION_BYTES])
