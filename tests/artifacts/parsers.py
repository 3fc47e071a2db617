"""Extract and check functions for tests: honest ones, broken ones, hostile ones. Run in the real worker."""

import ctypes
import mmap
import os
import signal
import socket
import sys
from collections.abc import Sequence

from otelprof.artifacts.kinds import ArtifactKind
from otelprof.errors import BadArtifact, BadElf


def kind(name: str, extract: str | None = None, check: str = "check_any") -> ArtifactKind:
    return ArtifactKind(name, 1, f"{__name__}:{extract or name}", f"{__name__}:{check}")


def check_any(data: memoryview) -> None:
    assert data.readonly


def check_upper(data: memoryview) -> None:
    if bytes(data) != bytes(data).upper():
        raise BadArtifact("not upper case")


def check_clumsily(data: memoryview) -> None:
    raise IndexError("index out of range")


def read_all(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def upper(files: Sequence[int]) -> bytes:
    return b"+".join(read_all(file).upper() for file in files)


def content(files: Sequence[int]) -> bytes:
    return b"".join(map(read_all, files))


def refuse(files: Sequence[int]) -> bytes:
    raise BadElf("not an\nELF file \x1b[31m")


def divide(files: Sequence[int]) -> bytes:
    return b"%d" % (1 // 0)


def nothing(files: Sequence[int]) -> bytes:
    return None  # type: ignore[return-value]


def exhaust_memory(files: Sequence[int]) -> bytes:
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))


def recurse(files: Sequence[int]) -> bytes:
    return recurse(files)


def flood(files: Sequence[int]) -> bytes:
    return bytes(int(read_all(files[0])))


def write_forever(files: Sequence[int]) -> bytes:
    for descriptor in range(3, 16):
        for at in range(0, 1 << 40, 1 << 20):
            try:
                os.pwrite(descriptor, bytes(1 << 20), at)
            except OSError:
                break
    return b"tried"


def claim_too_much(files: Sequence[int]) -> bytes:
    """Leave a length in the output file that no honest parser writes, and end as if all were well."""
    for descriptor in range(3, 16):
        try:
            os.pwrite(descriptor, b"\xff" * 8, 0)
        except OSError:
            continue
    os._exit(0)


def spin(files: Sequence[int]) -> bytes:
    while True:
        pass


def segfault(files: Sequence[int]) -> bytes:
    ctypes.string_at(8)
    return b""


def list_modules(files: Sequence[int]) -> bytes:
    return "\n".join(sorted(sys.modules)).encode()


def list_descriptors(files: Sequence[int]) -> bytes:
    found = []
    for descriptor in range(256):
        try:
            os.lseek(descriptor, 0, os.SEEK_CUR)
        except OSError as error:
            if error.strerror != "Bad file descriptor":
                found.append(f"{descriptor} unseekable")
        else:
            found.append(str(descriptor))
    return "\n".join(found).encode()


def open_stream(files: Sequence[int]) -> bytes:
    """What parsing libraries do: wrap the descriptor in a buffered stream."""
    with open(files[0], "rb", closefd=False) as stream:
        stream.seek(1)
        return stream.read(2)


def open_file(files: Sequence[int]) -> bytes:
    return bytes([os.open("/dev/null", os.O_RDONLY)])


def read_proc(files: Sequence[int]) -> bytes:
    with open("/proc/self/maps", "rb") as stream:  # noqa: PTH123
        return stream.read()


def stat_path(files: Sequence[int]) -> bytes:
    return b"%d" % os.stat("/").st_ino  # noqa: PTH116


def make_socket(files: Sequence[int]) -> bytes:
    return bytes([socket.socket().fileno()])


def fork(files: Sequence[int]) -> bytes:
    return b"%d" % os.fork()


def execute(files: Sequence[int]) -> bytes:
    os.execv("/bin/true", ["true"])


def trace(files: Sequence[int]) -> bytes:
    return b"%d" % ctypes.CDLL(None).ptrace(0, 0, 0, 0)


def kill_parent(files: Sequence[int]) -> bytes:
    os.kill(os.getppid(), signal.SIGKILL)
    return b""


def map_code(files: Sequence[int]) -> bytes:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    return b""


def chmod_input(files: Sequence[int]) -> bytes:
    os.fchmod(files[0], 0o777)
    return b""
