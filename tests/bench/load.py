"""Work for the profiler to look at."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ("busy_cores",)

# Work of several kinds: a loop that is always at one place would make every stack the same.
_BUSY = """
import json, re, zlib
record = {str(number): [number, str(number) * 3, {"value": number / 7}] for number in range(200)}
words = re.compile(r"[a-z]+")
print("busy", flush=True)
while True:
    text = json.dumps(record)
    json.loads(text)
    words.findall(text)
    zlib.compress(text.encode())
    sorted(record, key=lambda key: record[key][1])
"""


@contextmanager
def busy_cores(count: int) -> Iterator[list[int]]:
    """Keep ``count`` cores busy, each with a process of its own; yields their PIDs when all are at work."""
    with ExitStack() as stack:
        processes = []
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE))
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"busy\n"
        yield [process.pid for process in processes]
