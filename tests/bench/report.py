"""Figures as text, JSON and Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.bench.figures import Figure, Measurement, number

__all__ = ("BEGIN", "END", "Result", "as_json", "as_markdown", "figure_line", "replace_section")

BEGIN = "<!-- figures: begin; written by `python -m tests.bench --markdown` -->"
END = "<!-- figures: end -->"


@dataclass(frozen=True, slots=True)
class Result:
    """What a measurement yielded; ``skipped`` says why it yielded no more, "" if it is whole."""

    measurement: Measurement
    figures: Sequence[Figure]
    skipped: str = ""


def figure_line(figure: Figure) -> str:
    """One line of text."""
    value = f"{number(figure.value)} {figure.unit}"
    spread = f"({figure.spread})" if figure.spread else ""
    target = f"target {figure.target}" if figure.target else ""
    peer = f"peer {figure.peer}" if figure.peer else ""
    verdict = figure.verdict.upper() if figure.verdict == "miss" else figure.verdict
    return f"  {figure.name:<62} {value:>18}  {spread:<26} {target:<24} {verdict:<5} {peer}".rstrip()


def as_json(machine: str, results: Iterable[Result]) -> dict[str, object]:
    """Everything, for programs."""
    return {
        "machine": machine,
        "measurements": [
            {
                "name": result.measurement.name,
                "definition": result.measurement.definition,
                "skipped": result.skipped,
                "figures": [_figure_json(figure) for figure in result.figures],
            }
            for result in results
        ],
    }


def _figure_json(figure: Figure) -> dict[str, object]:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "value": figure.value,
        "values": list(figure.values),
        "at_most": figure.at_most,
        "verdict": figure.verdict,
        "peer": figure.peer,
    }


def as_markdown(machine: str, results: Iterable[Result]) -> str:
    """A sentence about the machine, and a table for each measurement."""
    parts = [f"Measured with {machine}."]
    for result in results:
        measurement = result.measurement
        parts += [
            f"### {measurement.name}: `python -m tests.bench --only {measurement.name}`",
            f"{measurement.definition[0].upper()}{measurement.definition[1:]}",
        ]
        if result.skipped:
            parts.append(f"Not measured: {result.skipped}.")
        if result.figures:
            rows = "\n".join(_row(figure) for figure in result.figures)
            parts.append(f"| figure | value | spread | target | | peer |\n|---|--:|---|---|---|---|\n{rows}")
    return "\n\n".join(parts)


def _row(figure: Figure) -> str:
    verdict = f"**{figure.verdict}**" if figure.verdict == "miss" else figure.verdict
    value = f"{number(figure.value)} {figure.unit}"
    return f"| {figure.name} | {value} | {figure.spread} | {figure.target} | {verdict} | {figure.peer} |"


def replace_section(page: str, section: str) -> str:
    """Put a section between the two markers of a page; raises ValueError unless it has both, in this order."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no section between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"
