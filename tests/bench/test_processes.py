import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.processes import cpu_time_ns, pss_without_bpf_maps_kib, tree

SMAPS = """\
55d0c0a00000-55d0c0a01000 r--p 00000000 fe:00 1234                       /usr/bin/python3.11
Size:                  4 kB
Pss:                 100 kB
Pss_Dirty:            50 kB
SwapPss:               7 kB
7f0000000000-7f0000100000 rw-s 00000000 00:0e 9                          anon_inode:bpf-map
Pss:                4096 kB
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
Pss:                  20 kB
"""


def test_mappings_of_bpf_maps_are_left_out() -> None:
    assert pss_without_bpf_maps_kib(SMAPS.splitlines()) == 120


def test_all_mappings_of_a_real_process_are_understood() -> None:
    smaps = Path("/proc/self/smaps").read_text().splitlines()
    rollup = Path("/proc/self/smaps_rollup").read_text().splitlines()
    total = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    assert abs(pss_without_bpf_maps_kib(smaps) - total) < 0.05 * total


def test_cpu_time_is_that_of_a_process_its_children_and_those_that_ended() -> None:
    # The parent spends nothing; one child burns a known time and ends, the other sleeps until its input does.
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    script = (
        "import subprocess, sys\n"
        "with subprocess.Popen(['cat'], stdin=sys.stdin):\n"
        f"    subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "    print('burnt', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        members, used_ns = tree(process.pid), cpu_time_ns(process.pid)
        process.communicate()

    assert len(members) == 2
    assert 280_000_000 < used_ns < 1_500_000_000


def test_the_clock_of_a_process_is_read_in_nanoseconds() -> None:
    before = time.process_time_ns()
    total = cpu_time_ns(os.getpid())
    assert total >= before
