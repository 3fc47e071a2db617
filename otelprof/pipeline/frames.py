"""From the words that the kernel side wrote to named frames, each distinct frame once."""

import logging
from dataclasses import dataclass, replace

from otelprof.errors import OtelprofError
from otelprof.model.stack import Frame, Function, Line, Mapping
from otelprof.pipeline.binaries import BinaryTable, mapping_at
from otelprof.pipeline.unnoticed import is_unnoticed
from otelprof.processes.mappings import ProcessMapping
from otelprof.processes.table import ProcessTable
from otelprof.sampler.records import BuildIdFrame, BuildIds, FrameKind, RawFrame, SpaceId, StackDefinition, decode_frame
from otelprof.symbols.kernel import KernelState, KernelSymbols
from otelprof.symbols.symbolizer import Symbolizer, frame_type

__all__ = ("FrameNamer", "NamedFrames")

_MAX_FRAMES = 16384
"""Named frames kept: some 400 bytes each."""

_MAX_MAPPINGS = 16384
"""Mappings of which equal ones are kept once."""

_ADDRESS_MASK = (1 << 64) - 1

_NULL = (Line(Function("[null]")),)
"""Name of what would have neither name, mapping nor address: a program that jumped to address 0."""

_CacheKey = tuple[int, int, int]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NamedFrames:
    """Frames, leaf first. ``final`` is False while a name may still come: ask again.

    ``cut`` says that the walk had left the stack: what it found above belongs to no code and is left out.
    ``unmapped`` says that code ran where the process had none when its mappings were read, so they are out of date.
    """

    frames: tuple[Frame, ...]
    final: bool
    cut: bool = False
    unmapped: bool = False


class FrameNamer:
    """Names frames from symbols, kallsyms and mappings, and remembers those whose name is final.

    ``errors`` counts failures to name one; it stays in its stack without a name.
    """

    def __init__(
        self, processes: ProcessTable, binaries: BinaryTable, symbolizer: Symbolizer, kernel: KernelSymbols
    ) -> None:
        self.errors = 0
        self._processes = processes
        self._binaries = binaries
        self._symbolizer = symbolizer
        self._kernel = kernel
        self._cache: dict[_CacheKey, Frame] = {}
        self._mappings: dict[Mapping, Mapping] = {}

    def name(self, definition: StackDefinition, build_ids: BuildIds | None = None) -> NamedFrames:
        """Name every frame of a stack."""
        frames: list[Frame] = []
        final = True
        unmapped = self._leaf_is_unmapped(definition)
        for index, words in enumerate(definition.frames()):
            known = build_ids.frames[index] if build_ids and index < len(build_ids.frames) else None
            frame, certain = self._frame(decode_frame(words), definition.space, known)
            final &= certain
            if frame is None:
                return NamedFrames(tuple(frames), final, cut=True, unmapped=unmapped)
            frames.append(frame)
        return NamedFrames(tuple(frames), final, unmapped=unmapped)

    def _leaf_is_unmapped(self, definition: StackDefinition) -> bool:
        process = self._processes.get(definition.space)
        if process is None or process.gone:
            return False
        leaf = decode_frame(next(definition.frames()))
        return leaf.kind is FrameKind.RAW and mapping_at(process, leaf.address) is None

    def _frame(self, raw: RawFrame, space: SpaceId, known: BuildIdFrame | None) -> tuple[Frame | None, bool]:
        """One frame and whether its name is final; None for an address where no code is."""
        # The call is in front of the return address; both give the same frame. A forged file may have its code at 0.
        address = (raw.address - raw.is_return_address) & _ADDRESS_MASK
        owner = raw.detail if raw.kind is FrameKind.NATIVE else space if raw.kind is FrameKind.RAW else 0
        key = (raw.kind << 1 | raw.is_return_address if raw.kind is FrameKind.RAW else raw.kind, owner, address)
        found = self._cache.get(key)
        if found is not None:
            return found, True
        try:
            frame, final = self._look_up(raw, space, address, known)
        except (OtelprofError, OSError) as error:
            self.errors += 1
            _logger.warning("a frame has no name, for its binary cannot be read: %s", error)
            frame, final = Frame("kernel" if raw.kind is FrameKind.KERNEL else "native", address), False
        if frame is not None and not (frame.address or frame.mapping or frame.lines):
            frame = replace(frame, lines=_NULL)
        if final and frame is not None:
            self._cache[key] = frame
            if len(self._cache) > _MAX_FRAMES:
                del self._cache[next(iter(self._cache))]
        return frame, final

    def _look_up(
        self, raw: RawFrame, space: SpaceId, address: int, known: BuildIdFrame | None
    ) -> tuple[Frame | None, bool]:
        match raw.kind:
            case FrameKind.NATIVE:
                return self._native(raw.detail, address)
            case FrameKind.KERNEL:
                return self._in_kernel(address)
            case FrameKind.RAW:
                return self._raw(raw, space, address, known)
            case FrameKind.CODE_OBJECT:
                return Frame("unknown", address), True

    def _in_kernel(self, address: int) -> tuple[Frame, bool]:
        frame = self._kernel.frame(address)
        if frame is None:
            return Frame("kernel", address), False
        # Code that was loaded a moment ago gets its name when kallsyms is read again.
        return frame, bool(frame.lines) or self._kernel.state is not KernelState.READY

    def _native(self, number: int, address: int) -> tuple[Frame, bool]:
        file, identity = self._binaries.file(number), self._binaries.identity(number)
        if file is None or identity is None:
            return Frame("native", address), file is None
        mapping = identity.mapping_at(address, file.path)
        if mapping is not None:
            mapping = self._shared(mapping)
        lines = self._symbolizer.lines(file, address)
        if lines is None:
            return Frame(identity.language or "native", address, mapping), False
        return Frame(frame_type(identity, lines), address, mapping, lines), True

    def _raw(
        self, raw: RawFrame, space: SpaceId, address: int, known: BuildIdFrame | None
    ) -> tuple[Frame | None, bool]:
        process = self._processes.get(space)
        if process is not None and process.mappings:
            mapping = mapping_at(process, address)
            if mapping is None and raw.is_return_address:
                return None, True
            location = self._binaries.locate(process, address)
            if location.binary:
                return self._native(location.binary, location.address)
            if not location.certain or known is None or not known.build_id:
                # Where nothing is mapped in a process that runs, its mappings will be read again.
                return _unknown(mapping, address), location.certain and (mapping is not None or process.gone)
        if known is not None and known.build_id:
            return self._by_build_id(known, is_return_address=raw.is_return_address)
        return Frame("unknown", address), process is not None and not is_unnoticed(process)

    def _by_build_id(self, known: BuildIdFrame, *, is_return_address: bool) -> tuple[Frame, bool]:
        """A frame of a process that was gone before anybody could look, by what the kernel knew."""
        build_id = known.build_id.hex()
        number = self._binaries.with_build_id(build_id)
        identity = self._binaries.identity(number)
        vaddr = identity.vaddr_of(known.offset - is_return_address) if identity else None
        if vaddr is not None:
            return self._native(number, vaddr & _ADDRESS_MASK)
        # A file offset is no address, and without the file nobody can tell the address.
        return Frame("native", 0, self._shared(Mapping("", build_id_gnu=build_id))), False

    def _shared(self, mapping: Mapping) -> Mapping:
        found = self._mappings.setdefault(mapping, mapping)
        if len(self._mappings) > _MAX_MAPPINGS:
            del self._mappings[next(iter(self._mappings))]
        return found


def _unknown(mapping: ProcessMapping | None, address: int) -> Frame:
    """Code without a known binary: a JIT's, or of a file that cannot be read."""
    return Frame("native" if mapping is not None and mapping.is_file else "unknown", address)
