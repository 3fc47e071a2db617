"""Reading what is known of a process: from its folder in procfs, or from what is left when it has ended."""

from contextlib import suppress
from dataclasses import dataclass, replace

from otelprof.errors import OtelprofError
from otelprof.processes.boot_clock import BootClock
from otelprof.processes.cgroup_tree import CgroupTree
from otelprof.processes.cgroups import MAX_CGROUP_BYTES, CgroupInfo, parse_cgroup
from otelprof.processes.command_line import read_arguments
from otelprof.processes.environment import read_environment
from otelprof.processes.procfs import ProcessDirectory
from otelprof.processes.resource import ProcessInfo
from otelprof.processes.service import Service, infer_service, read_declaration
from otelprof.sampler.records import Notice

__all__ = ("InfoReader",)

_KTHREADD = 2
"""Parent of all kernel threads, and PID of nothing else where kernel threads are seen at all."""

_MAX_COMMAND_LINE_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class InfoReader:
    """Reads ProcessInfo.

    ``infer_from_command`` lets an interpreter's arguments name the service of a process that declares none;
    ``with_command_line`` keeps the whole command line. Without either, no command line is read.
    """

    clock: BootClock
    cgroups: CgroupTree
    infer_from_command: bool = False
    with_command_line: bool = False

    def read(self, directory: ProcessDirectory, cgroup_id: int = 0) -> ProcessInfo:
        """Read a living process; what may not be read stays unknown.

        ``cgroup_id`` is noted together with the path, for processes of the group that end too soon.
        """
        stat = directory.at_open
        executable = cgroup_text = b""
        with suppress(OtelprofError):
            executable = directory.link("exe")
        with suppress(OtelprofError):
            cgroup_text = directory.read("cgroup", MAX_CGROUP_BYTES)
        path = executable.decode("utf-8", "replace").removesuffix(" (deleted)")
        declaration = read_declaration(read_environment(directory))
        arguments = read_arguments(directory) if self.infer_from_command or self.with_command_line else ()
        cgroup = parse_cgroup(cgroup_text)
        if cgroup_id:
            self.cgroups.remember(cgroup_id, cgroup_text)
        return ProcessInfo(
            pid=stat.pid,
            service=Service(declaration.service, inferred=False)
            if declaration.service
            else infer_service(
                path,
                stat.comm,
                is_kernel_thread=stat.is_kernel_thread,
                arguments=arguments if self.infer_from_command else (),
            ),
            creation_time=self.clock.creation_time(stat.start_ticks),
            executable=path,
            declared=declaration.attributes,
            cgroup=cgroup,
            entity_id=self.cgroups.entity_id(directory, cgroup_text, cgroup.container_id),
            command_line=" ".join(arguments)[:_MAX_COMMAND_LINE_CHARACTERS] if self.with_command_line else "",
        )

    def recall(self, notice: Notice, parent: ProcessInfo | None) -> ProcessInfo:
        """Put together what a notice and its control group tell of a process that has ended.

        ``parent`` is given for a process that was forked and still ran its parent's program.
        """
        path = self.cgroups.path(notice.cgroup_id)
        creation_time = self.clock.creation_time(self.clock.ticks(notice.start_ns))
        # The root says nothing of containers: on hosts with v1, everybody is in v2's root.
        if parent is not None and path in {None, "/", parent.cgroup.path}:
            return replace(parent, pid=notice.pid, creation_time=creation_time)
        cgroup = parse_cgroup(b"0::" + path.encode("utf-8", "surrogateescape")) if path is not None else CgroupInfo()
        info = parent or ProcessInfo(notice.pid, _service_of_ended(notice))
        return replace(
            info,
            pid=notice.pid,
            creation_time=creation_time,
            cgroup=cgroup,
            entity_id=f"ci-{cgroup.container_id}" if cgroup.container_id else "",
        )


def _service_of_ended(notice: Notice) -> Service:
    no_program = not notice.start_stack and not notice.executable_inode
    return infer_service("", notice.comm, is_kernel_thread=no_program and notice.parent_pid == _KTHREADD)
