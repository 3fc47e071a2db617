"""Tries everything that profiling this host needs, and says what is missing, why it matters, and the fix."""

from otelprof.doctor.bpf import bpf_findings
from otelprof.doctor.finding import Finding, Status, record_works
from otelprof.doctor.installation import installation_findings
from otelprof.doctor.kernel import kernel_findings
from otelprof.doctor.machine import Machine, this_machine
from otelprof.doctor.privileges import privilege_findings
from otelprof.doctor.report import as_json, as_table
from otelprof.doctor.surroundings import surroundings_findings

__all__ = ("Finding", "Machine", "Status", "as_json", "as_table", "examine", "record_works", "this_machine")


def examine(machine: Machine) -> list[Finding]:
    """Make every examination once, in the order in which a reader wants to know."""
    return [
        *kernel_findings(machine),
        *privilege_findings(machine),
        *bpf_findings(machine),
        *surroundings_findings(machine),
        *installation_findings(machine),
    ]
