"""Kernel frames, on a tree of files and on the running kernel."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from otelprof.artifacts.store import ArtifactStore
from otelprof.model.stack import Frame, Function, Line, Mapping
from otelprof.roots import HostRoots
from otelprof.symbols.kernel import KernelState, KernelSymbol, KernelSymbols, kernel_htlhash
from tests.elfwriter import note

KERNEL = 0xFFFFFFFF81000000
MODULE = 0xFFFFFFFFC0300000
BPF = 0xFFFFFFFFC0200000
BUILD_ID = "ab" * 20

KALLSYMS = f"""\
{KERNEL:x} T _text
{KERNEL:x} T startup_64
{KERNEL + 0x50:x} t helper
{KERNEL + 0x100:x} T _etext
{MODULE + 0x10:x} t mod_open\t[mod]
{MODULE + 0x1000:x} d mod_data\t[mod]
"""
BPF_PROGRAM = f"{BPF:x} t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]\n"


class Host:
    """A tree of files that looks like a host, and a clock."""

    def __init__(self, root: Path) -> None:
        self.roots = HostRoots(root)
        self.now = 1000.0
        self.boot(root.name)
        self.write("proc/kallsyms", KALLSYMS)
        self.write("proc/modules", f"mod 16384 1 - Live 0x{MODULE:016x}\nhidden 1 0 - Live 0x0000000000000000\nodd\n")
        self.write("sys/kernel/notes", note(b"GNU", 3, bytes.fromhex(BUILD_ID)))
        self.write("sys/module/mod/notes/.note.gnu.build-id", note(b"GNU", 3, bytes.fromhex("cd" * 20)))

    def boot(self, boot_id: str) -> None:
        self.write("proc/sys/kernel/random/boot_id", boot_id)

    def write(self, path: str, content: str | bytes) -> None:
        file = self.roots.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def clock(self) -> float:
        return self.now


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


Started = Callable[[Host], KernelSymbols]


@pytest.fixture
def started(store: ArtifactStore, settle: Callable[[], None]) -> Started:
    def start(host: Host) -> KernelSymbols:
        symbols = KernelSymbols(host.roots, store, clock=host.clock)
        settle()
        return symbols

    return start


def kernel_frame(address: int, name: str) -> Frame:
    mapping = Mapping("vmlinux", 0, 0x100, 0, build_id_gnu=BUILD_ID, build_id_htlhash=kernel_htlhash(BUILD_ID))
    return Frame("kernel", address, mapping, (Line(Function(name)),))


def test_nothing_is_known_before_kallsyms_was_parsed(
    host: Host, store: ArtifactStore, settle: Callable[[], None]
) -> None:
    symbols = KernelSymbols(host.roots, store)
    assert symbols.frame(KERNEL + 0x51) is None
    states = [symbols.state]
    settle()
    assert symbols.frame(KERNEL + 0x51) == kernel_frame(0x51, "helper")
    assert [*states, symbols.state] == [KernelState.PENDING, KernelState.READY]


def test_addresses_are_relative_to_the_kernel_or_module(host: Host, started: Started) -> None:
    symbols = started(host)

    assert symbols.find(KERNEL + 0x60) == KernelSymbol("helper", "vmlinux", KERNEL + 0x50)
    assert symbols.frame(KERNEL + 0x60) == kernel_frame(0x60, "helper")
    module = symbols.frame(MODULE + 0x20)
    assert module is not None
    assert module.address == 0x20
    assert module.lines == (Line(Function("mod_open")),)
    assert module.mapping == Mapping(
        "mod", 0, 16384, 0, build_id_gnu="cd" * 20, build_id_htlhash=kernel_htlhash("cd" * 20)
    )


def test_every_frame_lies_inside_its_mapping(host: Host, started: Started) -> None:
    symbols = started(host)
    for address in (KERNEL, KERNEL + 0xFF, MODULE, MODULE + 16383):
        frame = symbols.frame(address)
        assert frame is not None
        assert frame.mapping is not None
        assert frame.mapping.memory_start <= frame.address < frame.mapping.memory_limit


def test_what_lies_elsewhere_keeps_its_address(host: Host, started: Started) -> None:
    assert started(host).frame(0xFFFFFFFF00000000) == Frame("kernel", 0xFFFFFFFF00000000)


def test_without_build_id_there_is_no_mapping(host: Host, started: Started) -> None:
    host.write("sys/kernel/notes", b"")
    frame = started(host).frame(KERNEL)
    assert frame == Frame("kernel", KERNEL, None, (Line(Function("startup_64")),))


def test_the_same_boot_does_not_read_kallsyms_again(host: Host, started: Started) -> None:
    started(host)
    host.write("proc/kallsyms", "not read")
    assert started(host).find(KERNEL) == KernelSymbol("startup_64", "vmlinux", KERNEL)


@pytest.mark.parametrize("change", ["boot", "modules", "kernel"])
def test_another_boot_or_set_of_modules_reads_kallsyms_again(host: Host, started: Started, change: str) -> None:
    started(host)
    host.write("proc/kallsyms", f"{KERNEL:x} T renamed\n")
    if change == "boot":
        host.boot("another")
    elif change == "modules":
        host.write("proc/modules", f"mod 16384 1 - Live 0x{MODULE + 4096:016x}\n")
    else:
        host.write("sys/kernel/notes", note(b"GNU", 3, b"other"))
    symbol = started(host).find(KERNEL)
    assert symbol is not None
    assert symbol.name == "renamed"


def test_use_counts_of_modules_do_not_matter(host: Host, started: Started) -> None:
    started(host)
    host.write("proc/kallsyms", "not read")
    host.write("proc/modules", f"mod 16384 7 other, Live 0x{MODULE:016x}\n")
    assert started(host).find(KERNEL) is not None


def test_bpf_programs_are_looked_up_again_when_hit(host: Host, started: Started, settle: Callable[[], None]) -> None:
    symbols = started(host)
    symbols.find(KERNEL)
    host.write("proc/kallsyms", KALLSYMS + BPF_PROGRAM)
    assert symbols.find(BPF) is None
    settle()
    assert symbols.find(BPF) is None
    host.now += 10
    assert symbols.find(BPF) is None
    settle()
    frame = symbols.frame(BPF + 1)
    assert frame is not None
    assert frame == Frame("kernel", BPF + 1, None, (Line(Function("bpf_prog_6deef7357e7b4530_sd_fw")),))


def test_bpf_programs_of_an_earlier_run_are_not_believed(
    host: Host, started: Started, settle: Callable[[], None]
) -> None:
    host.write("proc/kallsyms", KALLSYMS + BPF_PROGRAM)
    assert started(host).find(BPF) is not None
    host.write("proc/kallsyms", KALLSYMS + BPF_PROGRAM.replace("sd_fw", "other"))

    later = started(host)
    assert later.find(BPF) is None
    settle()
    symbol = later.find(BPF)
    assert symbol is not None
    assert symbol.name.endswith("other")


def test_misses_read_kallsyms_ever_more_seldom(
    host: Host, started: Started, store: ArtifactStore, settle: Callable[[], None]
) -> None:
    symbols = started(host)

    def requests_after(seconds: float) -> int:
        host.now += seconds
        before = store.counters()["requests"]
        for _ in range(3):
            symbols.find(0xFFFFFFFF00000000)
            settle()
        return store.counters()["requests"] - before

    assert [requests_after(pause) for pause in (0, 9, 2, 18, 3, 38, 3)] == [0, 0, 1, 0, 1, 0, 1]


def test_a_new_module_makes_the_next_look_soon_again(host: Host, started: Started, settle: Callable[[], None]) -> None:
    symbols = started(host)
    symbols.find(KERNEL)
    host.write("proc/modules", f"late 4096 0 - Live 0x{BPF:016x}\n")
    host.write("proc/kallsyms", KALLSYMS + f"{BPF + 16:x} t late_open\t[late]\n")
    host.now += 10
    assert symbols.find(BPF + 16) is None
    settle()
    assert symbols.find(BPF + 16) == KernelSymbol("late_open", "late", BPF + 16)


def test_hidden_addresses_are_told_with_the_fix(host: Host, started: Started) -> None:
    host.write("proc/kallsyms", "0000000000000000 T start\n0000000000000000 T end\n")
    symbols = started(host)
    assert symbols.state is KernelState.HIDDEN
    assert "kptr_restrict" in symbols.message
    assert symbols.frame(KERNEL) == Frame("kernel", KERNEL)


def test_a_host_without_kallsyms(host: Host, started: Started) -> None:
    (host.roots.proc / "kallsyms").unlink()
    symbols = started(host)
    assert symbols.state is KernelState.UNAVAILABLE
    assert symbols.frame(KERNEL) == Frame("kernel", KERNEL)


def test_a_damaged_kallsyms(host: Host, started: Started) -> None:
    host.write("proc/kallsyms", f"{KERNEL:x} T start\nwhat\n")
    symbols = started(host)
    assert symbols.frame(KERNEL) == Frame("kernel", KERNEL)
    assert symbols.state is KernelState.UNAVAILABLE


def test_close_lets_go_of_kallsyms(host: Host, started: Started) -> None:
    symbols = started(host)
    path = str(host.roots.proc / "kallsyms")
    assert path in open_files()
    symbols.close()
    symbols.close()
    assert path not in open_files()
    assert symbols.find(KERNEL) is None


def open_files() -> set[str]:
    names = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            names.add(str(entry.readlink()))
    return names


def test_the_htlhash_is_fnv_1a_of_the_build_id_in_hex() -> None:
    # Test vectors of draft-eastlake-fnv: 128-bit FNV-1a of "" and "a".
    assert kernel_htlhash("") == "6c62272e07bb014262b821756295c58d"
    assert kernel_htlhash("a") == "d228cb696f1a8caf78912b704e4a8964"


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel hides addresses from ordinary users")
def test_the_running_kernel(store: ArtifactStore, settle: Callable[[], None]) -> None:
    symbols = KernelSymbols(HostRoots(), store)
    settle()
    address = next(
        int(line.split()[0], 16)
        for line in Path("/proc/kallsyms").read_text().splitlines()
        if line.endswith(" T schedule")
    )
    frame = symbols.frame(address + 1)
    assert frame is not None
    assert frame.lines == (Line(Function("schedule")),)
    assert frame.mapping is not None
    assert frame.mapping.path == "vmlinux"
    assert frame.address < frame.mapping.memory_limit
    symbols.close()
