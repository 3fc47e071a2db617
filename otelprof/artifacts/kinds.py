"""The kinds of artifacts: what is computed from a file, by which function, and who checks it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ("IDENTITY", "KALLSYMS", "KINDS", "SYMBOLS", "ArtifactKind")

MAX_NAME_BYTES: Final = 16
"""Room for the name in the header of a cached artifact."""


@dataclass(frozen=True, slots=True)
class ArtifactKind:
    """One kind of artifact; the functions are named, not imported, because each runs in one process only.

    ``extract`` is ``module:function`` with ``(files: Sequence[int]) -> bytes``, resolved in the worker alone.
    It may import nothing and open nothing when it runs: it gets open descriptors and may use ``os.pread``,
    ``os.preadv``, ``os.fstat`` and ``os.lseek`` on them, memory and the processor.
    ``check`` is ``module:function`` with ``(data: memoryview) -> None``, resolved in the agent alone. It raises
    BadArtifact unless every bound and index in ``data`` is right.
    ``is_quick`` kinds go first: they take milliseconds, and others cannot be asked for without them.
    ``version`` is raised whenever the layout of the bytes changes. ``name`` becomes part of file names.
    """

    name: str
    version: int
    extract: str
    check: str
    is_quick: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or len(self.name.encode()) > MAX_NAME_BYTES:
            raise ValueError(f"{self.name!r} cannot name a kind of artifacts")


IDENTITY: Final = ArtifactKind(
    "identity",
    1,
    "otelprof.symbols.extract:extract_identity",
    "otelprof.symbols.identity:check_identity",
    is_quick=True,
)
"""What a binary is: segments, build ids, language."""

SYMBOLS: Final = ArtifactKind(
    "symbols", 1, "otelprof.symbols.extract:extract_symbols", "otelprof.symbols.table:check_symbols"
)
"""Addresses to names, of a binary and its debug file."""

KALLSYMS: Final = ArtifactKind(
    "kallsyms", 1, "otelprof.symbols.kallsyms:extract_kallsyms", "otelprof.symbols.kallsyms:check_kallsyms"
)
"""Addresses to names, of the kernel and its modules."""

KINDS: Final[Mapping[str, ArtifactKind]] = MappingProxyType({kind.name: kind for kind in (IDENTITY, SYMBOLS, KALLSYMS)})
"""Every kind the agent uses, by name."""
