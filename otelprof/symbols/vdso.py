"""The [vdso]: code of the kernel in every process, an ELF image that lies in no file.

There is one image per kernel and word size, so that of our own process serves for all.
"""

import os
from typing import Final

from otelprof.artifacts.keys import FileKey
from otelprof.roots import HostRoots
from otelprof.symbols.debugfiles import no_debug_file
from otelprof.symbols.symbolizer import BinaryFile

__all__ = ("VDSO_PATH", "read_vdso", "vdso_binary")

VDSO_PATH: Final = "[vdso]"
"""What /proc/<pid>/maps and the mapping call it."""

_MAX_IMAGE_BYTES: Final = 1 << 20
_MAX_MAPS_BYTES: Final = 1 << 20


def read_vdso(roots: HostRoots | None = None) -> bytes | None:
    """Return the image out of this process's own memory, None where there is none.

    ``roots`` is where ``proc/self/maps`` and ``proc/self/mem`` are: not the host's, but our own.
    """
    process = (roots or HostRoots()).proc / "self"
    try:
        with (process / "maps").open("rb") as maps:
            lines = maps.read(_MAX_MAPS_BYTES).splitlines()
        line = next(line for line in lines if line.endswith(VDSO_PATH.encode()))
        start, end = (int(address, 16) for address in line.split()[0].split(b"-"))
        if not 0 < end - start <= _MAX_IMAGE_BYTES:
            return None
        with (process / "mem").open("rb", buffering=0) as memory:
            image = os.pread(memory.fileno(), end - start, start)
    except (OSError, ValueError, StopIteration, OverflowError):
        return None
    return image if len(image) == end - start else None


def vdso_binary(image: bytes) -> BinaryFile:
    """Present the image as a binary file like any other; it is opened as a file in memory."""
    return BinaryFile(FileKey.synthetic(b"vdso", image), VDSO_PATH, lambda: _open_image(image), no_debug_file)


def _open_image(image: bytes) -> int:
    descriptor = os.memfd_create("otelprof-vdso", os.MFD_CLOEXEC)
    try:
        os.pwrite(descriptor, image, 0)
        # The worker must not get a descriptor that can be written to.
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(descriptor)
