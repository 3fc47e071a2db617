"""What the tests of processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.trees import HostTree, open_descriptors


@pytest.fixture
def host(tmp_path: Path) -> HostTree:
    return HostTree(tmp_path)


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before
