"""Messages that the tests of several formats write."""

from dataclasses import replace

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import CPU_SAMPLES, Frame, Function, Line, Mapping, Resource, SampleType

__all__ = ("CPU", "END_NS", "OFF_CPU", "SHELL", "START_NS", "WORKER", "example")

START_NS = 1_700_000_000_000_000_000
END_NS = START_NS + 5_000_000_000

CPU = replace(CPU_SAMPLES, period=10_000_000)
OFF_CPU = SampleType("off_cpu", "nanoseconds")

WORKER = Resource((("service.name", "shop"), ("process.pid", 71), ("process.executable.path", "/usr/bin/python3")))
SHELL = Resource((("service.name", "sh"), ("process.pid", 8), ("process.executable.name", "sh")))

LIBC = Mapping("/usr/lib/libc.so.6", 0x1000, 0x9000, 0x1000, build_id_gnu="c0ffee")
VMLINUX = Mapping("vmlinux", 0xFFFFFFFF81000000, 0xFFFFFFFF82000000, 0, build_id_gnu="beef")

BARE = Frame("native", 0x2345, LIBC)
WRITE = Frame("native", 0x3000, LIBC, (Line(Function("write", "__write", "write.c", 10), 12, 4),))
INLINED = Frame("native", 0x4000, LIBC, (Line(Function("inner"), 3), Line(Function("outer"), 9)))
SYSCALL = Frame("kernel", 0xFFFFFFFF81000010, VMLINUX, (Line(Function("do_syscall_64")),))
MAIN = Frame("cpython", 0, None, (Line(Function("<module>", "", "a;b.py", 1), 5),))


def example() -> ProfilesData:
    """Build nine on-CPU samples of two processes, and one off-CPU one."""
    builder = ProfilesBuilder(start_ns=START_NS, end_ns=END_NS, id_source=lambda: b"\1" * 16)
    thread = (("thread.id", 72), ("thread.name", "worker 1"), ("cpu.logical_number", 0))
    other = (("thread.id", 73), ("thread.name", "worker 2"), ("cpu.logical_number", 3), ("request", "a"), ("size", 9))
    stack = (SYSCALL, WRITE, INLINED, MAIN)
    builder.add(WORKER, CPU, stack, thread, timestamps_ns=(START_NS, START_NS + 1, START_NS + 2))
    builder.add(WORKER, CPU, (BARE, MAIN), thread, timestamps_ns=(START_NS + 3,))
    builder.add(WORKER, CPU, stack, other, timestamps_ns=(START_NS + 4, START_NS + 5))
    builder.add(WORKER, OFF_CPU, stack, thread, timestamps_ns=(START_NS + 6,), values=(1000,))
    builder.add(SHELL, CPU, (BARE,), values=(2,))
    builder.add(SHELL, CPU, (), values=(1,))
    return builder.build()
