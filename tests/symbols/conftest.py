"""Helpers for tests of what the worker computes."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

from otelprof.artifacts.store import ArtifactStore

Opened = Callable[[bytes], int]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Turn bytes into the descriptor of a file that holds them."""
    descriptors: list[int] = []

    def make(data: bytes) -> int:
        descriptors.append(os.memfd_create("test"))
        os.pwrite(descriptors[-1], data, 0)
        return descriptors[-1]

    yield make
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.fixture(scope="session")
def store() -> Iterator[ArtifactStore]:
    """A store with the real, confined worker behind it, shared by all tests of this folder."""
    with ArtifactStore(None) as artifacts:
        yield artifacts


@pytest.fixture(scope="session")
def settle(store: ArtifactStore) -> Callable[[], None]:
    """Wait until the worker has answered everything."""

    def wait() -> None:
        assert store.wait(time.monotonic() + 60)

    return wait
