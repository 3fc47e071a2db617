"""Copies that nobody can change."""

import hashlib
import os
from pathlib import Path

import pytest

from otelprof.artifacts.snapshot import Snapshot


def open_new(path: Path, data: bytes, flags: int = os.O_RDONLY) -> int:
    path.write_bytes(data)
    return os.open(path, flags)


def test_a_copy_is_what_was_hashed_and_sealed(tmp_path: Path) -> None:
    data = os.urandom((2 << 20) + 17)
    original = open_new(tmp_path / "file", data)
    snapshot = Snapshot([original], len(data))
    try:
        (copy,) = snapshot.files
        (tmp_path / "file").write_bytes(b"changed")
        assert os.pread(copy, len(data) + 1, 0) == data
        assert snapshot.size_bytes == len(data)
        for attempt in (lambda: os.pwrite(copy, b"x", 0), lambda: os.ftruncate(copy, 0)):
            with pytest.raises(PermissionError):
                attempt()
    finally:
        snapshot.close()
        os.close(original)


def test_the_hash_depends_on_content_order_and_bounds_only(tmp_path: Path) -> None:
    def content(*parts: bytes) -> bytes | None:
        files = [open_new(tmp_path / f"{number}", part) for number, part in enumerate(parts)]
        snapshot = Snapshot(files, 100)
        snapshot.close()
        for file in files:
            os.close(file)
        return snapshot.content

    contents = [content(*parts) for parts in ((b"ab",), (b"a", b"b"), (b"b", b"a"), (b"", b"ab"), (b"ab", b""))]
    assert len({*contents}) == 5
    assert content(b"ab") == contents[0] == hashlib.sha256(hashlib.sha256(b"ab").digest()).digest()


def test_larger_files_stay_where_they_are(tmp_path: Path) -> None:
    original = open_new(tmp_path / "file", bytes(11))
    snapshot = Snapshot([original], 10)
    snapshot.close()

    assert snapshot.content is None
    assert snapshot.files == (original,)
    os.close(original)


def test_a_file_that_hides_its_size_is_copied_to_the_limit_only() -> None:
    original = os.open("/proc/self/maps", os.O_RDONLY)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for limit, copied in ((1 << 20, True), (10, False)):
        snapshot = Snapshot([original], limit)
        assert (snapshot.content is not None) == copied
        assert (snapshot.files != (original,)) == copied
        snapshot.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.close(original)


def test_a_file_that_is_too_large_must_not_be_writable(tmp_path: Path) -> None:
    original = open_new(tmp_path / "file", bytes(11), os.O_RDWR)
    with pytest.raises(OSError, match="open for writing"):
        Snapshot([original], 10)
    os.close(original)
