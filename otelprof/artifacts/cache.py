"""Where finished artifacts are kept: the protocol, and the memory of this run."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.kinds import ArtifactKind

__all__ = ("MAX_KEYS", "Cache", "MemoryCache")

MAX_KEYS: Final = 65_536
"""Most keys that a cache remembers; a host has a few thousand executables and libraries."""


class Cache(Protocol):
    """Artifacts by kind and content, and contents by key. Used by two threads at a time."""

    def content_of(self, key: Sequence[FileKey]) -> bytes | None:
        """Return the content hash that was remembered for this state of these files."""

    def remember(self, key: Sequence[FileKey], content: bytes) -> None:
        """Remember it."""

    def load(self, kind: ArtifactKind, content: bytes) -> memoryview | None:
        """Return the payload of an artifact, None when it is not there or damaged."""

    def publish(self, kind: ArtifactKind, content: bytes, payload: memoryview) -> memoryview:
        """Keep a checked artifact; return its payload in the place where it stays."""

    def size_bytes(self) -> int:
        """Return what all artifacts occupy."""

    def close(self) -> None:
        """Let go of the place; artifacts that are referenced stay valid."""


class MemoryCache:
    """Artifacts for this run only; the oldest are forgotten first, and stay valid for who uses them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._contents: OrderedDict[tuple[FileKey, ...], bytes] = OrderedDict()
        self._artifacts: OrderedDict[tuple[str, bytes], memoryview] = OrderedDict()

    def content_of(self, key: Sequence[FileKey]) -> bytes | None:
        """Return the remembered hash."""
        return self._contents.get(tuple(key))

    def remember(self, key: Sequence[FileKey], content: bytes) -> None:
        """Remember a hash, and forget the oldest when there are too many."""
        self._contents[tuple(key)] = content
        if len(self._contents) > MAX_KEYS:
            self._contents.popitem(last=False)

    def load(self, kind: ArtifactKind, content: bytes) -> memoryview | None:
        """Return the payload that was published."""
        return self._artifacts.get((kind.name, content))

    def publish(self, kind: ArtifactKind, content: bytes, payload: memoryview) -> memoryview:
        """Keep the payload where it is."""
        self._bytes += len(payload) - len(self._artifacts.pop((kind.name, content), b""))
        self._artifacts[kind.name, content] = payload
        while self._bytes > self._max_bytes and len(self._artifacts) > 1:
            _, oldest = self._artifacts.popitem(last=False)
            self._bytes -= len(oldest)
        return payload

    def size_bytes(self) -> int:
        """Return the sum of the payloads."""
        return self._bytes

    def close(self) -> None:
        """Forget everything."""
        self._contents.clear()
        self._artifacts.clear()
