"""``otelprof run``: profile this host all the time and send it somewhere."""

import argparse
import logging
import os
import select
import signal
from contextlib import ExitStack

from otelprof.agent import AgentConfig, open_agent
from otelprof.commands.places import add_place_arguments
from otelprof.commands.sampling import add_sampling_arguments, warn_of_lockstep
from otelprof.commands.signals import SignalEvents
from otelprof.errors import UsageError
from otelprof.logs import fields
from otelprof.pipeline.delivery import Delivery
from otelprof.pipeline.exporter import available_exporters, load_exporter
from otelprof.pipeline.window import ClosedWindow
from otelprof.roots import HostRoots

__all__ = ("DESCRIPTION", "EXAMPLES", "add_arguments", "run")

DESCRIPTION = """\
Sample what runs on every CPU until SIGTERM or Ctrl-C, and send each window of samples to an exporter.
A destination that cannot be reached is no reason to stop: it is warned about once, and tried again."""

EXAMPLES = """\
  sudo otelprof run --exporter otlp             to a Collector on 127.0.0.1:4317
  sudo OTEL_EXPORTER_OTLP_ENDPOINT=https://collector:4317 otelprof run --exporter otlp
                                                to another one, with TLS
"""

_WINDOW_NS = 5_000_000_000
_NAMING_PATIENCE_S = 2.0
_FLUSH_TIMEOUT_S = 3.0
_FOREVER_NS = 1 << 62

_logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``run``."""
    parser.set_defaults(log_level="info")
    parser.add_argument(
        "--exporter",
        action="append",
        default=[],
        metavar="NAME",
        help=f"where to send profiles; installed: {', '.join(available_exporters())}",
    )
    add_sampling_arguments(parser, window_ns=_WINDOW_NS)
    add_place_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Profile until a signal comes."""
    if not args.exporter:
        raise UsageError("no exporter was named: add --exporter otlp, or use `otelprof record` for files")
    exporters = {name: load_exporter(name).from_options({}, os.environ) for name in args.exporter}
    warn_of_lockstep(args.frequency)
    config = AgentConfig(
        frequency_hz=args.frequency,
        window_ns=args.window,
        roots=HostRoots(args.host_root),
        cache_dir=args.cache_dir,
    )
    deliveries: list[Delivery] = []

    def deliver(window: ClosedWindow) -> None:
        for delivery in deliveries:
            delivery.put(window.batch)

    with ExitStack() as stack:
        agent = stack.enter_context(open_agent(config, deliver))
        # Threads are started when nothing can fail any more.
        deliveries += [Delivery(name, exporter) for name, exporter in exporters.items()]
        profiler = agent.profiler
        signals = stack.enter_context(SignalEvents(signal.SIGINT, signal.SIGTERM))
        profiler.poll.register(signals.fileno(), select.EPOLLIN)
        profiler.start()
        _logger.info("profiling", extra=fields(frequency_hz=args.frequency, exporters=",".join(exporters)))
        while signals.fileno() not in profiler.step(_FOREVER_NS):
            pass
        # The next signal ends the process at once.
        for number in signals.take():
            signal.signal(number, signal.SIG_DFL)
        profiler.finish(_NAMING_PATIENCE_S)
        for delivery in deliveries:
            delivery.finish(_FLUSH_TIMEOUT_S)
        counters = agent.sampler.counters()
        lost = sum(counters.lost.values()) + profiler.lost.total()
        _logger.info("ledger", extra=fields(captured=counters.captured, accepted=profiler.accepted, lost=lost))
        for delivery in deliveries:
            _logger.info(
                "ledger",
                extra=fields(
                    exporter=delivery.name,
                    accepted=profiler.accepted,
                    exported=delivery.exported,
                    dropped=delivery.dropped.total(),
                    pending=delivery.pending,
                ),
            )
    return 0
