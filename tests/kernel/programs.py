"""C programs of ``tests/kernel/workloads``, compiled for a test and run under it."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ("FRAME_POINTERS", "build", "running")

_SOURCES = Path(__file__).parent / "workloads"

FRAME_POINTERS = ("-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer", "-fno-optimize-sibling-calls")
"""gcc leaves the frame out of a leaf without a stack whatever -fno-omit-frame-pointer says, hence the second."""


def build(folder: Path, source: str, *flags: str, name: str = "", options: Sequence[str] = FRAME_POINTERS) -> Path:
    """Compile one workload into ``folder`` and return the program."""
    program = folder / (name or source)
    command = [
        "gcc",
        "-Wall",
        "-Wextra",
        "-Werror",
        *options,
        *flags,
        "-o",
        str(program),
        str(_SOURCES / f"{source}.c"),
    ]
    subprocess.run(command, check=True)
    return program


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program; it and its children are killed at the end."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
