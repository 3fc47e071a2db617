"""The store: states, sharing by content, what it refuses, two stores on one directory."""

import mmap
import os
import select
import threading
import time
from pathlib import Path

import pytest

from otelprof.artifacts import builder as builder_module
from otelprof.artifacts.keys import FileKey
from otelprof.artifacts.limits import Limits
from otelprof.artifacts.snapshot import Snapshot
from otelprof.artifacts.store import MAX_PENDING, ArtifactStore, State
from tests.artifacts import parsers
from tests.artifacts.conftest import Open, key_of, until, write_old

UPPER = parsers.kind("upper")
CONTENT = parsers.kind("content")


@pytest.fixture(params=["directory", "memory"])
def cache_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "cache" if request.param == "directory" else None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_old(tmp_path / "file", b"content")


def test_states_from_unknown_to_ready(cache_dir: Path | None, file: Path, open_workshop: Open) -> None:
    workshop = open_workshop(UPPER, cache_dir=cache_dir)
    store, key = workshop.store, key_of(file)
    assert store.state(UPPER, key) is State.UNKNOWN
    assert store.get(UPPER, key) is None

    workshop.request(UPPER, file)
    assert store.state(UPPER, key) is State.PENDING
    assert store.get(UPPER, key) is None
    assert store.pending() == 1

    assert select.select([store.fileno()], [], [], 60)[0]
    store.poll()
    assert store.state(UPPER, key) is State.READY
    assert store.pending() == 0
    assert not select.select([store.fileno()], [], [], 0)[0]
    data = store.get(UPPER, key)
    assert data is not None
    assert data.readonly
    assert bytes(data) == b"CONTENT"


@pytest.mark.parametrize("size", [0, 1, 8, (64 << 10) - 1, 64 << 10, 3 << 20])
def test_artifacts_of_every_size_stay_valid_after_close(
    size: int, cache_dir: Path | None, tmp_path: Path, open_workshop: Open
) -> None:
    file = write_old(tmp_path / "file", os.urandom(size))
    workshop = open_workshop(CONTENT, cache_dir=cache_dir)
    assert workshop.make(CONTENT, file) == file.read_bytes()

    data = workshop.store.get(CONTENT, key_of(file))
    assert data is not None
    workshop.store.close()
    assert bytes(data) == file.read_bytes()
    if size % 8 == 0:
        assert len(data.cast("Q")) == size // 8


def test_the_next_run_needs_neither_worker_nor_hash(
    tmp_path: Path, file: Path, open_workshop: Open, settled: None
) -> None:
    open_workshop(UPPER, cache_dir=tmp_path / "cache").make(UPPER, file)

    later = open_workshop(UPPER, cache_dir=tmp_path / "cache").store
    assert later.state(UPPER, key_of(file)) is State.READY
    assert bytes(later.get(UPPER, key_of(file)) or b"") == b"CONTENT"
    assert (later.counters()["hits"], later.counters()["worker_starts"]) == (1, 0)


def test_the_key_of_a_young_file_is_not_kept(tmp_path: Path, file: Path, open_workshop: Open) -> None:
    # It may be written again within the same tick of the clock.
    open_workshop(UPPER, cache_dir=tmp_path / "cache").make(UPPER, file)

    later = open_workshop(UPPER, cache_dir=tmp_path / "cache")
    assert later.store.state(UPPER, key_of(file)) is State.UNKNOWN
    assert later.make(UPPER, file) == b"CONTENT"
    assert (later.store.counters()["shared"], later.store.counters()["worker_starts"]) == (1, 0)


def test_equal_files_share_one_artifact(
    cache_dir: Path | None, tmp_path: Path, file: Path, open_workshop: Open
) -> None:
    workshop = open_workshop(UPPER, cache_dir=cache_dir)
    copy = write_old(tmp_path / "copy", file.read_bytes())
    workshop.make(UPPER, file)
    workshop.make(UPPER, copy)

    counters = workshop.store.counters()
    assert (counters["built"], counters["shared"]) == (1, 1)


def test_a_forged_build_id_changes_nothing_elsewhere(
    cache_dir: Path | None, tmp_path: Path, open_workshop: Open
) -> None:
    build_id = b"GNU\0" + bytes(range(20))
    libc = write_old(tmp_path / "libc.so.6", build_id + b"malloc")
    forged = write_old(tmp_path / "forged", build_id + b"PWNED!")
    workshop = open_workshop(CONTENT, cache_dir=cache_dir)

    assert workshop.make(CONTENT, forged) == build_id + b"PWNED!"
    assert workshop.make(CONTENT, libc) == build_id + b"malloc"


def test_a_file_that_changes_after_it_was_hashed_is_parsed_as_it_was(
    tmp_path: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch, settled: None
) -> None:
    """Somebody who copies libc must not get his own names into the artifact of libc's content."""
    libc = write_old(tmp_path / "libc", b"malloc")
    copy = tmp_path / "copy"
    copy.write_bytes(b"malloc")
    with copy.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as shared:

        class SlowSnapshot(Snapshot):
            def __init__(self, originals: tuple[int, ...], limit_bytes: int) -> None:
                super().__init__(originals, limit_bytes)
                # Through a mapping whose page is dirty already: no time stamp moves.
                shared[:] = b"forged"

        shared[:1] = b"m"
        workshop = open_workshop(CONTENT, cache_dir=tmp_path / "cache")
        with monkeypatch.context() as slow:
            slow.setattr(builder_module, "Snapshot", SlowSnapshot)
            assert workshop.make(CONTENT, copy) == b"malloc"
        assert copy.read_bytes() == b"forged"

    assert workshop.make(CONTENT, libc) == b"malloc"


def test_large_files_are_parsed_in_place_and_not_shared(
    tmp_path: Path, file: Path, open_workshop: Open, settled: None
) -> None:
    copy = write_old(tmp_path / "copy", file.read_bytes())
    limits = Limits(shared_bytes=3)
    workshop = open_workshop(UPPER, cache_dir=tmp_path / "cache", limits=limits)
    assert (workshop.make(UPPER, file), workshop.make(UPPER, copy)) == (b"CONTENT", b"CONTENT")
    assert workshop.store.counters()["built"] == 2

    later = open_workshop(UPPER, cache_dir=tmp_path / "cache", limits=limits)
    assert later.store.state(UPPER, key_of(file)) is State.READY


def test_a_large_young_file_is_not_kept_at_all(tmp_path: Path, file: Path, open_workshop: Open) -> None:
    limits = Limits(shared_bytes=3)
    assert open_workshop(UPPER, cache_dir=tmp_path / "cache", limits=limits).make(UPPER, file) == b"CONTENT"
    assert not list((tmp_path / "cache/artifacts").iterdir())


def test_two_files_make_one_artifact_and_order_matters(tmp_path: Path, open_workshop: Open) -> None:
    first, second = write_old(tmp_path / "first", b"ab"), write_old(tmp_path / "second", b"c")
    store = open_workshop(UPPER, cache_dir=tmp_path / "cache").store
    for paths in ((first, second), (second, first)):
        key = key_of(paths[0]) + key_of(paths[1])
        store.request(UPPER, key, [os.open(path, os.O_RDONLY) for path in paths], label="both")
        assert store.wait(time.monotonic() + 60)
        assert bytes(store.get(UPPER, key) or b"") == b"+".join(path.read_bytes().upper() for path in paths)


def test_a_file_of_procfs_is_read_to_its_end(open_workshop: Open) -> None:
    key = (FileKey.synthetic(b"kallsyms", b"boot"),)
    store = open_workshop(parsers.kind("content")).store
    store.request(CONTENT, key, [os.open("/proc/self/status", os.O_RDONLY)], label="procfs")
    assert store.wait(time.monotonic() + 60)
    assert bytes(store.get(CONTENT, key) or b"").startswith(b"Name:")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left(tmp_path: Path, file: Path) -> None:
    before = descriptors()
    big = write_old(tmp_path / "big", bytes(1 << 20))
    with ArtifactStore(tmp_path / "cache", kinds=[UPPER, CONTENT, parsers.kind("refuse")]) as store:
        for kind in (UPPER, CONTENT, parsers.kind("refuse")):
            for path in (file, big, file):
                store.request(kind, key_of(path), [os.open(path, os.O_RDONLY)], label="file")
        assert store.wait(time.monotonic() + 60)
        views = [store.get(kind, key_of(big)) for kind in (UPPER, CONTENT)]
    assert all(views)
    assert descriptors() == before


def test_a_file_that_is_not_the_one_looked_at_is_refused(tmp_path: Path, file: Path, open_workshop: Open) -> None:
    """Or whoever swaps a file between stat and open could put its names under another's key."""
    other = write_old(tmp_path / "other", b"other")
    store = open_workshop(UPPER).store
    store.request(UPPER, key_of(file), [os.open(other, os.O_RDONLY)], label="file")

    assert store.state(UPPER, key_of(file)) is State.FAILED
    assert store.counters()["failed_refused"] == 1


def test_only_regular_files_are_read(tmp_path: Path, open_workshop: Open) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    store = open_workshop(UPPER).store
    store.request(UPPER, key_of(pipe), [os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)], label="pipe")
    assert store.state(UPPER, key_of(pipe)) is State.FAILED


def test_a_descriptor_that_cannot_be_read_is_refused(file: Path, open_workshop: Open) -> None:
    store = open_workshop(UPPER).store
    store.request(UPPER, key_of(file), [os.open(file, os.O_PATH)], label="file")
    assert store.wait(time.monotonic() + 60)
    assert store.counters()["failed_refused"] == 1


def test_the_parser_never_gets_a_file_that_can_be_written(file: Path, open_workshop: Open) -> None:
    store = open_workshop(UPPER, limits=Limits(shared_bytes=3)).store
    store.request(UPPER, key_of(file), [os.open(file, os.O_RDWR)], label="file")
    assert store.wait(time.monotonic() + 60)
    assert store.counters()["failed_refused"] == 1


def test_misuse_is_an_error_and_closes_the_files(file: Path, open_workshop: Open) -> None:
    store = open_workshop(UPPER).store
    before = descriptors()
    with pytest.raises(ValueError, match="one key for each file"):
        store.request(UPPER, key_of(file) * 2, [os.open(file, os.O_RDONLY)], label="file")
    with pytest.raises(ValueError, match="one to three"):
        store.request(UPPER, (), [], label="nothing")
    with pytest.raises(ValueError, match="known kind"):
        store.request(CONTENT, key_of(file), [os.open(file, os.O_RDONLY)], label="file")
    assert descriptors() == before


def test_requests_beyond_the_limit_may_be_made_again(
    file: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otelprof.artifacts.store.MAX_PENDING", 2)
    assert MAX_PENDING > 2
    store = open_workshop(UPPER).store
    keys = [(FileKey.synthetic(b"%d" % number),) for number in range(3)]
    for key in keys:
        store.request(UPPER, key, [os.open(file, os.O_RDONLY)], label="file")
    assert store.state(UPPER, keys[2]) is State.UNKNOWN
    assert store.counters()["deferred"] == 1

    assert store.wait(time.monotonic() + 60)
    store.request(UPPER, keys[2], [os.open(file, os.O_RDONLY)], label="file")
    assert store.wait(time.monotonic() + 60)
    assert store.state(UPPER, keys[2]) is State.READY


def test_what_was_not_asked_for_longest_is_forgotten(
    tmp_path: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otelprof.artifacts.store.MAX_KNOWN", 2)
    workshop = open_workshop(UPPER)
    files = [write_old(tmp_path / name, name.encode()) for name in ("a", "b", "c")]
    for file in files:
        workshop.make(UPPER, file)

    assert len(workshop.store._known) == 2
    assert workshop.store.state(UPPER, key_of(files[2])) is State.READY


def test_waiting_ends_at_the_deadline(file: Path, open_workshop: Open) -> None:
    kind = parsers.kind("spin")
    workshop = open_workshop(kind)
    workshop.request(kind, file)
    started = time.monotonic()

    assert workshop.store.wait(started + 0.1) is False
    assert 0.1 <= time.monotonic() - started < 5


def test_a_file_that_cannot_be_read_to_its_end_costs_itself(
    tmp_path: Path, file: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is gone: whoever reads the file hangs."""
    reading, server_is_back = threading.Event(), threading.Event()
    hanging = write_old(tmp_path / "hanging", b"hanging")

    class Hanging(Snapshot):
        def __init__(self, originals: tuple[int, ...], limit_bytes: int) -> None:
            if os.fstat(originals[0]).st_ino == hanging.stat().st_ino:
                reading.set()
                server_is_back.wait()
            super().__init__(originals, limit_bytes)

    monkeypatch.setattr(builder_module, "Snapshot", Hanging)
    workshop = open_workshop(UPPER, limits=Limits(read_s=0.2))
    workshop.request(UPPER, hanging)
    assert reading.wait(60)
    assert workshop.make(UPPER, file) == b"CONTENT"
    assert workshop.failures() == {"failed_hang": 1}
    assert workshop.store.counters()["stuck"] == 1

    server_is_back.set()
    until(lambda: workshop.store._builders[0].join(0))
    workshop.store.poll()
    assert workshop.store.state(UPPER, key_of(hanging)) is State.FAILED
    assert workshop.store.pending() == 0


def test_two_stores_share_a_directory(tmp_path: Path, open_workshop: Open, settled: None) -> None:
    files = [write_old(tmp_path / f"file{number}", b"n%d" % number) for number in range(30)]
    workshops = [open_workshop(UPPER, cache_dir=tmp_path / "cache") for _ in range(2)]
    for file in files:
        for workshop in workshops:
            workshop.request(UPPER, file)
    for workshop in workshops:
        assert workshop.store.wait(time.monotonic() + 60)
        for file in files:
            assert bytes(workshop.store.get(UPPER, key_of(file)) or b"") == file.read_bytes().upper()

    assert len(list((tmp_path / "cache/artifacts").iterdir())) == 30
    assert len(list((tmp_path / "cache/keys").iterdir())) == 30


def test_a_bug_in_the_thread_costs_one_request(
    file: Path, tmp_path: Path, open_workshop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = open_workshop(UPPER)
    with monkeypatch.context() as broken:
        broken.setattr(builder_module, "Snapshot", None)
        assert workshop.make(UPPER, file) is None
    assert workshop.failures() == {"failed_crash": 1}
    assert workshop.make(UPPER, write_old(tmp_path / "other", b"other")) == b"OTHER"
