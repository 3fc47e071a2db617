"""The filter's program, run by a small interpreter: also for the architecture this machine is not."""

import re
import struct
from pathlib import Path

import pytest

from otelprof.artifacts import seccomp

KILL, ALLOW, NOT_A_TERMINAL = 0x8000_0000, 0x7FFF_0000, 0x0005_0019
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}


def run(program: bytes, audit_arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """Interpret a classic BPF program over a ``struct seccomp_data``."""
    data = struct.pack("<IIQ6Q", number, audit_arch, 0, *arguments, *([0] * (6 - len(arguments))))
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, if_true, if_false, operand = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x06:
            return int(operand)
        else:
            holds = accumulator == operand if code == 0x15 else bool(accumulator & operand)
            assert code in {0x15, 0x45}
            at += if_true if holds else if_false


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def program(machine: str) -> bytes:
    code = seccomp.filter_program(machine)
    assert code is not None
    return code


@pytest.fixture
def calls(machine: str) -> dict[str, int]:
    return seccomp._MACHINES[machine].calls


def test_numbers_are_those_of_the_kernel_headers(machine: str, calls: dict[str, int]) -> None:
    header = next((path for name in HEADERS[machine] if (path := Path(name)).exists()), None)
    if header is None:
        pytest.skip(f"no {HEADERS[machine][0]}: install linux-libc-dev")
    text = header.read_text()
    # 64-bit asm-generic names: __NR3264_lseek is lseek.
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)\n", text)}
    # asm-generic calls it fstatat where 32-bit machines had another one first.
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))

    assert {name: numbers[name] for name in calls} == calls


def test_only_the_listed_calls_pass(machine: str, program: bytes, calls: dict[str, int]) -> None:
    answers = {number: run(program, ARCHITECTURES[machine], number) for number in range(1024)}

    assert {number for number, answer in answers.items() if answer == ALLOW} == {*calls.values()} - {
        calls["ioctl"],
        calls["newfstatat"],
    }
    assert answers[calls["ioctl"]] == NOT_A_TERMINAL
    assert {*answers.values()} == {ALLOW, KILL, NOT_A_TERMINAL}


def test_arguments_are_looked_at(machine: str, program: bytes, calls: dict[str, int]) -> None:
    arch = ARCHITECTURES[machine]
    for name in ("mmap", "mprotect"):
        assert run(program, arch, calls[name], (0, 4096, 3)) == ALLOW
        assert run(program, arch, calls[name], (0, 4096, 7)) == KILL
    assert run(program, arch, calls["newfstatat"], (3, 0, 0, 0x1000)) == ALLOW
    assert run(program, arch, calls["newfstatat"], (3, 0, 0, 0x1100)) == KILL


def test_another_architecture_is_killed(machine: str, program: bytes, calls: dict[str, int]) -> None:
    # 0x40000003 is i386; numbers from 0x40000000 on are x32's.
    assert run(program, 0x4000_0003, calls["read"]) == KILL
    assert run(program, ARCHITECTURES[machine], 0x4000_0000 + calls["read"]) == KILL


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp.filter_program("m68k") is None
