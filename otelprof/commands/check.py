"""``otelprof check``: are these files correct OTLP profiles?"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from otelprof.errors import BadProfile, InputError, UsageError
from otelprof.formats.limits import read_whole
from otelprof.formats.registry import format_for
from otelprof.quantities import argument, parse_size_bytes
from otelprof.terminal import one_line

if TYPE_CHECKING:
    from otelprof.model.rules import Breach

__all__ = ("DESCRIPTION", "EXAMPLES", "add_arguments", "run")

DESCRIPTION = (
    "Judge OTLP profile files (.otlp, .otlp.jsonl and what a Collector's file exporter writes) by the rules\n"
    "of the format. Prints one line for each breach; exits with 1 if there is an error."
)
EXAMPLES = """\
  otelprof check profile.otlp                   judge one file
  otelprof check --strict out/*.otlp.jsonl      fail on warnings too
  otelprof check --rules                        list all rules
"""

_JUDGED = frozenset({"otlp", "otlp-json"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="OTLP profiles")
    parser.add_argument("--rules", action="store_true", help="list the rules and judge nothing")
    parser.add_argument("--strict", action="store_true", help="let warnings fail too, not errors only")
    parser.add_argument(
        "--max-size",
        type=argument(parse_size_bytes),
        metavar="SIZE",
        help="largest message that the receiver takes, such as 4MiB (default: any)",
    )


def run(args: argparse.Namespace) -> int:
    """Judge every file, also when one of them cannot be read."""
    if args.rules:
        _list_rules()
        return 0
    if not args.files:
        raise UsageError("no file to judge; see `otelprof check --help`")
    for path in args.files:
        _refuse_other_formats(path)
    counts: Counter[str] = Counter()
    for path in args.files:
        try:
            for breach in _judge(path, args.max_size):
                counts[breach.level] += 1
                sys.stdout.write(one_line(f"{path}: {breach}") + "\n")
        except (InputError, BadProfile) as error:
            counts["unreadable"] += 1
            sys.stderr.write(one_line(f"otelprof: {error}") + "\n")
    sys.stdout.write(_summary(len(args.files), counts) + "\n")
    failing = counts["error"] + counts["unreadable"] + (counts["warning"] if args.strict else 0)
    return 1 if failing else 0


def _list_rules() -> None:
    from otelprof.model.check import RULES

    sys.stdout.writelines(f"{rule.id:4} {rule.level:8} {rule.sentence}\n" for rule in RULES)


def _refuse_other_formats(path: Path) -> None:
    """Complain about a suffix that promises another format; none at all is judged by its content."""
    try:
        promised = format_for(path)
    except UsageError:
        return
    if promised.name not in _JUDGED:
        raise UsageError(f"check judges OTLP (.otlp and .otlp.jsonl); {path} is {promised.description}")


def _judge(path: Path, max_bytes: int | None) -> Iterator["Breach"]:
    """Judge one file; raises InputError, or BadProfile naming the file."""
    from otelprof.model.check import check, check_stream

    try:
        with path.open("rb") as stream:
            if _is_json(stream):
                from otelprof.formats.otlp_json import read_otlp_json

                yield from check_stream(read_otlp_json(stream), max_bytes=max_bytes)
            else:
                # The bytes themselves are judged, not what a decoder makes of them.
                yield from check(read_whole(stream), max_bytes=max_bytes)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except BadProfile as error:
        raise BadProfile(f"{path}: {error}") from error


def _is_json(stream: BinaryIO) -> bool:
    start = stream.read(64)
    stream.seek(0)
    return start.lstrip().startswith(b"{")


def _summary(files: int, counts: Counter[str]) -> str:
    found = [_counted(counts[kind], kind) for kind in ("error", "warning", "notice") if counts[kind]]
    if counts["unreadable"]:
        found.append(f"{counts['unreadable']} unreadable")
    return f"{_counted(files, 'file')}: {', '.join(found) or 'nothing to complain about'}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
