"""What the tests of the pipeline share."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from otelprof.artifacts.store import ArtifactStore
from tests.pipeline.scripted import KernelSide, ScriptedSampler
from tests.pipeline.world import World

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def store() -> Iterator[ArtifactStore]:
    """A store with the real, confined worker behind it, shared by all tests of this folder."""
    with ArtifactStore(None) as artifacts:
        yield artifacts


@pytest.fixture
def settle(store: ArtifactStore) -> Callable[[], None]:
    """Wait until the worker has answered everything."""

    def wait() -> None:
        assert store.wait(time.monotonic() + 60)

    return wait


@pytest.fixture
def make_world(tmp_path: Path, store: ArtifactStore) -> Iterator[MakeWorld]:
    with ExitStack() as cleanup:

        def make(sampler: ScriptedSampler | None = None, **options: float) -> World:
            world = World(tmp_path, store, sampler or ScriptedSampler(), **options)  # type: ignore[arg-type]
            cleanup.callback(world.close)
            return world

        yield make
    assert store.wait(time.monotonic() + 60)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def kernel_side() -> KernelSide:
    return KernelSide()


@pytest.fixture(autouse=True)
def _files_settle_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can set a ctime, and nothing is remembered of files that were written a moment ago."""
    monkeypatch.setattr("otelprof.artifacts.keys._SETTLED_NS", 0)
