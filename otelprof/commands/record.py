"""``otelprof record``: profile this host, some processes or one command, into files or a table."""

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Self

from otelprof.agent import Agent, AgentConfig, open_agent
from otelprof.commands.child import HeldProgram
from otelprof.commands.places import add_place_arguments
from otelprof.commands.sampling import add_sampling_arguments, warn_of_lockstep
from otelprof.commands.selection import SelectedProcesses
from otelprof.commands.signals import SignalEvents
from otelprof.formats.files import check_writable, write_atomically
from otelprof.formats.flamegraph import write_page
from otelprof.formats.registry import FORMATS, Format, format_for
from otelprof.pipeline.window import ClosedWindow
from otelprof.quantities import argument, parse_duration_ns
from otelprof.roots import HostRoots

if TYPE_CHECKING:
    from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

__all__ = ("DESCRIPTION", "EXAMPLES", "add_arguments", "run")

DESCRIPTION = """\
Sample what runs on every CPU until the time is up, the program has ended or Ctrl-C is pressed.
Without -o the functions that took most time are printed."""

EXAMPLES = """\
  sudo otelprof record -d 10                    where this host spends its time, on the terminal
  sudo otelprof record -d 30 -o host.html       the same as a flame graph page for a browser
  sudo otelprof record -d 30 -o host.html -o -  both
  sudo otelprof record -o build.html -- make    one program and its children
  sudo otelprof record -p 1234 -d 5 -F 99 -o p.otlp -o p.pb.gz
                                                one process, 99 times a second, in two formats
"""

_DEFAULT_WINDOW_NS = 60_000_000_000
"""Longer than the agent's, since nobody waits for the first one: there is less to merge at the end."""
_NAMING_PATIENCE_S = 10.0
_PROGRESS_NS = 500_000_000
_TOP_FUNCTIONS = 20
_TABLE = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``record``."""
    suffixes = ", ".join(known.suffix for known in FORMATS)
    parser.add_argument(
        "-d",
        "--duration",
        type=argument(parse_duration_ns),
        metavar="TIME",
        help="how long to record, like 10, 500ms or 2m (default: until Ctrl-C, or the end of what is recorded)",
    )
    parser.add_argument(
        "-p", "--pid", type=int, action="append", default=[], metavar="PID", help="this process and its children only"
    )
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="FILE",
        help=f"write a file; its suffix tells the format: {suffixes}; - prints the table (repeatable)",
    )
    add_sampling_arguments(parser, window_ns=_DEFAULT_WINDOW_NS)
    add_place_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Record; returns the program's exit code if there is one."""
    outputs = [_Output(name, format_for(name)) for name in args.output if name != _TABLE]
    for output in outputs:
        check_writable(output.path)
    warn_of_lockstep(args.frequency)
    config = AgentConfig(
        frequency_hz=args.frequency,
        window_ns=args.window,
        selected_only=bool(args.pid or args.program),
        roots=HostRoots(args.host_root),
        cache_dir=args.cache_dir,
    )
    with ExitStack() as stack:
        program = None
        if args.program:
            # Before threads exist.
            program = HeldProgram(args.program)
            stack.callback(program.close)
        processes = SelectedProcesses(config.roots, args.pid)
        stack.callback(processes.close)
        recording = _Recording(args.duration, program, processes, prints_table=not outputs or _TABLE in args.output)
        agent = stack.enter_context(open_agent(config, recording.windows.append))
        recording.run(agent)
        recording.report(agent, outputs)
        return program.exit_code() if program else 0


@dataclass(frozen=True, slots=True)
class _Output:
    path: str
    format: Format


@dataclass(slots=True)
class _Recording:
    """One recording from its first sample to its closing line."""

    duration_ns: int | None
    program: HeldProgram | None
    processes: SelectedProcesses
    prints_table: bool
    windows: list[ClosedWindow] = field(default_factory=list)
    elapsed_s: float = 0.0

    def run(self, agent: Agent) -> None:
        """Sample until it is enough."""
        profiler = agent.profiler
        with SignalEvents(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals, _Progress() as progress:
            profiler.start()
            started_ns = time.monotonic_ns()
            end_ns = started_ns + self.duration_ns if self.duration_ns else 1 << 62
            self._select(agent)
            enders = [*self.processes.filenos(), *([self.program.fileno()] if self.program else [])]
            for fd in (signals.fileno(), *enders):
                profiler.poll.register(fd, select.EPOLLIN)
            if self.program:
                self.program.release()
            while time.monotonic_ns() < end_ns:
                ready = profiler.step(min(end_ns, progress.next_ns))
                progress.show(time.monotonic_ns() - started_ns, profiler.consumed)
                if signals.fileno() in ready and self._stop_for(signals.take()):
                    break
                if ready & set(enders) and self._all_ended(agent, ready):
                    break
            self.elapsed_s = (time.monotonic_ns() - started_ns) / 1e9
            progress.say("naming functions")
            profiler.finish(_NAMING_PATIENCE_S)

    def _select(self, agent: Agent) -> None:
        if self.program:
            self.processes.add(agent.sampler, self.program.pid)
        self.processes.select(agent.sampler)

    def _stop_for(self, numbers: Sequence[int]) -> bool:
        """Whether a signal ends the recording; a program gets it and ends the recording itself."""
        if self.program is None:
            return bool(numbers)
        for number in numbers:
            self.program.forward(number)
        return False

    def _all_ended(self, agent: Agent, ready: frozenset[int]) -> bool:
        for fd in self.processes.ended(ready):
            agent.profiler.poll.unregister(fd)
        if self.program:
            return self.program.fileno() in ready
        return not self.processes.filenos()

    def report(self, agent: Agent, outputs: Sequence[_Output]) -> None:
        """Write what was asked for and say what was seen."""
        messages = [window.batch.message() for window in self.windows]
        counters, profiler = agent.sampler.counters(), agent.profiler
        lost = sum(counters.lost.values()) + profiler.lost.total()
        for output in outputs:
            write_atomically(output.path, partial(self._write, output.format, messages, lost))
        if self.prints_table:
            _print_top(messages)
        share = f"{100 * profiler.complete / profiler.accepted:.1f} %" if profiler.accepted else "none"
        written = f"; wrote {', '.join(output.path for output in outputs)}" if outputs else ""
        sys.stderr.write(
            f"recorded {self.elapsed_s:.1f} s: captured {counters.captured}, own {counters.own}, lost {lost}, "
            f"complete stacks {share}{written}\n"
        )

    def _write(self, file_format: Format, messages: "Sequence[ProfilesData]", lost: int, stream: BinaryIO) -> None:
        if file_format.name == "html":
            title = " ".join(self.program.arguments) if self.program else ""
            write_page(stream, messages, title=title, lost=lost)
        else:
            file_format.write(stream, messages)


def _print_top(messages: "Sequence[ProfilesData]") -> None:
    from otelprof.formats.top import render_top, top_functions
    from otelprof.terminal import colors_wanted

    width = os.get_terminal_size().columns if sys.stdout.isatty() else 120
    sys.stdout.write(render_top(top_functions(messages, _TOP_FUNCTIONS), width, color=colors_wanted(sys.stdout)))
    sys.stdout.flush()


class _Progress:
    """A line on the terminal that is written over."""

    def __init__(self) -> None:
        self._wanted = sys.stderr.isatty()
        self.next_ns = time.monotonic_ns() if self._wanted else 1 << 62

    def show(self, elapsed_ns: int, samples: int) -> None:
        """Say how far it is, twice a second."""
        if time.monotonic_ns() >= self.next_ns:
            self.next_ns += _PROGRESS_NS
            self.say(f"recording {elapsed_ns / 1e9:.1f} s, {samples:,} samples, Ctrl-C ends")

    def say(self, text: str) -> None:
        """Replace the line."""
        if self._wanted:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.say("")
