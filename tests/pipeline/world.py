"""Everything between a scripted sampler and closed windows, real, on a tree of files."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from otelprof.artifacts.store import ArtifactStore
from otelprof.model.reader import ReadSample, read_samples
from otelprof.pipeline.binaries import BinaryTable
from otelprof.pipeline.clock import WallClock
from otelprof.pipeline.frames import FrameNamer
from otelprof.pipeline.profiler import Profiler
from otelprof.pipeline.rows import RowResolver
from otelprof.pipeline.stacks import StackTable
from otelprof.pipeline.window import ClosedWindow, cpu_samples
from otelprof.processes.table import ProcessTable
from otelprof.symbols.kernel import KernelSymbols
from otelprof.symbols.symbolizer import Symbolizer
from tests.elfwriter import ALLOC, EXECUTE, ElfSection, ElfSegment, ElfSymbol, build_id_section, write_elf
from tests.pipeline.scripted import Clock, ScriptedSampler
from tests.processes.trees import HostTree, open_descriptors

__all__ = ("KALLSYMS", "TEXT_ADDRESS", "World", "elf", "function_names", "maps_line", "resource_of", "times_open")

TEXT_ADDRESS = 0x1000
"""Where the code of :func:`elf` lies in the file and in its own address space."""

KALLSYMS = """\
ffffffff81000000 T _stext
ffffffff81000000 T start_of_kernel
ffffffff81000100 T do_work
ffffffff81000200 T _etext
"""


def elf(symbols: Mapping[str, int], build_id: str = "", *, padding: int = 0) -> bytes:
    """A program with functions of 16 bytes at offsets of its text."""
    text = ElfSection(".text", bytes(256), flags=ALLOC | EXECUTE, address=TEXT_ADDRESS, alignment=TEXT_ADDRESS)
    sections = [text, *([build_id_section(build_id)] if build_id else []), ElfSection(".pad", bytes(padding))]
    named = [ElfSymbol(name, TEXT_ADDRESS + offset, 16) for name, offset in symbols.items()]
    return write_elf(*sections, segments=(ElfSegment(".text"),), symbols=named)


def maps_line(start: int, file: Path | None = None, *, path: str = "", size: int = 0x1000) -> str:
    """A line of maps: the text of a file, or memory without one."""
    inode = file.stat().st_ino if file else 0
    offset = TEXT_ADDRESS if file else 0
    return f"{start:x}-{start + size:x} r-xp {offset:08x} 08:01 {inode} {path or file or ''}\n"


class World:
    """Processes in a tree of files, the parts that name their frames, and a profiler."""

    def __init__(
        self,
        root: Path,
        store: ArtifactStore,
        sampler: ScriptedSampler,
        *,
        window_s: float = 5.0,
        max_stacks: int = 8192,
    ) -> None:
        self.host = HostTree(root)
        self.host.boot()
        self.host.write("proc/kallsyms", KALLSYMS)
        self.host.write("proc/modules", "")
        self.host.write("proc/sys/kernel/random/boot_id", str(root))
        self.clock = Clock()
        self.store = store
        self.sampler = sampler
        self.windows: list[ClosedWindow] = []
        self.symbolizer = Symbolizer(store, clock=lambda: self.clock() / 1e9)
        self.kernel = KernelSymbols(self.host.roots, store)
        self.processes = ProcessTable(self.host.roots, None, clock=self.clock)
        self.binaries = BinaryTable(self.host.roots, self.symbolizer, None, self.clock)
        self.namer = FrameNamer(self.processes, self.binaries, self.symbolizer, self.kernel)
        self.stacks = StackTable(sampler.next_epoch, max_stacks=max_stacks)
        self.resolver = RowResolver(self.stacks, self.processes, self.namer)
        self.profiler = Profiler(
            sampler,
            store,
            processes=self.processes,
            binaries=self.binaries,
            resolver=self.resolver,
            stacks=self.stacks,
            sample_type=cpu_samples(19),
            window_ns=round(window_s * 1e9),
            drain_ns=250_000_000,
            on_window=self.windows.append,
            monotonic_ns=self.clock,
            wall_clock=WallClock(self.clock, lambda: self.clock() + 1_700_000_000 * 10**9),
        )

    def close(self) -> None:
        self.profiler.close()
        self.binaries.close()
        self.kernel.close()
        self.symbolizer.close()
        self.sampler.close()

    def run(self, pid: int, *places: tuple[int, Path | None], **changes: object) -> None:
        """Let a process run that has files (or memory) mapped at addresses."""
        maps = "".join(maps_line(start, file) for start, file in places)
        self.host.process(pid, maps=maps, **changes)  # type: ignore[arg-type]
        for start, file in places:
            if file is not None:
                self.host.link(f"proc/{pid}/map_files/{start:x}-{start + 0x1000:x}", file)

    def end(self, pid: int) -> None:
        """Let a process be gone, with all that leads to its files."""
        folder = self.host.root / "proc" / str(pid)
        folder.rename(self.host.root / f"proc-of-{pid}")

    def step(self, seconds: float = 0.0) -> frozenset[int]:
        """Let some time go by, then do what is due."""
        self.clock.advance(seconds)
        return self.profiler.step(self.clock())

    def samples(self) -> list[ReadSample]:
        return [sample for window in self.windows for sample in read_samples(window.batch.payload)]

    def names(self) -> Counter[tuple[str, ...]]:
        """How often each stack of names was sampled, leaf first."""
        names: Counter[tuple[str, ...]] = Counter()
        for sample in self.samples():
            names[function_names(sample)] += sample.count
        return names

    def balance(self) -> tuple[int, int]:
        """What was drained, and what became of it."""
        held = sum(window.sample_count for window in [*self.profiler._ended, self.profiler._window])
        return self.sampler.drained, self.profiler.accepted + self.profiler.lost.total() + held


def function_names(sample: ReadSample) -> tuple[str, ...]:
    return tuple(frame.lines[0].function.name if frame.lines else f"<{frame.type}>" for frame in sample.stack)


def resource_of(sample: ReadSample) -> dict[str, object]:
    return dict(sample.resource.attributes)


def times_open(path: Path) -> int:
    """How many descriptors of this process lead to a file."""
    descriptors = [Path("/proc/self/fd", name) for name in open_descriptors()]
    return sum(descriptor.exists() and descriptor.samefile(path) for descriptor in descriptors)
