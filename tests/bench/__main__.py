"""``python -m tests.bench``: measure what otelprof costs and compare it with the targets."""

import argparse
import json
import sys

import pytest

from tests.bench import agent, bpf_time, page, per_sample, start, wire
from tests.bench.figures import Figure, Measurement
from tests.bench.machine import describe_machine
from tests.bench.report import Result, as_json, as_markdown, figure_line, replace_section
from tests.gates import ROOT

_MEASUREMENTS = {
    module.MEASUREMENT.name: module.MEASUREMENT for module in (start, agent, bpf_time, per_sample, wire, page)
}
_PAGE = ROOT / "docs/overhead.md"


def main() -> None:
    """Measure, print, and write the page if asked to."""
    arguments = _parse()
    machine = describe_machine()
    print(machine, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    results = []
    for name in arguments.only or _MEASUREMENTS:
        results.append(_run(_MEASUREMENTS[name], quick=arguments.quick, is_printed=not arguments.json))
    if arguments.json:
        json.dump(as_json(machine, results), sys.stdout, indent=2)
        print()
    if arguments.markdown:
        _PAGE.write_text(replace_section(_PAGE.read_text(), as_markdown(machine, results)))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what otelprof costs.")
    parser.add_argument(
        "--only", action="append", choices=_MEASUREMENTS, metavar="NAME", help=f"one of {', '.join(_MEASUREMENTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="spend less time; the spread means less then")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--markdown", action="store_true", help=f"also rewrite the figures in {_PAGE.relative_to(ROOT)}"
    )
    arguments = parser.parse_args()
    if arguments.markdown and (arguments.only or arguments.quick):
        parser.error("--markdown states all figures, measured with full care: leave out --only and --quick")
    return arguments


def _run(measurement: Measurement, *, quick: bool, is_printed: bool) -> Result:
    figures: list[Figure] = []
    skipped = ""
    if is_printed:
        print(f"\n{measurement.name}: {measurement.definition}\n", flush=True)
    try:
        for figure in measurement.measure(quick):
            figures.append(figure)
            if is_printed:
                print(figure_line(figure), flush=True)
    except (pytest.skip.Exception, pytest.fail.Exception) as refusal:
        skipped = str(refusal)
        if is_printed:
            print(f"  skipped: {skipped}", flush=True)
    return Result(measurement, figures, skipped)


if __name__ == "__main__":
    main()
