"""The parser's system call filter: compute, read open files, write the output file, end. All else kills it.

Sources: ``linux/seccomp.h``, ``linux/filter.h``, ``linux/audit.h``; numbers from ``asm/unistd_64.h`` (x86-64)
and ``asm-generic/unistd.h`` (aarch64). They are part of the kernel's ABI and never change.
"""

import ctypes
import errno
import os
import struct
from typing import Final, NamedTuple

__all__ = ("filter_available", "filter_program", "install_filter")

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

_KILL: Final = 0x8000_0000
"""SECCOMP_RET_KILL_PROCESS; before Linux 4.14 any unknown action kills the (only) thread."""
_ALLOW: Final = 0x7FFF_0000
_NOT_A_TERMINAL: Final = 0x0005_0000 | errno.ENOTTY
"""SECCOMP_RET_ERRNO: opening a stream on a descriptor asks whether it is a terminal."""

_LOAD: Final = 0x20
"""BPF_LD | BPF_W | BPF_ABS"""
_JUMP_EQUAL: Final = 0x15
_JUMP_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06

_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_THIRD_ARGUMENT_AT: Final = 16 + 2 * 8
_FOURTH_ARGUMENT_AT: Final = 16 + 3 * 8
"""Offsets in ``struct seccomp_data``; both machines are little-endian, so these are the low halves."""

_PROT_EXEC: Final = 4
_AT_EMPTY_PATH: Final = 0x1000


class Machine(NamedTuple):
    """How one architecture numbers its system calls."""

    audit_arch: int
    calls: dict[str, int]


_MACHINES: Final = {
    "x86_64": Machine(
        0xC000_003E,
        {
            "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
            "brk": 12, "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "pwrite64": 18,
            "mremap": 25, "madvise": 28, "exit": 60, "gettimeofday": 96, "sigaltstack": 131, "futex": 202,
            "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231, "newfstatat": 262, "preadv": 295,
            "getrandom": 318,
        },
    ),
    "aarch64": Machine(
        0xC000_00B7,
        {
            "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226,
            "munmap": 215, "brk": 214, "rt_sigprocmask": 135, "rt_sigreturn": 139, "ioctl": 29, "pread64": 67,
            "pwrite64": 68, "mremap": 216, "madvise": 233, "exit": 93, "gettimeofday": 169, "sigaltstack": 132,
            "futex": 98, "restart_syscall": 128, "clock_gettime": 113, "exit_group": 94, "newfstatat": 79,
            "preadv": 69, "getrandom": 278,
        },
    ),
}  # fmt: skip

_WITHOUT_NEW_CODE: Final = ("mmap", "mprotect")
"""Allowed unless they make memory executable."""
_BY_DESCRIPTOR_ONLY: Final = "newfstatat"
"""How the C library does ``fstat``; with a path it would tell which files exist."""
_ANSWERED: Final = "ioctl"


def filter_program(machine: str) -> bytes | None:
    """Assemble the filter for ``os.uname().machine``: ``struct sock_filter`` array, None where none is known."""
    if machine not in _MACHINES:
        return None
    audit_arch, calls = _MACHINES[machine]
    special = {*_WITHOUT_NEW_CODE, _BY_DESCRIPTOR_ONLY, _ANSWERED}
    plain = sorted(number for name, number in calls.items() if name not in special)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, audit_arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for name in _WITHOUT_NEW_CODE:
        program += [
            (_JUMP_EQUAL, 0, 4, calls[name]),
            (_LOAD, 0, 0, _THIRD_ARGUMENT_AT),
            (_JUMP_ANY_BIT, 0, 1, _PROT_EXEC),
            (_RETURN, 0, 0, _KILL),
            (_RETURN, 0, 0, _ALLOW),
        ]
    program += [
        (_JUMP_EQUAL, 0, 4, calls[_BY_DESCRIPTOR_ONLY]),
        (_LOAD, 0, 0, _FOURTH_ARGUMENT_AT),
        (_JUMP_EQUAL, 1, 0, _AT_EMPTY_PATH),
        (_RETURN, 0, 0, _KILL),
        (_RETURN, 0, 0, _ALLOW),
        (_JUMP_EQUAL, 0, 1, calls[_ANSWERED]),
        (_RETURN, 0, 0, _NOT_A_TERMINAL),
    ]
    for number in plain:
        program += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    program.append((_RETURN, 0, 0, _KILL))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def filter_available() -> bool:
    """Tell whether this kernel and architecture can filter (CONFIG_SECCOMP_FILTER, Linux 3.5)."""
    if os.uname().machine not in _MACHINES:
        return False
    # A kernel that can filter gets as far as reading the program that is not there.
    return _set_filter(None) == errno.EFAULT


def install_filter() -> None:
    """Put this process under the filter for good; needs no_new_privs, raises OSError when the kernel refuses."""
    code = filter_program(os.uname().machine)
    if code is None:
        raise OSError(errno.ENOSYS, "no system call filter for this architecture")
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: u16 number of instructions, padding, pointer.
    descriptor = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    error = _set_filter(descriptor)
    if error:
        raise OSError(error, os.strerror(error))


def _set_filter(program: "ctypes.Array[ctypes.c_char] | None") -> int:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    unused = ctypes.c_ulong(0)
    result = prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), program, unused, unused)
    return ctypes.get_errno() if result else 0
