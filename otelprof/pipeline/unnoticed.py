"""Processes whose notice was lost: what a sample itself tells of them has to do."""

from otelprof.processes.table import Process
from otelprof.sampler.abi import SampleIdentity
from otelprof.sampler.records import Notice

__all__ = ("is_unnoticed", "notice_in_lieu")

_NO_START = 0
"""Every process that is noticed has started after the boot."""


def notice_in_lieu(sample: SampleIdentity) -> Notice:
    """Put a notice together from a sample."""
    return Notice(
        space=sample.space,
        pid=sample.pid,
        tid=sample.tid,
        parent_pid=0,
        start_ns=_NO_START,
        start_stack=0,
        executable_inode=0,
        cgroup_id=sample.cgroup,
        comm=sample.comm,
    )


def is_unnoticed(process: Process) -> bool:
    """Whether a process was learnt in this way: more may be learnt of it when the next notice comes."""
    return process.start_ns == _NO_START
