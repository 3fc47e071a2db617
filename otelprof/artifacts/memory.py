"""Files in memory, and memory to and from files."""

import ctypes
import errno
import fcntl
import os
import weakref
from typing import Final

__all__ = ("MAPPED_FROM_BYTES", "create_memory_file", "map_file", "seal", "write_all")

MAPPED_FROM_BYTES: Final = 64 << 10
"""Less is cheaper as bytes: the kernel maps 64 KiB around whatever is touched first (``fault_around_bytes``)."""

_MFD_NOEXEC_SEAL: Final = 8
"""``linux/memfd.h``, Linux 6.3; where ``vm.memfd_noexec`` is 2 nothing else is allowed."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int),
    ctypes.c_ssize_t,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_PROT_READ: Final = 1
_MAP_SHARED: Final = 1
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


def create_memory_file(name: str) -> int:
    """Create an empty file in memory that can be sealed; return its descriptor, close-on-exec."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)


def seal(descriptor: int, *, size_only: bool = False) -> None:
    """Fix the size of a memory file for good, and unless ``size_only`` its content too.

    Raises OSError (EBUSY) when somebody still maps it for writing.
    """
    seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    if not size_only:
        seals |= fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of it at the file's position; raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def map_file(descriptor: int, size_bytes: int) -> memoryview:
    """Map the first bytes of one of our own files, read-only; it is unmapped when the last view of it is gone.

    The mmap module will not do: before Python 3.13 it keeps a descriptor open for each mapping.
    Raises OSError.
    """
    if not size_bytes:
        return memoryview(b"")
    address = _libc.mmap(None, size_bytes, _PROT_READ, _MAP_SHARED, descriptor, 0)
    if address == _MAP_FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    array = (ctypes.c_ubyte * size_bytes).from_address(address)
    weakref.finalize(array, _libc.munmap, address, size_bytes).atexit = False
    return memoryview(array).cast("B").toreadonly()
