"""The sub-commands of the command line: one module each, imported only when it is the one asked for."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

__all__ = ("COMMANDS", "Command", "CommandEntry")


class Command(Protocol):
    """What a module of this package provides; the module itself is the command.

    ``DESCRIPTION`` is a sentence or two above the options in ``--help``, ``EXAMPLES`` are command
    lines below them, each with a comment that says what it is for.
    """

    DESCRIPTION: str
    EXAMPLES: str

    def add_arguments(self, parser: argparse.ArgumentParser, /) -> None:
        """Declare options and positional arguments."""

    def run(self, args: argparse.Namespace, /) -> int:
        """Do the work and return the exit code; raises OtelprofError for all that goes wrong."""


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """Where a command lives and its line in ``otelprof --help``.

    With ``takes_program`` all that follows the first ``--`` is a program to start, with its own
    arguments, and arrives unparsed as the list ``args.program``.
    """

    module: str
    help: str
    takes_program: bool = False


COMMANDS: Mapping[str, CommandEntry] = MappingProxyType(
    {
        "record": CommandEntry(
            "otelprof.commands.record",
            "profile this host, some processes or one command, into files or a table",
            takes_program=True,
        ),
        "run": CommandEntry("otelprof.commands.run", "profile this host all the time and send it somewhere"),
        "check": CommandEntry("otelprof.commands.check", "judge OTLP profile files by the rules of the format"),
        "doctor": CommandEntry("otelprof.commands.doctor", "say what this host lacks for profiling, and the fix"),
        "version": CommandEntry("otelprof.commands.version", "print the versions of otelprof and what it stands on"),
    }
)
"""Sub-commands by name, in the order in which help lists them."""
