"""The agent's access to artifacts: look up, ask for, wait; never blocks on a file or a parser.

::

    data = store.get(SYMBOLS, key)
    if data is None:
        store.request(SYMBOLS, key, [descriptor], label=path)  # and look again after poll()
"""

import logging
import os
import select
import stat
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from otelprof.artifacts.cache import Cache, MemoryCache
from otelprof.artifacts.directory import DirectoryCache
from otelprof.artifacts.keys import FileKey, key_name
from otelprof.artifacts.kinds import KINDS, ArtifactKind
from otelprof.artifacts.limits import Limits

if TYPE_CHECKING:
    # At run time only when something must be built: a warm start needs none of it.
    from otelprof.artifacts.builder import Builder, Request, Result, Work
    from otelprof.artifacts.launch import Spawn

__all__ = ("ArtifactStore", "FileKey", "State")

_log = logging.getLogger(__name__)

DEFAULT_MAX_BYTES: Final = 512 << 20
"""Of the cache."""
MAX_PENDING: Final = 256
"""Requests at one time; each holds descriptors, of which a process has 1,024 by default."""
MAX_KNOWN: Final = 16_384
"""Artifacts and failures remembered; each mapped artifact is one of 65,530 mappings (``vm.max_map_count``)."""
_MAX_STUCK: Final = 4
"""Threads lost to files that cannot be read; from then on only the worker reads files."""
_CAUSES: Final = ("crash", "hang", "memory", "refused", "bad")


class State(Enum):
    """What the store knows of one artifact."""

    READY = "ready"
    PENDING = "pending"
    FAILED = "failed"
    """It cannot be made; this run does not try again."""
    UNKNOWN = "unknown"
    """It was not asked for, or there was no room for the request: ask again."""


@dataclass(frozen=True, slots=True)
class _Known:
    state: State
    data: memoryview | None = None


_PENDING: Final = _Known(State.PENDING)
_FAILED: Final = _Known(State.FAILED)
_UNKNOWN: Final = _Known(State.UNKNOWN)


class ArtifactStore:
    """Artifacts by kind and file, cached in ``cache_dir`` or, when that is None, in memory.

    Files are read and parsed elsewhere (a helper thread, a confined worker); methods are for one thread.
    :meth:`fileno` is readable when :meth:`poll` has something to do. Call :meth:`poll` on a timer as well: it
    also notices a file that cannot be read, on a server that is gone.
    The worker is started from a thread that starts with the first request, with that moment's capabilities,
    unless ``spawn`` starts it elsewhere.
    Raises EnvironmentFailure when ``cache_dir`` cannot be used or others could write into it.
    """

    def __init__(
        self,
        cache_dir: Path | None,
        *,
        kinds: Iterable[ArtifactKind] = tuple(KINDS.values()),
        max_bytes: int = DEFAULT_MAX_BYTES,
        limits: Limits | None = None,
        spawn: "Spawn | None" = None,
    ) -> None:
        self._kinds = tuple(kinds)
        self._limits = limits or Limits()
        self._spawn = spawn
        self._cache: Cache = MemoryCache(max_bytes) if cache_dir is None else DirectoryCache(cache_dir, max_bytes)
        self._known: OrderedDict[tuple[str, tuple[FileKey, ...]], _Known] = OrderedDict()
        self._pending = 0
        self._counts = dict.fromkeys(
            ("requests", "hits", "built", "shared", "deferred", "stuck", *(f"failed_{cause}" for cause in _CAUSES)), 0
        )
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._work: Work | None = None
        self._results: deque[Result] = deque()
        self._builders: list[Builder] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def state(self, kind: ArtifactKind, key: tuple[FileKey, ...]) -> State:
        """Tell whether the artifact is there; the first time, look into the cache."""
        return self._look_up(kind, key).state

    def get(self, kind: ArtifactKind, key: tuple[FileKey, ...]) -> memoryview | None:
        """Return the artifact when it is READY: read-only, aligned to 8 bytes, valid as long as it is referenced."""
        return self._look_up(kind, key).data

    def content(self, key: tuple[FileKey, ...]) -> bytes | None:
        """Return a hash of what is in the files, None while it is not known; equal for files of equal content only.

        Files too large to be copied, or written a moment ago, are never found equal to others.
        """
        return self._cache.content_of(key)

    def request(self, kind: ArtifactKind, key: tuple[FileKey, ...], files: Sequence[int], *, label: str) -> None:
        """Ask for an artifact that is UNKNOWN; in every other state nothing happens.

        ``files`` are open for reading and now belong to the store, which closes them. Each must be the file
        that its ``key`` was taken from with ``fstat``, or the key synthetic: an artifact found by one file's
        key and computed from another's content would rename the functions of whoever uses the first.
        When too many requests are pending the state stays UNKNOWN: ask again later.
        Raises ValueError when ``key`` and ``files`` do not belong together in number, or ``kind`` is not known.
        """
        from otelprof.artifacts.builder import Failure, Request, Result

        request = Request(kind, key, label, tuple(files))
        accepted = False
        try:
            key_name(key)  # has an opinion on their number
            if len(key) != len(files) or kind not in self._kinds:
                raise ValueError("a request needs a known kind, and one key for each file")
            if self.state(kind, key) is not State.UNKNOWN:
                return
            if self._pending >= MAX_PENDING:
                self._counts["deferred"] += 1
                return
            self._counts["requests"] += 1
            self._remember(kind, key, _PENDING)
            self._pending += 1
            if (objection := _objection(request)) is not None:
                self._settle(Result(request, Failure("refused", objection)))
                return
            self._put(request)
            accepted = True
        finally:
            if not accepted:
                request.close()

    def poll(self) -> None:
        """Take over what was finished, without blocking."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup)
        while self._results:
            self._settle(self._results.popleft())
        if self._builders and (request := self._builders[-1].stuck_on()) is not None:
            self._replace_builder(request)

    def fileno(self) -> int:
        """Return a descriptor for ``select``: readable when :meth:`poll` has something to do."""
        return self._wakeup

    def wait(self, deadline_s: float) -> bool:
        """Block until nothing is pending or ``time.monotonic()`` reaches ``deadline_s``; tell which."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        while True:
            self.poll()
            remaining = deadline_s - time.monotonic()
            if not self._pending or remaining <= 0:
                return not self._pending
            poll.poll(1 + 1000 * min(remaining, 1.0))

    def pending(self) -> int:
        """Return how many requests are not answered yet."""
        return self._pending

    def counters(self) -> Mapping[str, int]:
        """Return what happened since the start, and what there is.

        ``hits`` were found by key; ``requests`` = ``pending`` + ``built`` + ``shared`` (found by content) +
        ``failed_*``; ``deferred`` requests had no room; ``stuck`` reads never came back; ``bytes_cached`` is
        the size of the whole cache.
        """
        return {
            **self._counts,
            "pending": self._pending,
            "worker_starts": sum(builder.supervisor.starts for builder in self._builders),
            "bytes_cached": self._cache.size_bytes(),
        }

    def confinement(self) -> tuple[str, ...] | None:
        """Return what the worker could not give up (nothing, for root on a current kernel), None before its start."""
        return self._builders[-1].supervisor.missing if self._builders else None

    def close(self) -> None:
        """End worker and thread; may be called again. Artifacts that are still referenced stay valid."""
        if self._closed:
            return
        self._closed = True
        for builder in self._builders:
            builder.stop()
        if self._work is not None:
            while not self._work.empty():
                if (request := self._work.get()[-1]) is not None:
                    request.close()
            self._work.put((0, 0, None))
        # A thread that is stuck in a read keeps what it may still use.
        if all(builder.join(timeout_s=2.0) for builder in self._builders):
            os.close(self._wakeup)
            self._cache.close()

    def _look_up(self, kind: ArtifactKind, key: tuple[FileKey, ...]) -> _Known:
        known = self._known.get((kind.name, key))
        if known is not None:
            self._known.move_to_end((kind.name, key))
            return known
        content = self._cache.content_of(key)
        data = self._cache.load(kind, content) if content else None
        if data is None:
            return _UNKNOWN
        self._counts["hits"] += 1
        return self._remember(kind, key, _Known(State.READY, data))

    def _remember(self, kind: ArtifactKind, key: tuple[FileKey, ...], known: _Known) -> _Known:
        self._known[kind.name, key] = known
        self._known.move_to_end((kind.name, key))
        if len(self._known) > MAX_KNOWN:
            settled = (place for place, other in self._known.items() if other is not _PENDING)
            del self._known[next(settled)]
        return known

    def _put(self, request: "Request") -> None:
        if self._work is None:
            from queue import PriorityQueue

            self._work = PriorityQueue()
            self._start_builder(self._work, self._limits)
        self._work.put((0 if request.kind.is_quick else 1, self._counts["requests"], request))

    def _start_builder(self, work: "Work", limits: Limits) -> None:
        from otelprof.artifacts.builder import Builder
        from otelprof.artifacts.launch import local_spawn

        spawn = self._spawn or local_spawn([kind.extract for kind in self._kinds], limits)
        self._builders.append(
            Builder(work, self._finish, cache=self._cache, kinds=self._kinds, limits=limits, spawn=spawn)
        )

    def _finish(self, result: "Result") -> None:
        """Hand over a result; runs in a builder's thread."""
        self._results.append(result)
        os.eventfd_write(self._wakeup, 1)

    def _settle(self, result: "Result") -> None:
        kind, key = result.request.kind, result.request.key
        if self._known.get((kind.name, key)) is not _PENDING:
            return  # given up before: its builder was stuck
        self._pending -= 1
        if isinstance(result.outcome, memoryview):
            self._counts["built" if result.built else "shared"] += 1
            self._remember(kind, key, _Known(State.READY, result.outcome))
            return
        cause, detail = result.outcome.cause, result.outcome.detail
        self._counts[f"failed_{cause}"] += 1
        self._remember(kind, key, _FAILED)
        _log.info("no %s of %r: %s (%s)", kind.name, result.request.label, cause, detail)

    def _replace_builder(self, request: "Request") -> None:
        """Give up a thread that hangs in a read, and the file."""
        from otelprof.artifacts.builder import Failure, Result

        self._counts["stuck"] += 1
        stuck = self._builders[-1]
        stuck.stop()
        stuck.supervisor.retire()
        self._settle(Result(request, Failure("hang", "reading it hangs")))
        assert self._work is not None
        no_more_copies = self._counts["stuck"] >= _MAX_STUCK
        self._start_builder(self._work, replace(self._limits, shared_bytes=0) if no_more_copies else self._limits)


def _objection(request: "Request") -> str | None:
    """Return why a request cannot be trusted, None when it can."""
    for key, file in zip(request.key, request.files, strict=True):
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return "it is not a regular file"
        if not key.is_synthetic and FileKey.from_stat(found) != key:
            return "it is not, or no longer, the file that was looked at"
    return None
