"""``otelprof doctor``: what this host lacks for profiling, and the fix."""

import argparse
import sys

from otelprof.commands.places import add_place_arguments
from otelprof.doctor import as_json, as_table, examine, record_works, this_machine
from otelprof.roots import HostRoots
from otelprof.terminal import colors_wanted

__all__ = ("DESCRIPTION", "EXAMPLES", "add_arguments", "run")

DESCRIPTION = (
    "Try everything that profiling needs, say what is missing, why it matters, and the fix.\n"
    "Exits with 1 if `otelprof record` cannot work on this host."
)
EXAMPLES = """\
  sudo otelprof doctor                          what root could profile here
  otelprof doctor --json                        the same for a program
  otelprof doctor --host-root /host             inside a container that sees the host's files there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of a table")
    add_place_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Examine, print, and tell by the exit code whether `record` can work."""
    findings = examine(this_machine(HostRoots(args.host_root), args.cache_dir))
    sys.stdout.write(as_json(findings) if args.json else as_table(findings, color=colors_wanted(sys.stdout)))
    return 0 if record_works(findings) else 1
