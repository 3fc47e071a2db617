"""Files held open for a while."""

import os
from collections.abc import Iterator

import pytest

from otelprof.artifacts.keys import FileKey
from otelprof.pipeline import held_files
from otelprof.pipeline.held_files import HeldFiles
from tests.pipeline.scripted import Clock
from tests.processes.trees import open_descriptors


@pytest.fixture(autouse=True)
def _no_descriptor_is_left_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


def key(number: int) -> FileKey:
    return FileKey(1, number, 0, 0, 0)


def file(content: bytes) -> int:
    descriptor = os.memfd_create("held")
    os.pwrite(descriptor, content, 0)
    return descriptor


def content(descriptor: int) -> bytes:
    try:
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


def test_a_held_file_is_opened_any_number_of_times_until_its_time_is_over() -> None:
    clock = Clock()
    held = HeldFiles(clock)
    held.hold(key(1), file(b"held"))

    clock.advance(9.9)
    held.release()
    assert content(held.open(key(1), lambda: file(b"other"))) == b"held"
    assert content(held.open(key(1), lambda: file(b"other"))) == b"held"
    assert content(held.open(key(2), lambda: file(b"other"))) == b"other"

    clock.advance(0.2)
    held.release()
    assert content(held.open(key(1), lambda: file(b"other"))) == b"other"


def test_a_file_that_is_held_again_replaces_the_first() -> None:
    held = HeldFiles(Clock())
    held.hold(key(1), file(b"first"))
    held.hold(key(1), file(b"second"))

    assert content(held.open(key(1), lambda: file(b"other"))) == b"second"
    held.close()


def test_there_is_a_bound_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_files, "_MAX_FILES", 2)
    held = HeldFiles(Clock())
    for number in (1, 2, 3):
        held.hold(key(number), file(b"held"))

    assert [content(held.open(key(number), lambda: file(b"other"))) for number in (1, 2, 3)] == [
        b"other",
        b"held",
        b"held",
    ]
    held.close()
