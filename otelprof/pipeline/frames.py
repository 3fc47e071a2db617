"""From the words that the kernel side wrote to named frames, each distinct frame once."""

from dataclasses import dataclass

from otelprof.model.stack import Frame, Mapping
from otelprof.pipeline.binaries import BinaryTable, mapping_at
from otelprof.processes.table import Process, ProcessTable
from otelprof.sampler.records import BuildIdFrame, BuildIds, FrameKind, RawFrame, SpaceId, StackDefinition, decode_frame
from otelprof.symbols.kernel import KernelSymbols
from otelprof.symbols.symbolizer import Symbolizer, frame_type

__all__ = ("FrameNamer", "NamedFrames")

_MAX_FRAMES = 32768
"""Named frames kept: some 400 bytes each."""

_CacheKey = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class NamedFrames:
    """Frames, leaf first. ``final`` is False while a name may still come: ask again.

    ``cut`` says that the walk had left the stack: what it found above belongs to no code and is left out.
    ``unmapped`` says that code ran where the process had none when its mappings were read.
    """

    frames: tuple[Frame, ...]
    final: bool
    cut: bool = False
    unmapped: bool = False


class FrameNamer:
    """Names frames from symbols, kallsyms and mappings, and remembers those whose name is final."""

    def __init__(
        self, processes: ProcessTable, binaries: BinaryTable, symbolizer: Symbolizer, kernel: KernelSymbols
    ) -> None:
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
            raw = decode_frame(words)
            known = build_ids.frames[index] if build_ids and index < len(build_ids.frames) else None
            frame, certain = self._frame(raw, definition.space, known)
            if frame is None:
                return NamedFrames(tuple(frames), final, cut=True, unmapped=unmapped)
            frames.append(frame)
            final &= certain
        return NamedFrames(tuple(frames), final, unmapped=unmapped)

    def _leaf_is_unmapped(self, definition: StackDefinition) -> bool:
        process = self._processes.get(definition.space)
        if process is None or process.gone:
            return False
        leaf = decode_frame(next(definition.frames()))
        return leaf.kind is FrameKind.RAW and mapping_at(process, leaf.address) is None

    def _frame(self, raw: RawFrame, space: SpaceId, known: BuildIdFrame | None) -> tuple[Frame | None, bool]:
        """One frame and whether its name is final; None for an address where no code is."""
        # The call is in front of the return address; both give the same frame.
        address = raw.address - raw.is_return_address
        owner = raw.detail if raw.kind is FrameKind.NATIVE else space if raw.kind is FrameKind.RAW else 0
        key = (raw.kind << 1 | raw.is_return_address if raw.kind is FrameKind.RAW else raw.kind, owner, address)
        found = self._cache.get(key)
        if found is not None:
            return found, True
        match raw.kind:
            case FrameKind.NATIVE:
                frame, final = self._native(raw.detail, address)
            case FrameKind.KERNEL:
                kernel = self._kernel.frame(address)
                frame, final = kernel or Frame("kernel", address), kernel is not None
            case FrameKind.RAW:
                found, final = self._raw(raw, space, address, known)
                if found is None:
                    return None, final
                frame = found
            case FrameKind.CODE_OBJECT:
                frame, final = Frame("unknown", address), True
        if final:
            self._cache[key] = frame
            if len(self._cache) > _MAX_FRAMES:
                del self._cache[next(iter(self._cache))]
        return frame, final

    def _native(self, number: int, address: int) -> tuple[Frame, bool]:
        file, identity = self._binaries.file(number), self._binaries.identity(number)
        if file is None or identity is None:
            return Frame("native", address), file is None
        mapping = identity.mapping_at(address, file.path)
        if mapping is not None:
            mapping = self._mappings.setdefault(mapping, mapping)
        lines = self._symbolizer.lines(file, address)
        if lines is None:
            return Frame(identity.language or "native", address, mapping), False
        return Frame(frame_type(identity, lines), address, mapping, lines), True

    def _raw(
        self, raw: RawFrame, space: SpaceId, address: int, known: BuildIdFrame | None
    ) -> tuple[Frame | None, bool]:
        process = self._processes.get(space)
        if process is not None and process.mappings:
            if raw.is_return_address and mapping_at(process, address) is None:
                return None, True
            location = self._binaries.locate(process, address)
            if location.binary:
                return self._native(location.binary, location.address)
            return _unknown(process, address), location.certain
        if known is not None and known.build_id:
            return self._by_build_id(known, is_return_address=raw.is_return_address)
        return Frame("unknown", address), process is not None

    def _by_build_id(self, known: BuildIdFrame, *, is_return_address: bool) -> tuple[Frame, bool]:
        """A frame of a process that was gone before anybody could look, by what the kernel knew."""
        build_id = known.build_id.hex()
        number = self._binaries.with_build_id(build_id)
        identity = self._binaries.identity(number)
        vaddr = identity.vaddr_of(known.offset - is_return_address) if identity else None
        if vaddr is not None:
            return self._native(number, vaddr)
        # A file offset is no address, and without the file nobody can tell the address.
        mapping = Mapping("", build_id_gnu=build_id)
        return Frame("native", 0, self._mappings.setdefault(mapping, mapping)), True


def _unknown(process: Process, address: int) -> Frame:
    """Code without a known binary: a JIT's, or of a file that cannot be read."""
    mapping = mapping_at(process, address)
    return Frame("native" if mapping is not None and mapping.is_file else "unknown", address)
