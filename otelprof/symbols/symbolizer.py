"""Names for addresses of binaries, out of artifacts that are made when a sample first asks for them."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.kinds import IDENTITY, SYMBOLS, ArtifactKind
from otelprof.artifacts.store import ArtifactStore, State
from otelprof.errors import FileUnavailable, OtelprofError
from otelprof.model.stack import Function, Line
from otelprof.symbols.debugfiles import find_debug_file
from otelprof.symbols.identity import Identity
from otelprof.symbols.rust_legacy import is_legacy
from otelprof.symbols.table import SymbolTable

__all__ = ("BinaryFile", "Symbolizer", "frame_type")

RETRY_S: Final = 5.0
"""After a file could not be opened: its process is gone, but another one with the same file may come."""

MAX_BINARIES: Final = 8192
"""Binaries whose state is kept; the one asked for first is forgotten first and found again when needed."""


@dataclass(frozen=True, slots=True)
class BinaryFile:
    """A binary as one process sees it.

    ``key`` tells its content apart from that of all other files. ``open`` returns a descriptor for reading the
    very file, ``open_in_root`` one for a path in the process's root; both raise OSError or OtelprofError
    when that is not possible, for instance because the process has ended.
    """

    key: FileKey
    path: str
    open: Callable[[], int]
    open_in_root: Callable[[str], int]


_Opener: TypeAlias = tuple[FileKey, Callable[[], int]]


@dataclass(slots=True)
class _Binary:
    """What is known of one binary so far."""

    identity: Identity | None = None
    debug_file: tuple[str, FileKey] | None = None
    looked_for_debug_file: bool = False
    table: SymbolTable | None = None
    lines: dict[int, tuple[Line, ...]] = field(default_factory=dict)
    """By index in the table: each function is made once."""
    retry_at: float = 0.0


_NOT_READABLE: Final = Identity()
_EMPTY_TABLE: Final = SymbolTable(memoryview(bytes(16)))


class Symbolizer:
    """Identities and function names of binaries.

    Nothing here blocks or parses files: what is not known yet is asked of ``store``, whose ``poll`` makes
    progress, and the answer is None until then. ``clock`` is monotonic, in seconds.
    """

    def __init__(self, store: ArtifactStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._binaries: dict[FileKey, _Binary] = {}

    def identity(self, binary: BinaryFile) -> Identity | None:
        """Return the identity of a binary, None while it is not known.

        That of a file which cannot be parsed has no segments and no build ids.
        """
        known = self._known(binary)
        if known.identity is None:
            data = self._artifact(IDENTITY, known, binary.path, [(binary.key, binary.open)])
            if data is not None:
                known.identity = Identity.parse(data) if data else _NOT_READABLE
        return known.identity

    def known_identity(self, binary: BinaryFile) -> Identity | None:
        """Return the identity if it is at hand; unlike :meth:`identity` this asks for nothing."""
        known = self._known(binary)
        if known.identity is None and (data := self._store.get(IDENTITY, (binary.key,))) is not None:
            known.identity = Identity.parse(data)
        return known.identity

    def content(self, key: FileKey) -> bytes | None:
        """Return a hash of what is in a file, None while it is not known; equal for files of equal content only."""
        return self._store.content((key,))

    def lines(self, binary: BinaryFile, address: int) -> tuple[Line, ...] | None:
        """Return the function at ``address`` (of the ELF file's own address space) as one line.

        () when it is known to have no name, None while that is not known. The first call for a binary asks for
        its symbols, and for its debug file if it has none of its own.
        """
        known = self._known(binary)
        table = self._find_table(binary, known) if known.table is None else known.table
        if table is None:
            return None
        index = table.index_of(address)
        if index < 0:
            return ()
        lines = known.lines.get(index)
        if lines is None:
            symbol = table[index]
            lines = known.lines[index] = (Line(Function(symbol.name, symbol.system_name)),)
        return lines

    def close(self) -> None:
        """Let go of all artifacts."""
        self._binaries.clear()

    def _known(self, binary: BinaryFile) -> _Binary:
        known = self._binaries.get(binary.key)
        if known is None:
            if len(self._binaries) >= MAX_BINARIES:
                del self._binaries[next(iter(self._binaries))]
            known = self._binaries[binary.key] = _Binary()
        return known

    def _find_table(self, binary: BinaryFile, known: _Binary) -> SymbolTable | None:
        identity = self.identity(binary)
        if identity is None:
            return None
        if not identity.is_elf:
            known.table = _EMPTY_TABLE
            return known.table
        if not identity.has_symtab and not known.looked_for_debug_file:
            known.debug_file = find_debug_file(identity, binary.path, binary.open_in_root)
            known.looked_for_debug_file = True
        files: list[_Opener] = [(binary.key, binary.open)]
        if known.debug_file is not None:
            path, key = known.debug_file
            files.append((key, lambda: binary.open_in_root(path)))
        data = self._artifact(SYMBOLS, known, binary.path, files)
        if data is not None:
            known.table = SymbolTable(data) if data else _EMPTY_TABLE
        return known.table

    def _artifact(self, kind: ArtifactKind, known: _Binary, path: str, files: Sequence[_Opener]) -> memoryview | None:
        """Return the artifact, empty when it cannot be made; else ask for it and return None."""
        key = tuple(key for key, _ in files)
        data = self._store.get(kind, key)
        if data is not None:
            return data
        state = self._store.state(kind, key)
        if state is State.FAILED:
            return memoryview(b"")
        now = self._clock()
        if state is State.UNKNOWN and now >= known.retry_at:
            try:
                descriptors = _open_all(files)
            except (OSError, OtelprofError):
                known.retry_at = now + RETRY_S
            else:
                self._store.request(kind, key, descriptors, label=path)
        return None


def _open_all(files: Sequence[_Opener]) -> list[int]:
    """Open all files or none; raises FileUnavailable when one is not, or no longer, what its key says."""
    descriptors: list[int] = []
    try:
        for key, open_file in files:
            descriptors.append(open_file())
            if not key.is_synthetic and FileKey.from_stat(os.fstat(descriptors[-1])) != key:
                raise FileUnavailable("the file has been replaced meanwhile")
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return descriptors


def frame_type(identity: Identity, lines: tuple[Line, ...]) -> str:
    """Return the ``profile.frame.type`` of a native frame: "go", "rust" or "native".

    Rust is told by the mangled name, frame by frame: its programs hold C as well, and other programs hold Rust.
    """
    if identity.language:
        return identity.language
    for line in lines:
        system_name = line.function.system_name
        if system_name.startswith("_R") or is_legacy(system_name.encode()):
            return "rust"
    return "native"
