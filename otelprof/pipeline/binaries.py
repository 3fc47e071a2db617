"""The binaries that sampled processes have mapped, by the numbers under which the kernel side knows them."""

import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from otelprof.artifacts.keys import FileKey
from otelprof.errors import OtelprofError
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


_MAX_PROCESSES = 1024
"""Processes whose mappings are remembered, some 3 KB each; those of others are looked at again."""


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
        self._files: list[BinaryFile | None] = [None]  # 0 is no binary
        self._numbers: dict[FileKey, int] = {}
        self._by_build_id: dict[str, set[FileKey]] = {}
        self._mapped: dict[SpaceId, dict[ProcessMapping, int]] = {}
        self._held = HeldFiles(monotonic_ns)

    def __len__(self) -> int:
        """Binaries seen since the start."""
        return len(self._numbers)

    def file(self, number: int) -> BinaryFile | None:
        """The binary with a number, as the process that was seen with it last sees it."""
        return self._files[number] if 0 < number < len(self._files) else None

    def number(self, process: Process, mapping: ProcessMapping) -> int:
        """Number of the binary that a mapping shows, 0 for memory without one or when it cannot be looked at.

        Each mapping is looked at once, while its process runs.
        """
        mapped = self._mapped.get(process.space)
        if mapped is None:
            if len(self._mapped) >= _MAX_PROCESSES:
                del self._mapped[next(iter(self._mapped))]
            mapped = self._mapped[process.space] = {}
        number = mapped.get(mapping)
        if number is None:
            number = mapped[mapping] = self._look(process, mapping)
        return number

    def _look(self, process: Process, mapping: ProcessMapping) -> int:
        if mapping.is_vdso:
            file = self._vdso
        elif mapping.is_file:
            file = self._mapped_file(process, mapping)
        else:
            file = None
        if file is None:
            return 0
        number = self._numbers.get(file.key)
        if number is None:
            number = self._numbers[file.key] = len(self._files)
            self._files.append(file)
        else:
            self._files[number] = file  # an older process may be gone
        return number

    def _mapped_file(self, process: Process, mapping: ProcessMapping) -> BinaryFile | None:
        pid = process.maps_pid
        try:
            key = FileKey.from_stat(stat_mapping(self._roots, pid, mapping))
        except OtelprofError:
            return None
        if key not in self._numbers:
            with suppress(OtelprofError):
                self._held.hold(key, open_mapping(self._roots, pid, mapping))
        opener = partial(self._held.open, key, partial(open_mapping, self._roots, pid, mapping))
        return BinaryFile(key, mapping.path, opener, partial(open_in_root, self._roots, pid))

    def release_files(self) -> None:
        """Close files that have been held for long enough; call every second or so."""
        self._held.release()

    def close(self) -> None:
        """Close every file."""
        self._held.close()

    def identity(self, number: int) -> Identity | None:
        """Segments and build ids of a binary; None while they are being read."""
        file = self.file(number)
        if file is None:
            return None
        identity = self._symbolizer.identity(file)
        if identity is not None and identity.build_id_gnu:
            self._by_build_id.setdefault(identity.build_id_gnu, set()).add(file.key)
        return identity

    def with_build_id(self, build_id: str) -> int:
        """Number of the only binary seen with a GNU build id; 0 for none, or for several: one of them is forged."""
        keys = self._by_build_id.get(build_id, ())
        if len(keys) != 1:
            return 0
        (key,) = keys
        return self._numbers[key]

    def rows(self, process: Process) -> tuple[MappingRow, ...]:
        """Describe the mappings of a process to the kernel side.

        Binaries that no sample has hit yet and that no cache knows are left raw: a process maps many, and few of
        them are ever seen running.
        """
        rows: list[MappingRow] = []
        for mapping in process.mappings:
            number = self.number(process, mapping)
            file = self.file(number)
            identity = self._symbolizer.known_identity(file) if file is not None else None
            vaddr = identity.vaddr_of(mapping.file_offset) if identity is not None else None
            if vaddr is None:
                rows.append(MappingRow(mapping.start, mapping.end, 0, 0))
            else:
                rows.append(MappingRow(mapping.start, mapping.end, mapping.start - vaddr, number))
        return tuple(rows)

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
