"""The command line: picks the sub-command, runs it, and turns whatever goes wrong into one sentence.

Exit codes: 0 done, 1 could not be done, 2 cannot be understood, 130 interrupted, 141 the reader of
the output went away (the last two as a shell reports a death by SIGINT and SIGPIPE).
"""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn, cast

from otelprof import __version__
from otelprof.commands import COMMANDS, Command, CommandEntry
from otelprof.errors import OtelprofError, UsageError
from otelprof.logs import add_log_arguments, configure_logs
from otelprof.terminal import one_line

__all__ = ("main",)

_EXAMPLES = """\
examples:
  sudo otelprof record -o flame.html            look at this host for some seconds
  sudo otelprof record -- make test             profile one command and its children
  sudo otelprof run --exporter otlp             send profiles to an OpenTelemetry Collector
  otelprof check profile.otlp                   judge a file
  sudo otelprof doctor                          find out why one of these does not work
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` by default) and return its exit code; raises nothing."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except OtelprofError as error:
        return _fail(error, str(error), error.exit_code, arguments)
    except SystemExit as stop:  # argparse, once it has printed help or the version
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The interpreter flushes once more when it exits; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # the last resort
        return _fail(error, f"unexpected {type(error).__name__}: {error}", 1, arguments)
    return status


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        _parse_without_command(arguments)
    name, *rest = arguments
    entry = COMMANDS.get(name)
    if entry is None:
        raise UsageError(_unknown_command(name))
    command = cast("Command", importlib.import_module(entry.module))
    args = _parse(name, entry, command, rest)
    configure_logs(level=args.log_level, log_format=args.log_format)
    return command.run(args)


def _parse(name: str, entry: CommandEntry, command: Command, arguments: list[str]) -> argparse.Namespace:
    program: list[str] = []
    if entry.takes_program and "--" in arguments:
        # argparse would take a program's own options for ours.
        cut = arguments.index("--")
        arguments, program = arguments[:cut], arguments[cut + 1 :]
        if not program:
            raise UsageError(f"no program follows `--`; see `otelprof {name} --help`")
    parser = _Parser(
        prog=f"otelprof {name}",
        description=command.DESCRIPTION,
        epilog=f"examples:\n{command.EXAMPLES}",
    )
    if entry.takes_program:
        parser.usage = f"otelprof {name} [options] [-- program [arguments]]"
    add_log_arguments(parser)
    command.add_arguments(parser)
    return parser.parse_args(arguments, argparse.Namespace(program=program))


def _parse_without_command(arguments: list[str]) -> NoReturn:
    """Answer ``--help`` and ``--version``, complain about all else."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {entry.help}" for name, entry in COMMANDS.items())
    parser = _Parser(
        prog="otelprof",
        usage="otelprof COMMAND [options]",
        description="Profile a whole host with eBPF: into files, a flame graph page or an OpenTelemetry Collector.",
        epilog=f"commands (each has --help):\n{listing}\n\n{_EXAMPLES}",
    )
    parser.add_argument("--version", action="version", version=f"otelprof {__version__}")
    parser.parse_args(arguments)
    raise UsageError("no command given; `otelprof --help` lists them")


def _unknown_command(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "`otelprof --help` lists those there are"
    return f"there is no command {name!r}; {advice}"


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, keeps line breaks and knows no abbreviated options."""

    def __init__(self, *, prog: str, description: str, epilog: str, usage: str | None = None) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def _fail(error: Exception, sentence: str, exit_code: int, arguments: Sequence[str]) -> int:
    if _wants_traceback(arguments):
        traceback.print_exception(error)
    elif not isinstance(error, OtelprofError):
        sentence += "; `--log-level debug` shows where"
    sys.stderr.write(one_line(f"otelprof: {sentence}") + "\n")
    return exit_code


def _wants_traceback(arguments: Sequence[str]) -> bool:
    """Look at the words themselves: what failed may be the parser, or the import of a command."""
    return "--log-level=debug" in arguments or ("--log-level", "debug") in pairwise(arguments)
