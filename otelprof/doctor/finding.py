"""One result of an examination."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

__all__ = ("Finding", "Status", "record_works")


class Status(Enum):
    """How it stands with one requirement."""

    OK = "ok"
    DEGRADED = "degraded"
    """Profiling works, with something less to see."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing that profiling needs or uses.

    ``found`` states it, ``why`` says what it is for, and ``fix``, where the status is not OK, how to get it.
    Without what is ``required``, ``record`` cannot work.
    """

    topic: str
    name: str
    status: Status
    found: str
    why: str
    fix: str = ""
    required: bool = False


def record_works(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing that is required is missing."""
    return not any(finding.required and finding.status is Status.MISSING for finding in findings)
