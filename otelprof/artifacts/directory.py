"""The artifact cache on disk: found again by the next run, shared by all runs of one user."""

import logging
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from otelprof.artifacts.artifact import pack_header, read_artifact
from otelprof.artifacts.cache import MAX_KEYS
from otelprof.artifacts.keys import FileKey, key_name
from otelprof.artifacts.kinds import ArtifactKind
from otelprof.artifacts.memory import write_all
from otelprof.errors import BadArtifact, EnvironmentFailure

__all__ = ("DirectoryCache",)

_log = logging.getLogger(__name__)

_KEPT_SHARE: Final = 0.9
"""Of the limit, after the oldest were thrown out."""
_WRITTEN_SHARE: Final = 1 / 16
"""Of the limit, written between two looks at the whole directory; other processes write too."""
_USE_NOTED_EVERY_S: Final = 3600
_STALE_S: Final = 3600
"""Age at which a temporary file has no writer any more."""
_TEMPORARY: Final = ".tmp"


class _Entry(NamedTuple):
    used_at: float
    size_bytes: int
    name: str


class DirectoryCache:
    """Artifacts in a directory of our own, shared by every otelprof of this user.

    ``artifacts/<content>.<kind>.<version>`` are the artifacts, ``keys/<key>`` are symbolic links whose text is
    a content hash. Every file appears whole, by rename; whatever vanishes or is damaged is made again.
    Raises EnvironmentFailure when the directory cannot be used, or others could write into it.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._found_bytes: int | None = None
        self._written_bytes = 0
        self._warned = False
        # Two listings of one open directory would share its position.
        self._listing = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with ExitStack() as opened:
                top = _open_own_directory(directory, None, opened)
                self._artifacts = _make_own_directory("artifacts", top, opened)
                self._keys = _make_own_directory("keys", top, opened)
                opened.pop_all()
            os.close(top)
        except OSError as error:
            raise EnvironmentFailure(
                f"the artifact cache {directory} cannot be used ({error.strerror}): choose another with --cache-dir"
            ) from error

    def close(self) -> None:
        """Close the directories."""
        os.close(self._artifacts)
        os.close(self._keys)

    def content_of(self, key: Sequence[FileKey]) -> bytes | None:
        """Read the link."""
        try:
            return bytes.fromhex(os.readlink(key_name(key), dir_fd=self._keys))
        except (OSError, ValueError):
            return None

    def remember(self, key: Sequence[FileKey], content: bytes) -> None:
        """Make or replace the link."""
        if self.content_of(key) == content:
            return
        try:
            with _temporary(self._keys) as name:
                os.symlink(content.hex(), name, dir_fd=self._keys)
                os.rename(name, key_name(key), src_dir_fd=self._keys, dst_dir_fd=self._keys)
        except OSError as error:
            self._warn_once(error)

    def load(self, kind: ArtifactKind, content: bytes) -> memoryview | None:
        """Verify and map the file; one that is damaged is removed."""
        name = _artifact_name(kind, content)
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._artifacts)
        except OSError:
            return None
        try:
            payload = read_artifact(descriptor, kind, content)
            if time.time() - os.fstat(descriptor).st_mtime > _USE_NOTED_EVERY_S:
                os.utime(descriptor)
        except BadArtifact as bad:
            _log.warning("%s: %s; it will be made again", name, bad)
            with suppress(OSError):
                os.unlink(name, dir_fd=self._artifacts)
            return None
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return payload

    def publish(self, kind: ArtifactKind, content: bytes, payload: memoryview) -> memoryview:
        """Write the file; where that is impossible (full, read-only) the payload stays in memory."""
        try:
            with _temporary(self._artifacts) as name:
                descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._artifacts)
                try:
                    write_all(descriptor, pack_header(kind, content, payload))
                    write_all(descriptor, payload)
                    stored = read_artifact(descriptor, kind, content)
                    self._written_bytes += _occupied_bytes(os.fstat(descriptor))
                finally:
                    os.close(descriptor)
                final_name = _artifact_name(kind, content)
                os.rename(name, final_name, src_dir_fd=self._artifacts, dst_dir_fd=self._artifacts)
            if self._found_bytes is None or self._written_bytes > self._max_bytes * _WRITTEN_SHARE:
                self.tidy()
        except OSError as error:
            self._warn_once(error)
            return payload
        return stored

    def size_bytes(self) -> int:
        """Return what was there at the last look and what was written since."""
        if self._found_bytes is None:
            self.tidy()
        return (self._found_bytes or 0) + self._written_bytes

    def tidy(self) -> None:
        """Throw out what was not used for longest until the rest is within the limit, and links to nothing."""
        with self._listing:
            self._tidy()

    def _tidy(self) -> None:
        now = time.time()
        entries: list[_Entry] = []
        with os.scandir(self._artifacts) as listing:
            for item in listing:
                with suppress(FileNotFoundError):
                    found = item.stat(follow_symlinks=False)
                    if item.name.endswith(_TEMPORARY) and now - found.st_mtime > _STALE_S:
                        os.unlink(item.name, dir_fd=self._artifacts)
                    else:
                        entries.append(_Entry(found.st_mtime, _occupied_bytes(found), item.name))
        total = sum(entry.size_bytes for entry in entries)
        if total > self._max_bytes:
            entries.sort(reverse=True)
            while entries and total > self._max_bytes * _KEPT_SHARE:
                oldest = entries.pop()
                with suppress(FileNotFoundError):
                    os.unlink(oldest.name, dir_fd=self._artifacts)
                total -= oldest.size_bytes
        self._found_bytes = total
        self._written_bytes = 0
        self._tidy_links({entry.name.partition(".")[0] for entry in entries})

    def _tidy_links(self, contents: set[str]) -> None:
        with os.scandir(self._keys) as listing:
            names = [item.name for item in listing]
        surplus = len(names) - MAX_KEYS
        for at, name in enumerate(names):
            with suppress(OSError):
                if at < surplus or os.readlink(name, dir_fd=self._keys) not in contents:
                    os.unlink(name, dir_fd=self._keys)

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("the artifact cache cannot be written (%s): artifacts stay in memory", error.strerror)


def _artifact_name(kind: ArtifactKind, content: bytes) -> str:
    return f"{content.hex()}.{kind.name}.{kind.version}"


def _occupied_bytes(found: os.stat_result) -> int:
    """Blocks, not bytes: a directory full of tiny artifacts is not small."""
    return found.st_blocks * 512


def _make_own_directory(name: str, parent: int, opened: ExitStack) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    return _open_own_directory(name, parent, opened)


def _open_own_directory(path: Path | str, parent: int | None, opened: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    opened.callback(os.close, descriptor)
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EnvironmentFailure(
            f"the artifact cache {path} belongs to another user or others may write into it: choose another with "
            "--cache-dir, or give it to this user with mode 0700"
        )
    return descriptor


@contextmanager
def _temporary(directory: int) -> Iterator[str]:
    """Yield an unused name; whatever still has it at the end is removed."""
    name = f"{os.urandom(8).hex()}{_TEMPORARY}"
    try:
        yield name
    finally:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
