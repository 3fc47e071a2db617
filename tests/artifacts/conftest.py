"""Stores with test kinds, files to parse, and eyes on the worker."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.kinds import ArtifactKind
from otelprof.artifacts.launch import LocalWorker, WorkerProcess, local_spawn
from otelprof.artifacts.limits import Limits
from otelprof.artifacts.store import ArtifactStore, State

OLD_NS = 1_000_000_000


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for something that no descriptor tells about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.002)


def children_of(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


def key_of(path: Path) -> tuple[FileKey, ...]:
    return (FileKey.from_stat(path.stat()),)


def write_old(path: Path, data: bytes) -> Path:
    """Write a file whose time stamps say that it does not change any more (all but ctime)."""
    path.write_bytes(data)
    os.utime(path, ns=(OLD_NS, OLD_NS))
    return path


@dataclass
class Workshop:
    """A store, the workers it started, and short ways to use it."""

    store: ArtifactStore
    workers: list[LocalWorker] = field(default_factory=list)

    def request(self, kind: ArtifactKind, path: Path) -> None:
        self.store.request(kind, key_of(path), [os.open(path, os.O_RDONLY)], label=str(path))

    def make(self, kind: ArtifactKind, path: Path) -> bytes | None:
        """Ask, wait, and return the artifact if there is one."""
        self.request(kind, path)
        assert self.store.wait(time.monotonic() + 60)
        data = self.store.get(kind, key_of(path))
        assert (data is not None) == (self.store.state(kind, key_of(path)) is State.READY)
        counters = self.store.counters()
        answered = sum(count for name, count in counters.items() if name.startswith(("built", "shared", "failed_")))
        assert counters["requests"] == answered
        return None if data is None else bytes(data)

    def parser(self) -> int:
        """Wait for the last worker's parser; return its process id."""
        until(lambda: self.workers and children_of(self.workers[-1].pid))
        return children_of(self.workers[-1].pid)[0]

    def failures(self) -> dict[str, int]:
        return {name: count for name, count in self.store.counters().items() if name.startswith("failed_") and count}


Open = Callable[..., Workshop]


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as settled at once: nobody can set a ctime."""
    monkeypatch.setattr("otelprof.artifacts.keys._SETTLED_NS", 0)


@pytest.fixture
def open_workshop() -> Iterator[Open]:
    with ExitStack() as cleanup:

        def open_store(*kinds: ArtifactKind, cache_dir: Path | None = None, limits: Limits | None = None) -> Workshop:
            limits = limits or Limits()
            start = local_spawn([kind.extract for kind in kinds], limits)
            workers: list[LocalWorker] = []

            def spawn() -> WorkerProcess:
                worker = start()
                assert isinstance(worker, LocalWorker)
                workers.append(worker)
                return worker

            store = ArtifactStore(cache_dir, kinds=kinds, limits=limits, spawn=spawn)
            cleanup.callback(store.close)
            return Workshop(store, workers)

        yield open_store
