"""The binaries that sampled processes have mapped, by the numbers under which the kernel side knows them."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from otelprof.artifacts.keys import FileKey
from otelprof.errors import OtelprofError
from otelprof.processes.files import open_in_root, open_mapping, stat_mapping
from otelprof.processes.mappings import ProcessMapping
from otelprof.processes.table import Process
from otelprof.roots import HostRoots
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.symbols.identity import Identity
from otelprof.symbols.symbolizer import BinaryFile, Symbolizer
from otelprof.symbols.vdso import VDSO_PATH

__all__ = ("BinaryTable", "ProcessRows", "mapping_at")


def mapping_at(process: Process, address: int) -> ProcessMapping | None:
    """Executable mapping of a process that holds an address."""
    index = bisect_right(process.mappings, address, key=lambda mapping: mapping.start) - 1
    if index >= 0 and address < process.mappings[index].end:
        return process.mappings[index]
    return None


@dataclass(frozen=True, slots=True)
class ProcessRows:
    """The mappings of a process as the kernel side wants them.

    ``pending`` is set when a binary's segments are not known yet: its addresses stay raw until the process is
    described again.
    """

    rows: tuple[MappingRow, ...]
    pending: bool


class BinaryTable:
    """Numbers binaries by content state (device, inode, size, times), never by name or build id."""

    def __init__(self, roots: HostRoots, symbolizer: Symbolizer, vdso: BinaryFile | None) -> None:
        """``vdso`` is the kernel's own image, mapped into every process without a file."""
        self._roots = roots
        self._symbolizer = symbolizer
        self._vdso = vdso
        self._files: list[BinaryFile | None] = [None]  # 0 is no binary
        self._numbers: dict[FileKey, int] = {}
        self._by_build_id: dict[str, set[FileKey]] = {}

    def __len__(self) -> int:
        """Binaries seen since the start."""
        return len(self._numbers)

    def file(self, number: int) -> BinaryFile | None:
        """The binary with a number, as the process that was seen with it last sees it."""
        return self._files[number] if 0 < number < len(self._files) else None

    def number(self, process: Process, mapping: ProcessMapping) -> int:
        """Number of the binary that a mapping shows, 0 for memory without one or when it cannot be looked at."""
        if mapping.path == VDSO_PATH:
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
        opener: Callable[[], int] = partial(open_mapping, self._roots, pid, mapping)
        return BinaryFile(key, mapping.path, opener, partial(open_in_root, self._roots, pid))

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

    def rows(self, process: Process) -> ProcessRows:
        """Describe the mappings of a process to the kernel side."""
        rows: list[MappingRow] = []
        pending = False
        for mapping in process.mappings:
            number = self.number(process, mapping)
            bias, unread = self._bias(number, mapping)
            pending |= unread
            rows.append(MappingRow(mapping.start, mapping.end, bias or 0, number if bias is not None else 0))
        return ProcessRows(tuple(rows), pending)

    def locate(self, process: Process, address: int) -> tuple[int, int, bool]:
        """Find the binary at an address of a process and the address in its own space.

        Returns (number, address, certain): number 0 when there is none, ``certain`` False while its segments are
        still being read.
        """
        mapping = mapping_at(process, address)
        if mapping is None:
            return 0, address, True
        number = self.number(process, mapping)
        bias, unread = self._bias(number, mapping)
        if bias is None:
            return 0, address, not unread
        return number, (address - bias) & 0xFFFFFFFFFFFFFFFF, True

    def _bias(self, number: int, mapping: ProcessMapping) -> tuple[int | None, bool]:
        """What to subtract from addresses in a mapping, if that is known; whether it may be known later."""
        if not number:
            return None, False
        identity = self.identity(number)
        if identity is None:
            return None, True
        vaddr = identity.vaddr_of(mapping.file_offset)
        return (None if vaddr is None else mapping.start - vaddr), False
