"""The helper thread that turns requests into artifacts, so that the agent's loop never waits for a file."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from queue import Empty, PriorityQueue
from typing import Final, TypeAlias

from otelprof.artifacts.cache import Cache
from otelprof.artifacts.keys import FileKey, key_name, may_still_change
from otelprof.artifacts.kinds import ArtifactKind
from otelprof.artifacts.launch import Spawn
from otelprof.artifacts.limits import Limits
from otelprof.artifacts.output import OutputFile
from otelprof.artifacts.snapshot import Snapshot
from otelprof.artifacts.supervisor import Supervisor, Verdict
from otelprof.errors import BadArtifact, WorkerFailure

__all__ = ("Builder", "Failure", "Request", "Result", "Work")

_log = logging.getLogger(__name__)

_MAX_FAILURES: Final = 4096
"""Contents that are known to fail; forgetting one costs a second try."""


@dataclass(frozen=True, slots=True)
class Request:
    """A file (or several) that an artifact is wanted of. ``label`` names it in logs; ``files`` are open."""

    kind: ArtifactKind
    key: tuple[FileKey, ...]
    label: str
    files: tuple[int, ...]

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            os.close(file)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no artifact: ``crash``, ``hang``, ``memory``, ``refused`` or ``bad``, and a detail."""

    cause: str
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request; ``built`` tells a new artifact from one that was there for the same content."""

    request: Request
    outcome: memoryview | Failure
    built: bool = False


Work: TypeAlias = PriorityQueue[tuple[int, int, Request | None]]
"""Rank (lowest first), number of arrival and request; None = end."""


class Builder:
    """One thread with one worker. ``done`` is called in the thread, for each request exactly once.

    When reading a file hangs (its server is gone) the thread cannot be ended: it is abandoned, and another
    builder goes on with the same ``work``.
    """

    def __init__(
        self,
        work: Work,
        done: Callable[[Result], None],
        *,
        cache: Cache,
        kinds: Sequence[ArtifactKind],
        limits: Limits,
        spawn: Spawn,
    ) -> None:
        self._work = work
        self._done = done
        self._cache = cache
        self._limits = limits
        self._indices = {kind.name: index for index, kind in enumerate(kinds)}
        self._failures: dict[tuple[str, bytes], Failure] = {}
        self._stopped = False
        self._reading: tuple[Request, float] | None = None
        self.supervisor = Supervisor(spawn, limits)
        self._thread = threading.Thread(target=self._run, name="otelprof-artifacts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Make the thread end as soon as it can; does not wait."""
        self._stopped = True
        self.supervisor.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread, but not longer than that; tell whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stuck_on(self) -> Request | None:
        """Return the request whose files have been read for too long, if any."""
        reading = self._reading
        return reading[0] if reading and time.monotonic() > reading[1] else None

    def _run(self) -> None:
        while (request := self._next()) is not None:
            try:
                result = self._answer(request)
            except Exception as error:  # a bug of ours must not end the thread, and with it all work
                _log.exception("an artifact was not made")
                result = Result(request, Failure("crash", f"{type(error).__name__} in otelprof"))
            finally:
                request.close()
            self._done(result)
        self.supervisor.retire()

    def _next(self) -> Request | None:
        if self._stopped:
            return None
        if self.supervisor.alive:
            try:
                return self._work.get(timeout=self._limits.idle_s)[-1]
            except Empty:
                self.supervisor.retire()
        return self._work.get()[-1]

    def _answer(self, request: Request) -> Result:
        self._reading = request, time.monotonic() + self._limits.read_s
        try:
            snapshot = Snapshot(request.files, self._limits.shared_bytes)
        except OSError as error:
            return Result(request, Failure("refused", f"it cannot be read ({error.strerror})"))
        finally:
            self._reading = None
        try:
            return self._make(request, snapshot)
        finally:
            snapshot.close()

    def _make(self, request: Request, snapshot: Snapshot) -> Result:
        young = may_still_change(request.key)
        content = snapshot.content
        if content is None:
            if young:
                # Neither its content nor its key says what it will hold in a moment.
                return Result(request, self._parse(request, snapshot), built=True)
            content = hashlib.sha256(b"key " + key_name(request.key).encode()).digest()
        outcome: memoryview | Failure | None = self._cache.load(request.kind, content)
        built = outcome is None
        if outcome is None:
            outcome = self._failures.get((request.kind.name, content)) or self._parse(request, snapshot)
            if isinstance(outcome, Failure):
                self._remember_failure(request.kind, content, outcome)
                return Result(request, outcome)
            outcome = self._cache.publish(request.kind, content, outcome)
        if not young:
            self._cache.remember(request.key, content)
        return Result(request, outcome, built)

    def _parse(self, request: Request, snapshot: Snapshot) -> memoryview | Failure:
        try:
            output = OutputFile(self._limits.output_bytes)
        except OSError as error:
            return Failure("refused", f"there is no memory for its artifact ({error.strerror})")
        try:
            index = self._indices[request.kind.name]
            verdict, detail = self.supervisor.parse(index, snapshot.files, output.descriptor, snapshot.size_bytes)
            if verdict is Verdict.REFUSED:
                detail = output.reason()
            if verdict is not Verdict.DONE:
                return Failure(verdict.value, detail)
            payload = output.payload()
            _check(request.kind, payload)
        except WorkerFailure as failure:
            return Failure("crash", str(failure))
        except BadArtifact as bad:
            return Failure("bad", str(bad))
        finally:
            output.close()
        return payload

    def _remember_failure(self, kind: ArtifactKind, content: bytes, failure: Failure) -> None:
        if len(self._failures) >= _MAX_FAILURES:
            del self._failures[next(iter(self._failures))]
        self._failures[kind.name, content] = failure


def _check(kind: ArtifactKind, payload: memoryview) -> None:
    """Run the kind's check; whatever it trips over makes the artifact a bad one."""
    module, _, name = kind.check.partition(":")
    check = getattr(import_module(module), name)
    try:
        check(payload)
    except Exception as error:
        raise BadArtifact(f"its artifact is wrong ({error})") from error
