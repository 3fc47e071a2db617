"""Gates in front of tests that need more than Python: a kernel with BPF, Go, a Collector, a browser.

Each gate has three states, chosen by an environment variable (``OTELPROF_TEST_KERNEL``, ``_GO``,
``_COLLECTOR``, ``_CHROMIUM``):

* ``auto`` (default): the test runs where what it needs is there, and is skipped with the reason elsewhere.
* ``force``: what is missing is a failure. CI runs so.
* ``never``: the test is skipped without looking.

What is missing is found out once per run.
"""

import ctypes
import errno
import os
import shutil
import struct
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import pytest

__all__ = ("CACHE", "ROOT", "Gate", "Missing", "require_chromium", "require_collector", "require_go", "require_kernel")

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

CACHE = ROOT / ".cache"
"""Where ``make`` keeps what it builds and installs for the tests."""

T = TypeVar("T")


class Missing(Exception):
    """What a gate looks for is not there; the text says what and how to get it."""


class Gate(Generic[T]):
    """One thing that some tests need, looked for at most once.

    ``find`` returns it or raises :class:`Missing`.
    """

    def __init__(self, name: str, find: Callable[[], T]) -> None:
        self.name = name
        self.variable = f"OTELPROF_TEST_{name.upper()}"
        self._find = find

    @cached_property
    def _found(self) -> T | Missing:
        try:
            return self._find()
        except Missing as missing:
            return missing

    def require(self) -> T:
        """Return what the gate guards; else skip the running test, or fail it when the gate is forced."""
        __tracebackhide__ = True
        wanted = os.environ.get(self.variable, "auto")
        if wanted not in {"auto", "force", "never"}:
            pytest.fail(f"{self.variable}={wanted} is not one of auto, force, never", pytrace=False)
        if wanted == "never":
            pytest.skip(f"{self.variable}=never", allow_module_level=True)
        found = self._found
        if not isinstance(found, Missing):
            return found
        if wanted == "force":
            pytest.fail(f"{self.variable}=force, but {found}", pytrace=False)
        pytest.skip(f"{found} ({self.variable}=force makes this a failure)", allow_module_level=True)


def _find_kernel() -> None:
    if os.geteuid() != 0:
        raise Missing("kernel tests need root: run them with sudo")
    if not Path("/sys/kernel/btf/vmlinux").exists():
        raise Missing("the kernel has no BTF: it must be built with CONFIG_DEBUG_INFO_BTF=y")
    try:
        ctypes.CDLL("libbpf.so.1")
    except OSError as error:
        raise Missing("libbpf is not installed: `make deps` or the Debian package libbpf1") from error
    if not any((ROOT / "otelprof/sampler/objects").glob("*.bpf.o")):
        raise Missing("the BPF objects are not built: `make bpf`")
    # struct perf_event_attr, version 0 (linux/perf_event.h): PERF_TYPE_SOFTWARE, size, PERF_COUNT_SW_CPU_CLOCK,
    # period; a counter of this process on any CPU, closed at once.
    clock = struct.pack("=IIQQQQQIIQ", 1, 64, 0, 10_000_000, 0, 0, 1, 0, 0, 0)
    _try_system_call("perf_event_open", clock, 0, -1, -1, 0)
    # union bpf_attr for BPF_MAP_CREATE = 0 (linux/bpf.h): an ARRAY of one 4-byte value.
    array = struct.pack("=IIIII", 2, 4, 4, 1, 0)
    _try_system_call("bpf", 0, array, len(array))


# Numbers of the system calls (asm/unistd_64.h, asm-generic/unistd.h).
_SYSTEM_CALLS = {"x86_64": {"perf_event_open": 298, "bpf": 321}, "aarch64": {"perf_event_open": 241, "bpf": 280}}


def _try_system_call(name: str, *arguments: int | bytes) -> None:
    """Make a descriptor and close it; ``bytes`` are passed by address."""
    numbers = _SYSTEM_CALLS.get(os.uname().machine)
    if numbers is None:
        raise Missing(f"kernel tests are not ported to {os.uname().machine}")
    converted = [
        ctypes.create_string_buffer(argument, len(argument)) if isinstance(argument, bytes) else ctypes.c_long(argument)
        for argument in arguments
    ]
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(numbers[name]), *converted)
    if descriptor < 0:
        code = ctypes.get_errno()
        raise Missing(f"{name} is refused here: {errno.errorcode.get(code, code)}, {os.strerror(code)}")
    os.close(descriptor)


def _find_go() -> Path:
    installed = CACHE / "bin/go"
    on_path = shutil.which("go")
    if installed.exists():
        return installed
    if on_path is not None:
        return Path(on_path)
    raise Missing("Go is not installed: `make deps`")


def _find_collector() -> Path:
    collector = CACHE / "bin/otelcol"
    if collector.exists():
        return collector
    raise Missing("the OpenTelemetry Collector is not built: `make deps`")


def _find_chromium() -> Path:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    raise Missing("no Chromium is installed: `make deps` or the Debian package chromium")


_KERNEL = Gate("kernel", _find_kernel)
_GO = Gate("go", _find_go)
_COLLECTOR = Gate("collector", _find_collector)
_CHROMIUM = Gate("chromium", _find_chromium)


def require_kernel() -> None:
    """Go on only where BPF programs can be loaded: root, BTF, libbpf, perf_event_open, built objects."""
    __tracebackhide__ = True
    _KERNEL.require()


def require_go() -> Path:
    """Return a ``go`` command, of the release that the Collector needs when ``make deps`` found or installed it."""
    __tracebackhide__ = True
    return _GO.require()


def require_collector() -> Path:
    """Return the OpenTelemetry Collector that ``make deps`` builds from ``tests/e2e/collector``."""
    __tracebackhide__ = True
    return _COLLECTOR.require()


def require_chromium() -> Path:
    """Return a Chromium that can run headless."""
    __tracebackhide__ = True
    return _CHROMIUM.require()
