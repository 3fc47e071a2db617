"""Findings for people and for programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from otelprof.doctor.finding import Finding, Status, record_works
from otelprof.terminal import Color, one_line, paint

__all__ = ("as_json", "as_table")

_COLORS = {Status.OK: Color.GREEN, Status.DEGRADED: Color.YELLOW, Status.MISSING: Color.RED}
_STATUS_WIDTH = max(len(status.value) for status in Status)


def as_table(findings: Sequence[Finding], *, color: bool) -> str:
    """Make a table with one line for each finding, the reason and the fix below what is not OK, and a verdict."""
    name_width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        lines.append(paint(topic, Color.BOLD) if color else topic)
        for finding in group:
            mark = finding.status.value.ljust(_STATUS_WIDTH)
            if color:
                mark = paint(mark, _color_of(finding))
            lines.append(f"  {mark}  {finding.name:{name_width}}  {one_line(finding.found)}")
            if finding.status is not Status.OK:
                indent = " " * (_STATUS_WIDTH + name_width + 6)
                lines += (f"{indent}why: {finding.why}", f"{indent}fix: {finding.fix}")
        lines.append("")
    return "\n".join((*lines, _verdict(findings), ""))


def as_json(findings: Sequence[Finding]) -> str:
    """Make a JSON document: ``record_works`` and the list of ``findings``, all fields of each."""
    document = {
        "record_works": record_works(findings),
        "findings": [{**asdict(finding), "status": finding.status.value} for finding in findings],
    }
    return json.dumps(document, indent=2) + "\n"


def _color_of(finding: Finding) -> Color:
    if finding.status is Status.MISSING and not finding.required:
        return Color.YELLOW
    return _COLORS[finding.status]


def _verdict(findings: Sequence[Finding]) -> str:
    missing = [finding.name for finding in findings if finding.required and finding.status is Status.MISSING]
    if missing:
        return f"otelprof record cannot work here; it lacks: {', '.join(missing)}"
    degraded = [finding.name for finding in findings if finding.status is Status.DEGRADED]
    if degraded:
        return f"otelprof record works here, with limits: {', '.join(degraded)}"
    return "otelprof record works here"
