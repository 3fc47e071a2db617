"""Output files that are either complete or not there."""

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from otelprof.errors import OutputError

__all__ = ("check_writable", "write_atomically")


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Have ``write`` fill a file that appears under ``path`` only when it is complete and on disk.

    A file that was there before stays until then, and stays untouched when anything fails; a new
    file gets the permissions that the umask leaves, a replaced one keeps its own. A symbolic link
    is followed. Raises OutputError when the file cannot be written; what ``write`` itself raises
    is passed on.
    """
    with _explaining(path):
        target = _target(path)
        temporary, stream = _open_beside(target)
        try:
            with stream:
                write(stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OutputError if ``write_atomically`` could not write ``path`` now; leaves nothing behind."""
    with _explaining(path):
        temporary, stream = _open_beside(_target(path))
        stream.close()
        temporary.unlink()


@contextmanager
def _explaining(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {os.fspath(path)}: {error.strerror or error}") from error


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError("it is a directory")
    if target.exists() and not target.is_file():
        # Renaming would replace the device or pipe itself.
        raise OSError("it exists and is not a regular file")
    return target


def _open_beside(target: Path) -> tuple[Path, BinaryIO]:
    """Open a new file in the target's folder, so that renaming it stays within one file system."""
    temporary = target.with_name(f".otelprof-{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
    return temporary, os.fdopen(descriptor, "wb")


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable; not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
