"""From a sample's identity to what the model wants: resource, stack and attributes, each distinct one once."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypeVar

from otelprof.model.stack import Attributes, Frame, Function, Line, Resource, Stack
from otelprof.pipeline.frames import FrameNamer, NamedFrames
from otelprof.pipeline.stacks import StackTable
from otelprof.pipeline.unnoticed import is_unnoticed, notice_in_lieu
from otelprof.processes.table import ProcessTable
from otelprof.sampler.abi import SampleIdentity, parse_identity
from otelprof.sampler.records import Outcome, StackDefinition, StackId

__all__ = ("Row", "RowResolver")

_MAX_ROWS = 4096
_MAX_STACKS = 4096
"""Some 700 bytes each: the least recently made go first, and are made again when they are needed."""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")

_WHOLE = frozenset({Outcome.COMPLETE, Outcome.KERNEL_ONLY})

_ROOTS = frozenset(
    {
        "_start",
        "__libc_start_main",
        "__libc_start_main_impl",
        "__libc_start_call_main",
        "start_thread",
        "clone",
        "__clone",
        "clone3",
        "__clone3",
        "__clone_internal",
        "_dl_start_user",
        "runtime.goexit",
        "runtime.rt0_go",
        "runtime.mstart",
    }
)
"""Functions that nothing calls: a walk that ends in one has reached the root, whatever stopped it there.

glibc and musl run these without a frame pointer of their own.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What one sample identity means. ``complete`` tells whether its user stack reached the root."""

    resource: Resource
    stack: Stack
    attributes: Attributes
    complete: bool


class RowResolver:
    """Resolves identities; keeps what is final, so that a window costs what is new in it."""

    def __init__(self, stacks: StackTable, processes: ProcessTable, namer: FrameNamer) -> None:
        self._stacks = stacks
        self._processes = processes
        self._namer = namer
        self._rows: dict[bytes, Row] = {}
        self._user: dict[StackId, NamedFrames] = {}
        self._kernel: dict[StackId, NamedFrames] = {}
        self._joined: dict[tuple[StackId, StackId], Stack] = {}

    def resolve(self, identity: bytes, owner: Resource | None = None) -> tuple[Row | None, bool]:
        """Give the row of 64 identity bytes, None while a stack of it is not defined; and whether it is final.

        A row that is not final has the best names known now. ``owner`` is the resource of a process that may have
        been forgotten.
        """
        row = self._rows.get(identity)
        if row is not None:
            return row, True
        sample = parse_identity(identity)
        kernel = self._named(sample.kernel_stack, self._kernel)
        user = self._named(sample.user_stack, self._user)
        if kernel is None or user is None:
            return None, False
        resource, is_lasting = self._owner(sample, owner)
        complete, outcome = _judge(sample, user)
        row = Row(resource, self._join(sample, kernel, user), _attributes(sample, outcome), complete)
        final = kernel.final and user.final
        if final and is_lasting:
            _keep(self._rows, identity, row, _MAX_ROWS)
        return row, final

    def _owner(self, sample: SampleIdentity, remembered: Resource | None) -> tuple[Resource, bool]:
        """Resource of a sample's process, and whether that is all that will ever be known of it."""
        process = self._processes.get(sample.space)
        if process is None:
            if remembered is not None:
                return remembered, True
            process = self._processes.learn(notice_in_lieu(sample))
        return process.resource, not is_unnoticed(process)

    def prepare(self, definition: StackDefinition) -> NamedFrames:
        """Name a stack as soon as it is known, so that its symbols are being read while its window is open."""
        cache = self._kernel if definition.is_kernel else self._user
        return self._named(definition.stack_id, cache) or _NOTHING

    def _named(self, stack_id: StackId, cache: dict[StackId, NamedFrames]) -> NamedFrames | None:
        if stack_id == 0:
            return _NOTHING
        named = cache.get(stack_id)
        if named is not None:
            return named
        definition = self._stacks.get(stack_id)
        if definition is None:
            return None
        named = self._namer.name(definition, self._stacks.build_ids(stack_id, definition.space))
        if named.final:
            _keep(cache, stack_id, named, _MAX_STACKS)
        return named

    def _join(self, sample: SampleIdentity, kernel: NamedFrames, user: NamedFrames) -> Stack:
        """One object per pair of stacks: the builder encodes an object that it has seen by one look-up."""
        if not (kernel.final and user.final):
            return kernel.frames + user.frames or _EMPTY_STACK
        key = (sample.kernel_stack, sample.user_stack)
        stack = self._joined.get(key)
        if stack is None:
            stack = kernel.frames + user.frames or _EMPTY_STACK
            _keep(self._joined, key, stack, _MAX_STACKS)
        return stack


_NOTHING = NamedFrames((), final=True)
_EMPTY_STACK: Stack = (Frame("unknown", lines=(Line(Function("[no stack]")),)),)
"""Nothing was seen of the sample but that it was there."""


def _keep(table: dict[_K, _V], key: _K, value: _V, limit: int) -> None:
    table[key] = value
    if len(table) > limit:
        del table[next(iter(table))]


def _judge(sample: SampleIdentity, user: NamedFrames) -> tuple[bool, Outcome]:
    # A walk that left the stack ended by chance, whatever it met there.
    outcome = Outcome.BAD_FRAME_POINTER if user.cut else Outcome(sample.outcome)
    if outcome in _WHOLE or not user.frames:
        return outcome in _WHOLE, outcome
    if _function_name(user.frames[-1]) in _ROOTS or _is_main_in_nameless_start_code(user.frames):
        return True, Outcome.COMPLETE
    return False, outcome


def _is_main_in_nameless_start_code(frames: Stack) -> bool:
    """The C library's caller of main has a name in its debug symbols only, which few hosts have."""
    return len(frames) > 1 and not frames[-1].lines and _function_name(frames[-2]) == "main"


def _function_name(frame: Frame) -> str:
    return frame.lines[-1].function.name.partition("@")[0] if frame.lines else ""


def _attributes(sample: SampleIdentity, outcome: Outcome) -> Attributes:
    attributes: Attributes = (
        ("thread.id", sample.tid),
        ("thread.name", sample.comm),
        ("cpu.logical_number", sample.cpu),
    )
    if outcome in _WHOLE:
        return attributes
    return (*attributes, ("otelprof.stack.outcome", outcome.name.lower()))
