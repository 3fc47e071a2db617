"""The binaries that sampled processes have mapped, by the numbers under which the kernel side knows them."""

import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from otelprof.artifacts.keys import FileKey
from otelprof.errors import OtelprofError
from otelprof.pipeline.build_ids import BuildIdTable
from otelprof.pipeline.held_files import HeldFiles
from otelprof.processes.files import open_in_root, open_mapping, stat_mapping
from otelprof.processes.mappings import ProcessMapping
from otelprof.processes.table import Process
from otelprof.roots import HostRoots
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.sampler.records import SpaceId
from otelprof.symbols.identity import Identity
from otelprof.symbols.symbolizer import BinaryFile, Symbolizer

__all__ = ("BinaryTable", "Location", "mapping_at")

_MAX_ENDED = 1024
"""Processes that have ended whose mappings are remembered, some 3 KB each: samples of them may be on their way."""
_MAX_BINARIES = 16384
"""More are kept only while they are mapped by a process that is remembered; some 1 KB each."""


def mapping_at(process: Process, address: int) -> ProcessMapping | None:
    """Executable mapping of a process that holds an address."""
    index = bisect_right(process.mappings, address, key=lambda mapping: mapping.start) - 1
    if index >= 0 and address < process.mappings[index].end:
        return process.mappings[index]
    return None


@dataclass(frozen=True, slots=True)
class Location:
    """An address in the own space of a binary; ``binary`` 0 = none, and the address is as it was.

    ``certain`` is False while the segments of what is mapped there are being read.
    """

    binary: int
    address: int
    certain: bool


@dataclass(slots=True)
class _Binary:
    """A binary as one process sees it, and by whom it can be opened: living processes, each with its mapping."""

    file: BinaryFile
    holders: dict[SpaceId, tuple[int, ProcessMapping]] = field(default_factory=dict)
    is_identified: bool = False


class BinaryTable:
    """Numbers binaries by content state (device, inode, size, times), never by name or build id."""

    def __init__(
        self,
        roots: HostRoots,
        symbolizer: Symbolizer,
        vdso: BinaryFile | None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``vdso`` is the kernel's own image, mapped into every process without a file."""
        self._roots = roots
        self._symbolizer = symbolizer
        self._vdso = vdso
        self._binaries: dict[int, _Binary] = {}
        self._numbers: dict[FileKey, int] = {}
        self._last_number = 0
        self._limit = _MAX_BINARIES
        self._build_ids = BuildIdTable(symbolizer.content)
        self._living: dict[SpaceId, dict[ProcessMapping, int]] = {}
        self._ended: dict[SpaceId, dict[ProcessMapping, int]] = {}
        self._held = HeldFiles(monotonic_ns)

    def __len__(self) -> int:
        """Binaries that are known now."""
        return len(self._binaries)

    def file(self, number: int) -> BinaryFile | None:
        """The binary with a number, as a process that has it mapped sees it; None when it is not known any more."""
        binary = self._binaries.get(number)
        return binary.file if binary is not None else None

    def number(self, process: Process, mapping: ProcessMapping) -> int:
        """Number of the binary that a mapping shows, 0 for memory without one or when it cannot be looked at.

        Each mapping is looked at once, while its process runs.
        """
        mapped = self._mapped_by(process)
        number = mapped.get(mapping)
        if number is None:
            number = mapped[mapping] = self._look(process, mapping)
        return number

    def _mapped_by(self, process: Process) -> dict[ProcessMapping, int]:
        space = process.space
        mapped = self._living.get(space)
        if mapped is None:
            mapped = self._ended.get(space)
        if mapped is None:
            mapped = {}
            if process.gone:
                self._keep_ended(space, mapped)
            else:
                self._living[space] = mapped
        return mapped

    def _keep_ended(self, space: SpaceId, mapped: dict[ProcessMapping, int]) -> None:
        self._ended[space] = mapped
        if len(self._ended) > _MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _look(self, process: Process, mapping: ProcessMapping) -> int:
        if mapping.is_vdso and self._vdso is not None:
            return self._numbers.get(self._vdso.key) or self._enter(self._vdso)
        if not mapping.is_file:
            return 0
        pid = process.maps_pid
        try:
            key = FileKey.from_stat(stat_mapping(self._roots, pid, mapping))
        except (OtelprofError, OSError):
            return 0
        number = self._numbers.get(key)
        if number is None:
            with suppress(OtelprofError, OSError):
                self._held.hold(key, open_mapping(self._roots, pid, mapping))
            number = self._enter(self._file(key, pid, mapping))
        binary = self._binaries[number]
        if not binary.holders:
            binary.file = self._file(key, pid, mapping)
        if not process.gone:
            binary.holders.setdefault(process.space, (pid, mapping))
        return number

    def _enter(self, file: BinaryFile) -> int:
        if len(self._binaries) >= self._limit:
            self._drop_unmapped()
        self._last_number += 1
        self._numbers[file.key] = self._last_number
        self._binaries[self._last_number] = _Binary(file)
        return self._last_number

    def _drop_unmapped(self) -> None:
        """Forget binaries that no process has mapped; their numbers are in no row of the kernel side."""
        mapped = {number for known in chain(self._living.values(), self._ended.values()) for number in known.values()}
        for number in self._binaries.keys() - mapped:
            del self._numbers[self._binaries.pop(number).file.key]
        self._limit = max(_MAX_BINARIES, 2 * len(self._binaries))

    def _file(self, key: FileKey, pid: int, mapping: ProcessMapping) -> BinaryFile:
        opener = partial(self._held.open, key, partial(open_mapping, self._roots, pid, mapping))
        return BinaryFile(key, mapping.path, opener, partial(open_in_root, self._roots, pid))

    def forget(self, space: SpaceId) -> None:
        """Let go of a process that has ended; where its binaries were is remembered for some time."""
        mapped = self._living.pop(space, None)
        if mapped is not None:
            self._keep_ended(space, mapped)
            for number in set(mapped.values()):
                self._release(number, space)

    def _release(self, number: int, space: SpaceId) -> None:
        """Another process, the one known longest, shows a binary from now on."""
        binary = self._binaries.get(number)
        if binary is None or space not in binary.holders:
            return
        del binary.holders[space]
        if binary.holders:
            pid, mapping = next(iter(binary.holders.values()))
            binary.file = self._file(binary.file.key, pid, mapping)

    def release_files(self) -> None:
        """Close files that have been held for long enough; call every second or so."""
        self._held.release()

    def close(self) -> None:
        """Close every file."""
        self._held.close()

    def identity(self, number: int) -> Identity | None:
        """Segments and build ids of a binary; None while they are being read."""
        binary = self._binaries.get(number)
        if binary is None:
            return None
        identity = self._symbolizer.identity(binary.file)
        if identity is not None and not binary.is_identified:
            binary.is_identified = True
            if identity.build_id_gnu:
                self._build_ids.note(identity.build_id_gnu, binary.file.key, number)
        return identity

    def with_build_id(self, build_id: str) -> int:
        """Number of the binary with a GNU build id; 0 for none, or where files of other content carry it too."""
        return self._build_ids.number(build_id)

    def rows(self, process: Process) -> tuple[MappingRow, ...]:
        """Describe the mappings of a process to the kernel side.

        Binaries that no sample has hit yet and that no cache knows are left raw: a process maps many, and few of
        them are ever seen running.
        """
        numbers = {mapping: self.number(process, mapping) for mapping in process.mappings}
        before = self._living.get(process.space)
        if before is not None:
            self._living[process.space] = numbers
            for number in set(before.values()) - set(numbers.values()):
                self._release(number, process.space)
        return tuple(self._row(mapping, number) for mapping, number in numbers.items())

    def _row(self, mapping: ProcessMapping, number: int) -> MappingRow:
        file = self.file(number)
        identity = self._symbolizer.known_identity(file) if file is not None else None
        vaddr = identity.vaddr_of(mapping.file_offset) if identity is not None else None
        if vaddr is None:
            return MappingRow(mapping.start, mapping.end, 0, 0)
        return MappingRow(mapping.start, mapping.end, mapping.start - vaddr, number)

    def locate(self, process: Process, address: int) -> Location:
        """Find the binary at an address of a process; asks for its segments if they are not known."""
        mapping = mapping_at(process, address)
        number = self.number(process, mapping) if mapping is not None else 0
        if mapping is None or not number:
            return Location(0, address, certain=True)
        identity = self.identity(number)
        if identity is None:
            return Location(0, address, certain=False)
        vaddr = identity.vaddr_of(mapping.file_offset)
        if vaddr is None:
            return Location(0, address, certain=True)
        return Location(number, (address - mapping.start + vaddr) & 0xFFFFFFFFFFFFFFFF, certain=True)
