"""Opening files of other processes: what they have mapped, and what lies in their root.

All paths and files here are chosen by whoever runs on the host. Only regular files are ever opened: a file is
first taken hold of without opening it (``O_PATH``), looked at, and opened through that hold, so that it cannot be
swapped in between and no device or FIFO is touched. Opening a file on a network or FUSE file system may still
wait for its server.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from otelprof.errors import BadInput, FileUnavailable, MissingPrivilege, OtelprofError
from otelprof.processes.mappings import ProcessMapping, read_mappings
from otelprof.processes.procfs import ProcessDirectory
from otelprof.roots import HostRoots

__all__ = ("open_in_root", "open_mapping", "stat_mapping")

_HOLD = os.O_PATH | os.O_CLOEXEC

_SYS_OPENAT2 = 437
"""The same on all architectures, since Linux 5.6 (asm-generic/unistd.h)."""

# linux/openat2.h
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10

_MAX_STEPS = 512
"""Parts of a path with its links resolved, in our own walk; ends circles of links."""


def stat_mapping(roots: HostRoots, pid: int, mapping: ProcessMapping) -> os.stat_result:
    """Return the stat(2) of the file that a process has mapped; raises as :func:`open_mapping` does."""
    with _closing(_hold_mapped(roots, pid, mapping)) as hold:
        return os.fstat(hold)


def open_mapping(roots: HostRoots, pid: int, mapping: ProcessMapping) -> int:
    """Open the file that a process has mapped and return a descriptor for reading.

    ``/proc/<pid>/map_files`` leads to the very file, deleted, replaced or in another mount namespace; it
    needs CAP_CHECKPOINT_RESTORE (Linux 5.9, commit 12886f8ab10c) or CAP_SYS_ADMIN. Without them the path
    is tried, in the process's root and in the host's, and the file taken when it has the mapping's inode.

    Raises ProcessGone; MissingPrivilege; FileUnavailable when the mapping or the file is not there any more or
    is not what was mapped; BadInput when it is not a regular file.
    """
    with _closing(_hold_mapped(roots, pid, mapping)) as hold:
        return _open_regular(hold, mapping.path)


def open_in_root(roots: HostRoots, pid: int, path: str) -> int:
    """Open a file in the root directory of a process and return a descriptor for reading.

    Symbolic links are followed inside that root and never lead out of it.

    Raises ProcessGone; MissingPrivilege; FileUnavailable, mostly because there is no such file; BadInput when it
    is not a regular file.
    """
    with ProcessDirectory(roots, pid) as directory:
        root = directory.open_path("root")
    with _closing(root):
        try:
            hold = _hold_in_root(root, path)
        except OSError as error:
            raise _explain(error, f"{path!r} in the root of process {pid}") from error
    with _closing(hold):
        return _open_regular(hold, path)


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _hold_mapped(roots: HostRoots, pid: int, mapping: ProcessMapping) -> int:
    if not mapping.is_file:
        raise FileUnavailable(f"no file is mapped at {mapping.start:#x} of process {pid}")
    try:
        hold = os.open(f"{roots.proc}/{pid}/map_files/{mapping.start:x}-{mapping.end:x}", _HOLD)
    except OSError as error:
        return _hold_by_path(roots, pid, mapping, error)
    # Where the layers of a file system number their inodes apart, stat and maps disagree about one file.
    if os.fstat(hold).st_ino == mapping.inode or _is_still_mapped(roots, pid, mapping):
        return hold
    os.close(hold)
    raise FileUnavailable(f"another file than {mapping.path!r} is now mapped at {mapping.start:#x} of process {pid}")


def _is_still_mapped(roots: HostRoots, pid: int, mapping: ProcessMapping) -> bool:
    with suppress(OtelprofError):
        return mapping in read_mappings(roots, pid).entries
    return False


def _hold_by_path(roots: HostRoots, pid: int, mapping: ProcessMapping, refusal: OSError) -> int:
    with (
        ProcessDirectory(roots, pid) as directory,
        suppress(OSError, OtelprofError),
        _closing(directory.open_path("root")) as root,
    ):
        return _hold_same_inode(root, mapping)
    # A process that changed its root (chroot(2)) has paths in maps that start above it.
    with suppress(OSError), _closing(os.open(roots.root, _HOLD | os.O_DIRECTORY)) as root:
        return _hold_same_inode(root, mapping)
    raise _explain(refusal, f"{mapping.path!r}, mapped by process {pid},") from refusal


def _hold_same_inode(root: int, mapping: ProcessMapping) -> int:
    hold = _hold_in_root(root, mapping.path)
    if os.fstat(hold).st_ino == mapping.inode:
        return hold
    os.close(hold)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _open_regular(hold: int, path: str) -> int:
    if not stat.S_ISREG(os.fstat(hold).st_mode):
        raise BadInput(f"{path!r} is not a regular file")
    try:
        # O_NONBLOCK: the owner may hold a lease, which an open would wait for.
        return os.open(f"/proc/self/fd/{hold}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise _explain(error, repr(path)) from error


def _explain(error: OSError, what: str) -> OtelprofError:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return MissingPrivilege(
            f"{what} cannot be opened ({error.strerror}): grant CAP_CHECKPOINT_RESTORE, CAP_SYS_PTRACE and "
            "CAP_DAC_READ_SEARCH or run as root"
        )
    return FileUnavailable(f"{what} cannot be opened: {error.strerror}")


def _hold_in_root(root: int, path: str) -> int:
    """Resolve a path below a folder as if that were the root; raises OSError."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:
        name = b"\0"
    if b"\0" in name:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    try:
        return _openat2(root, name)
    except OSError as error:
        # EPERM also comes from seccomp filters that do not know the call, EAGAIN when a folder on the way was moved.
        if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EAGAIN}:
            raise
    return _walk(root, name)


def _openat2(root: int, name: bytes) -> int:
    import ctypes

    how = struct.pack("=QQQ", _HOLD, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    descriptor: int = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(root), name, how, ctypes.c_size_t(len(how))
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return descriptor


def _walk(root: int, name: bytes) -> int:
    """Do what openat2 does, one part of the path after the other."""
    holds = [os.open(".", _HOLD, dir_fd=root)]
    pending = name.split(b"/")[::-1]
    try:
        for _ in range(_MAX_STEPS):
            if not pending:
                return holds.pop()
            part = pending.pop()
            if part == b"..":
                _drop(holds, keep=max(1, len(holds) - 1))
            elif part not in {b"", b"."}:
                holds.append(os.open(part, _HOLD | os.O_NOFOLLOW, dir_fd=holds[-1]))
                if stat.S_ISLNK(os.fstat(holds[-1]).st_mode):
                    target = os.readlink(b"", dir_fd=holds[-1])
                    pending += target.split(b"/")[::-1]
                    _drop(holds, keep=1 if target.startswith(b"/") else len(holds) - 1)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    finally:
        _drop(holds, keep=0)


def _drop(holds: list[int], keep: int) -> None:
    while len(holds) > keep:
        os.close(holds.pop())
