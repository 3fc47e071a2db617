import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from otelprof.errors import OutputError
from otelprof.formats.files import check_writable, write_atomically


def test_file_appears_complete(tmp_path: Path) -> None:
    target = tmp_path / "x.otlp"

    def write(stream: BinaryIO) -> None:
        stream.write(b"half")
        assert not target.exists()
        stream.write(b"whole")

    write_atomically(target, write)

    assert target.read_bytes() == b"halfwhole"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "x.otlp"
    target.write_bytes(b"old")

    def write(stream: BinaryIO) -> None:
        stream.write(b"new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, write)

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_an_output_error(tmp_path: Path) -> None:
    def write(stream: BinaryIO) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"^cannot write .*x\.otlp: No space left on device$"):
        write_atomically(tmp_path / "x.otlp", write)

    assert list(tmp_path.iterdir()) == []


def test_new_file_has_the_permissions_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "x", lambda stream: stream.write(b"1"))
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.touch(mode=0o600)

    write_atomically(target, lambda stream: stream.write(b"1"))

    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real/x")

    write_atomically(link, lambda stream: stream.write(b"1"))

    assert link.is_symlink()
    assert (tmp_path / "real" / "x").read_bytes() == b"1"


def test_longest_name_is_written(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 255)

    write_atomically(target, lambda stream: stream.write(b"1"))

    assert target.read_bytes() == b"1"


def test_writable_path_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")

    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/x", "No such file or directory"),
        (".", "it is a directory"),
        ("pipe", "it exists and is not a regular file"),
        ("file/x", "Not a directory"),
        ("x" * 256, "File name too long"),
        ("/proc/x.otlp", "No such file or directory"),
    ],
)
def test_bad_path_fails_before_anything_is_written(tmp_path: Path, path: str, reason: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()

    with pytest.raises(OutputError, match=rf"^cannot write .*: {reason}$"):
        check_writable(tmp_path / path)
    with pytest.raises(OutputError, match=rf": {reason}$"):
        write_atomically(tmp_path / path, lambda stream: stream.write(b"1"))
