"""Names, mappings and build ids of kernel frames.

Addresses are given relative to the start of the kernel's text or of the module, as the OpenTelemetry eBPF
profiler does: that takes out address randomisation, which would otherwise tell attackers where the kernel
is and make each boot look different. A mapping therefore begins at 0. The kernel's own start is the symbol
``_text`` (``_stext`` where it is missing), that of a module its load address in /proc/modules. What has no
build id (BPF programs, trampolines) has no mapping and keeps its address.
"""

import os
import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.kinds import KALLSYMS
from otelprof.artifacts.store import ArtifactStore, State
from otelprof.model.stack import Frame, Function, Line, Mapping
from otelprof.roots import HostRoots
from otelprof.symbols.kallsyms import KernelTable
from otelprof.symbols.notes import gnu_build_id, iter_notes

__all__ = ("KERNEL_NAME", "KernelState", "KernelSymbol", "KernelSymbols", "kernel_htlhash")

KERNEL_NAME: Final = "vmlinux"
"""Mapping of the kernel itself."""

FIRST_REFRESH_S: Final = 10.0
LAST_REFRESH_S: Final = 3600.0
"""Reading kallsyms takes kernel and worker some 0.3 s, so it is read again at most this often; the pause
doubles from the first to the last as long as there is no new module."""

_PROBE_BYTES: Final = 4096
"""Enough to see an address that is not zero: only some per-CPU variables, which come first, truly are at zero."""

_MAX_MODULES_BYTES: Final = 4 << 20
_MAX_NOTES_BYTES: Final = 65536
_PASSING_MODULES: Final = frozenset(("bpf", "__builtin__ftrace", "__builtin__kprobes"))
"""What kallsyms calls code that comes and goes while the kernel runs."""


class KernelState(Enum):
    """Whether kernel frames can be named."""

    PENDING = auto()
    READY = auto()
    HIDDEN = auto()
    UNAVAILABLE = auto()


class KernelSymbol(NamedTuple):
    """A kernel function; ``module`` is KERNEL_NAME for the kernel itself, ``start`` its address."""

    name: str
    module: str
    start: int


@dataclass(frozen=True, slots=True)
class _Module:
    """A line of /proc/modules."""

    name: str
    start: int
    end: int


class KernelSymbols:
    """Names kernel addresses out of a kallsyms artifact that is made once per boot and set of modules.

    ``poll`` of the store makes progress; nothing here blocks. /proc/kallsyms is opened at once, for the kernel
    shows addresses to whoever had CAP_SYSLOG when opening it; ``close`` closes it.
    """

    def __init__(self, roots: HostRoots, store: ArtifactStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._roots = roots
        self._store = store
        self._clock = clock
        self._build_id = _build_id(roots.sys / "kernel/notes")
        self._kallsyms = _open(roots.proc / "kallsyms")
        self._table: KernelTable | None = None
        self._key: FileKey | None = None
        self._is_asked = False
        self._is_current = False
        self._pause_s = FIRST_REFRESH_S
        self._next_refresh = 0.0
        self._mappings: dict[str, Mapping | None] = {}
        self._state = KernelState.PENDING
        self._message = ""
        self._read_modules()
        self._want(FileKey.synthetic(*self._facts()))

    def close(self) -> None:
        """Let go of /proc/kallsyms and of the artifact."""
        if self._kallsyms is not None:
            os.close(self._kallsyms)
            self._kallsyms = None
        self._table = self._key = None

    @property
    def state(self) -> KernelState:
        """Whether kernel frames can be named; the frames are given even where they cannot."""
        self._collect()
        return self._state

    @property
    def message(self) -> str:
        """What keeps frames from being named, one sentence with the fix; "" if nothing does."""
        self._collect()
        return self._message

    def find(self, address: int) -> KernelSymbol | None:
        """Return the function at ``address``, None when it has no known name (see ``state``)."""
        self._collect()
        if self._table is None:
            return None
        found = self._table.symbols.find(address)
        if found is None or found.system_name in _PASSING_MODULES:
            self._refresh()
            if found is None or not self._is_current:
                return None
        return KernelSymbol(found.name, found.system_name or KERNEL_NAME, found.start)

    def frame(self, address: int) -> Frame | None:
        """Return the frame for ``address``, named as far as possible; None while the names are still being read."""
        symbol = self.find(address)
        if self._state is KernelState.PENDING:
            return None
        lines = (Line(Function(symbol.name)),) if symbol else ()
        name, start = self._place(address)
        mapping = self.mapping(name)
        if mapping is None:
            return Frame("kernel", address, None, lines)
        return Frame("kernel", address - start, mapping, lines)

    def mapping(self, module: str) -> Mapping | None:
        """Return the mapping of the kernel (KERNEL_NAME) or a module, None when it is unknown or has no build id."""
        if module not in self._mappings:
            self._mappings[module] = self._make_mapping(module)
        return self._mappings[module]

    def _make_mapping(self, module: str) -> Mapping | None:
        if module == KERNEL_NAME:
            size = self._table.text_end - self._table.text_start if self._table else 0
            build_id = self._build_id
        else:
            size = next((m.end - m.start for m in self._modules if m.name == module), 0)
            build_id = _build_id(self._roots.sys / "module" / module / "notes/.note.gnu.build-id")
        if not size or not build_id:
            return None
        return Mapping(module, 0, size, 0, build_id_gnu=build_id, build_id_htlhash=kernel_htlhash(build_id))

    def _place(self, address: int) -> tuple[str, int]:
        """Return name and start of what holds ``address``, "" when nothing known does."""
        if self._table and self._table.text_start <= address < self._table.text_end:
            return KERNEL_NAME, self._table.text_start
        index = bisect_right(self._modules, address, key=lambda module: module.start) - 1
        if index >= 0 and address < self._modules[index].end:
            return self._modules[index].name, self._modules[index].start
        return "", 0

    # Getting the table

    def _facts(self) -> tuple[bytes, ...]:
        """Return what the artifact depends on, found without reading kallsyms."""
        boot_id = _read(self._roots.proc / "sys/kernel/random/boot_id", 64)
        modules = "".join(f"{module.name} {module.start:x} {module.end:x}\n" for module in self._modules)
        return boot_id, self._build_id.encode(), modules.encode()

    def _read_modules(self) -> None:
        modules = map(_module, _read(self._roots.proc / "modules", _MAX_MODULES_BYTES).splitlines())
        self._modules = sorted((module for module in modules if module), key=lambda module: module.start)
        self._mappings.clear()

    def _want(self, key: FileKey) -> None:
        """Go for the artifact of this key from now on."""
        self._key = key
        self._is_asked = False
        self._collect()

    def _collect(self) -> None:
        """Take over the artifact that is wanted, if it is there; ask for it, if nobody did."""
        if self._key is None:
            return
        data = self._store.get(KALLSYMS, (self._key,))
        if data is not None:
            self._table = KernelTable(data)
            self._is_current = self._is_asked
            if self._is_current:
                self._next_refresh = self._clock() + self._pause_s
            self._mappings.clear()
            self._key = None
            self._state, self._message = KernelState.READY, ""
            return
        state = self._store.state(KALLSYMS, (self._key,))
        if state is State.FAILED:
            self._give_up(KernelState.UNAVAILABLE, "kernel functions have no names: /proc/kallsyms cannot be parsed")
        elif state is State.UNKNOWN:
            self._ask(self._key)

    def _ask(self, key: FileKey) -> None:
        if self._kallsyms is None:
            self._give_up(KernelState.UNAVAILABLE, "kernel functions have no names: /proc/kallsyms cannot be opened")
        elif not _shows_addresses(self._kallsyms):
            self._give_up(
                KernelState.HIDDEN,
                "kernel functions have no names: give otelprof CAP_SYSLOG or set kernel.kptr_restrict to 0 or 1",
            )
        else:
            self._store.request(KALLSYMS, (key,), [os.dup(self._kallsyms)], label="/proc/kallsyms")
            self._is_asked = True

    def _give_up(self, state: KernelState, message: str) -> None:
        self._key = None
        if self._table is None:
            self._state, self._message = state, message

    def _refresh(self) -> None:
        """Want a new artifact, as an address is in code that was loaded later; not too often."""
        now = self._clock()
        if self._key is not None or now < self._next_refresh:
            return
        before = self._modules
        self._read_modules()
        self._pause_s = FIRST_REFRESH_S if self._modules != before else min(self._pause_s * 2, LAST_REFRESH_S)
        self._next_refresh = now + self._pause_s
        # The code that comes and goes is in no fact, so the artifact is good for this moment alone.
        self._want(FileKey.synthetic(*self._facts(), str(time.time_ns()).encode()))


def kernel_htlhash(build_id: str) -> str:
    """Return the htlhash of a kernel or module: 128-bit FNV-1a of its GNU build id in hex.

    The OpenTelemetry eBPF profiler's rule for what has no file; constants from draft-eastlake-fnv.
    """
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in build_id.encode():
        value = (value ^ byte) * 0x0000000001000000000000000000013B % (1 << 128)
    return f"{value:032x}"


def _module(line: bytes) -> _Module | None:
    """Parse ``name size references users state address …``; None where the kernel hides the address."""
    fields = line.split()
    with suppress(ValueError, IndexError):
        name, size, start = fields[0].decode("ascii"), int(fields[1]), int(fields[5], 16)
        if start > 0 and size > 0 and start + size <= 1 << 64 and "/" not in name and name not in (".", ".."):
            return _Module(name, start, start + size)
    return None


def _shows_addresses(kallsyms: int) -> bool:
    try:
        start = os.pread(kallsyms, _PROBE_BYTES, 0)
    except OSError:
        return False
    # The last line may be cut in its address.
    return any(line.split(b" ", 1)[0].strip(b"0") for line in start.splitlines()[:-1] or [start])


def _build_id(path: Path) -> str:
    return gnu_build_id(iter_notes(_read(path, _MAX_NOTES_BYTES)))


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes)
    except OSError:
        return b""


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
