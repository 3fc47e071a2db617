"""What the examinations look at and call: this host, or one made up by a test."""

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from otelprof.doctor.bpf_calls import BpfCalls, KernelBpf
from otelprof.errors import EnvironmentFailure
from otelprof.roots import HostRoots

__all__ = ("Machine", "this_machine")


@dataclass(frozen=True, slots=True)
class Machine:
    """A host as the doctor sees it.

    ``roots`` are the host's, ``own_root`` is that of this process, which may be a container. ``capabilities``
    are the effective ones of this process, a bit for each. ``open_clock`` opens and closes a sampling clock,
    ``load_sampler`` loads and releases the sampler's programs; both raise OtelprofError or OSError.
    ``libbpf_version`` gives it or raises MissingFeature. ``python_paths`` is where modules are looked for.
    """

    roots: HostRoots
    own_root: Path
    release: str
    environ: Mapping[str, str]
    capabilities: int
    bpf: BpfCalls
    open_clock: Callable[[], None]
    load_sampler: Callable[[], None]
    libbpf_version: Callable[[], str]
    demangler_available: Callable[[], bool]
    python_paths: tuple[str, ...]
    cache_dir: Path


def this_machine(roots: HostRoots, cache_dir: Path) -> Machine:
    """Look at the host that this runs on; its files are read below ``roots``."""
    return Machine(
        roots=roots,
        own_root=Path("/"),
        release=platform.release(),
        environ=os.environ,
        capabilities=_effective_capabilities(HostRoots()),
        bpf=KernelBpf(),
        open_clock=_open_clock,
        load_sampler=lambda: _load_sampler(roots),
        libbpf_version=_libbpf_version,
        demangler_available=_demangler_available,
        python_paths=tuple(sys.path),
        cache_dir=cache_dir,
    )


def _effective_capabilities(own: HostRoots) -> int:
    """Read CapEff of this process (proc_pid_status(5)) from its own procfs, whichever is examined."""
    path = own.proc / "self/status"
    try:
        lines = path.read_text(errors="replace").splitlines()
        return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise EnvironmentFailure(f"{path} does not tell the capabilities of this process: mount procfs") from error


def _open_clock() -> None:
    from otelprof.sampler.perf import open_clock_event

    os.close(open_clock_event(0, 1_000_000_000))


def _load_sampler(roots: HostRoots) -> None:
    from otelprof.sampler.core import CoreSampler
    from otelprof.sampler.sampler import SamplerConfig

    CoreSampler(SamplerConfig(), roots).close()


def _libbpf_version() -> str:
    from otelprof.sampler.libbpf import libbpf_version

    return libbpf_version()


def _demangler_available() -> bool:
    from otelprof.symbols.demangle import demangler_available

    return demangler_available()
