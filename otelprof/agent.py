"""Puts the parts together: sampler, processes, symbols and pipeline become one profiler."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from otelprof.artifacts.store import ArtifactStore
from otelprof.pipeline.binaries import BinaryTable
from otelprof.pipeline.frames import FrameNamer
from otelprof.pipeline.profiler import Profiler, drain_interval_ns
from otelprof.pipeline.rows import RowResolver
from otelprof.pipeline.stacks import StackTable
from otelprof.pipeline.window import ClosedWindow, cpu_samples
from otelprof.processes.host import read_host
from otelprof.processes.namespaces import own_pid_namespace
from otelprof.processes.table import ProcessTable
from otelprof.roots import HostRoots
from otelprof.sampler.abi import Role
from otelprof.sampler.core import CoreSampler
from otelprof.sampler.perf import online_cpus
from otelprof.sampler.sampler import Sampler, SamplerConfig
from otelprof.symbols.kernel import KernelSymbols
from otelprof.symbols.symbolizer import Symbolizer
from otelprof.symbols.vdso import read_vdso, vdso_binary

__all__ = ("Agent", "AgentConfig", "open_agent")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How a host is profiled.

    ``selected_only`` samples nothing but processes that :meth:`Sampler.set_role` selects, and their children.
    ``cache_dir`` None keeps artifacts in memory.
    """

    frequency_hz: int = 19
    window_ns: int = 5_000_000_000
    selected_only: bool = False
    roots: HostRoots = field(default_factory=HostRoots)
    cache_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A profiler and the parts of it that a command needs to reach."""

    sampler: Sampler
    profiler: Profiler
    processes: ProcessTable
    store: ArtifactStore


@contextmanager
def open_agent(config: AgentConfig, on_window: Callable[[ClosedWindow], None]) -> Iterator[Agent]:
    """Load the sampler and put everything else around it; nothing is sampled before ``profiler.start()``.

    Raises EnvironmentFailure when this host cannot be profiled.
    """
    roots = config.roots
    namespace = own_pid_namespace(roots)
    translated = not namespace.is_initial and namespace.level == 0
    with ExitStack() as stack:
        sampler = CoreSampler(
            SamplerConfig(
                frequency_hz=config.frequency_hz,
                selected_only=config.selected_only,
                pid_namespace_inode=namespace.inode if translated else 0,
            ),
            roots,
        )
        stack.callback(sampler.close)
        # The link names this process as the procfs there numbers it, which is as the sampler does.
        sampler.set_role(int((roots.proc / "self").readlink().name), Role.OWN)
        store = stack.enter_context(ArtifactStore(config.cache_dir))
        symbolizer = Symbolizer(store)
        stack.callback(symbolizer.close)
        kernel = KernelSymbols(roots, store)
        stack.callback(kernel.close)
        image = read_vdso()
        processes = ProcessTable(roots, read_host(roots))
        binaries = BinaryTable(roots, symbolizer, vdso_binary(image) if image else None)
        stack.callback(binaries.close)
        stacks = StackTable(sampler.next_epoch)
        profiler = Profiler(
            sampler,
            store,
            processes=processes,
            binaries=binaries,
            resolver=RowResolver(stacks, processes, FrameNamer(processes, binaries, symbolizer, kernel)),
            stacks=stacks,
            sample_type=cpu_samples(config.frequency_hz),
            window_ns=config.window_ns,
            drain_ns=drain_interval_ns(config.frequency_hz, len(online_cpus(roots))),
            on_window=on_window,
        )
        stack.callback(profiler.close)
        yield Agent(sampler, profiler, processes, store)
