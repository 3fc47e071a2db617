"""The sampler's programs in the running kernel."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otelprof.sampler import abi
from otelprof.sampler.core import CoreSampler
from otelprof.sampler.libbpf import load_libbpf
from otelprof.sampler.mapping_rows import MappingRow
from otelprof.sampler.records import FrameKind, Notice, Outcome, Record, StackDefinition, decode_frame
from otelprof.sampler.ring import SampleGroups
from otelprof.sampler.sampler import SamplerConfig
from tests.gates import require_kernel
from tests.kernel.programs import build, running

pytestmark = pytest.mark.kernel

PATIENCE_S = 20.0


@pytest.fixture(autouse=True, scope="module")
def _kernel() -> None:
    require_kernel()


class Session:
    """A started sampler and everything that it has yielded."""

    def __init__(self, sampler: CoreSampler) -> None:
        self.sampler = sampler
        self.groups: SampleGroups = {}
        self.records: list[Record] = []

    def drain(self) -> None:
        self.sampler.drain_samples(self.groups)
        self.records += self.sampler.drain_records()

    def drain_until(self, done: Callable[[], bool]) -> None:
        """Drain until the condition holds; the test fails when it never does."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, "what the test waits for did not happen"
            time.sleep(0.02)
            self.drain()

    def of(self, pid: int) -> list[tuple[abi.SampleIdentity, int]]:
        identities = [(abi.parse_identity(key), len(times)) for key, times in self.groups.items()]
        return [(identity, count) for identity, count in identities if identity.pid == pid]

    def count(self, pid: int) -> int:
        return sum(count for _, count in self.of(pid))

    def definitions(self) -> dict[int, StackDefinition]:
        return {record.stack_id: record for record in self.records if isinstance(record, StackDefinition)}

    def notices(self, pid: int) -> list[Notice]:
        return [record for record in self.records if isinstance(record, Notice) and record.pid == pid]


@contextmanager
def sampling(config: SamplerConfig, *pids: int) -> Iterator[Session]:
    sampler = CoreSampler(config)
    try:
        sampler.start()
        for pid in pids:
            sampler.set_role(pid, abi.Role.SELECTED)
        yield Session(sampler)
    finally:
        sampler.close()


def selected(frequency_hz: int = 999) -> SamplerConfig:
    return SamplerConfig(frequency_hz=frequency_hz, selected_only=True)


def executable_rows(pid: int, own: int) -> list[MappingRow]:
    """Rows of a process as user space would give them: its own code is ``own``, each library has a number too."""
    program = str(Path(f"/proc/{pid}/exe").readlink())
    rows = []
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        addresses, permissions, offset, _, inode, *path = line.split(maxsplit=5)
        if "x" in permissions:
            start, end = (int(part, 16) for part in addresses.split("-"))
            binary = own if path == [program] else int(inode)
            rows.append(MappingRow(start, end, start - int(offset, 16) if binary else 0, binary))
    return rows


def test_every_tick_has_a_place_and_every_captured_sample_an_outcome() -> None:
    with (
        sampling(SamplerConfig(frequency_hz=500)) as session,
        running(sys.executable, "-c", "while True: pass") as busy,
    ):
        session.sampler.set_role(os.getpid(), abi.Role.OWN)
        session.drain_until(lambda: session.count(busy.pid) > 200)
        # Draining alone is so little work that no tick may have met it.
        session.drain_until(lambda: sum(range(1_000_000)) > 0 and session.sampler.counters().own > 0)
        session.sampler.stop()
        session.drain()
        counters = session.sampler.counters()

    assert counters.ticks == counters.idle + counters.own + counters.filtered + counters.captured
    assert counters.captured == counters.submitted + sum(counters.lost.values())
    assert counters.captured == sum(counters.outcomes.values())
    assert sum(map(len, session.groups.values())) == counters.submitted
    assert counters.own > 0
    assert counters.ticks <= session.sampler.expected_ticks() + len(os.sched_getaffinity(0))


def test_every_stack_of_a_sample_is_defined_once_its_records_are_drained() -> None:
    with (
        sampling(SamplerConfig(frequency_hz=997)) as session,
        running(sys.executable, "-c", "while True: pass") as busy,
    ):
        for _ in range(20):
            session.groups.clear()
            session.drain_until(lambda: session.count(busy.pid) > 0)
            defined = session.definitions()
            for identity in map(abi.parse_identity, session.groups):
                assert identity.user_stack in defined or identity.user_stack == 0
                assert identity.kernel_stack in defined or identity.kernel_stack == 0


def test_an_unknown_process_is_sampled_noticed_and_explained_by_build_ids(tmp_path: Path) -> None:
    program = build(tmp_path, "recurse")
    with running(program, "5") as busy, sampling(selected(), busy.pid) as session:
        session.drain_until(lambda: session.count(busy.pid) > 50)
        notice = session.notices(busy.pid)[0]
        [(_, start_ticks)] = [(0, int(Path(f"/proc/{busy.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]))]
        usual, _ = max(session.of(busy.pid), key=lambda found: found[1])
        stack = session.definitions()[usual.user_stack]

    assert notice.comm == "recurse"
    assert notice.parent_pid == os.getpid()
    assert notice.executable_inode == program.stat().st_ino
    assert notice.start_ns // 10_000_000 == start_ticks
    assert stack.space == notice.space
    assert {decode_frame(words).kind for words in stack.frames()} == {FrameKind.RAW}
    assert len(list(stack.frames())) >= 8
    explained = [record for record in session.records if getattr(record, "stack_id", 0) == stack.stack_id]
    assert len(explained) == 2


def test_a_described_process_has_frames_of_its_file_and_one_stack_across_processes(tmp_path: Path) -> None:
    program = build(tmp_path, "recurse")
    with running(program, "3") as one, running(program, "3") as two, sampling(selected(), one.pid, two.pid) as session:
        session.drain_until(lambda: bool(session.notices(one.pid)) and bool(session.notices(two.pid)))
        for process in (one, two):
            space = session.notices(process.pid)[0].space
            assert session.sampler.describe(process.pid, space, executable_rows(process.pid, 7))
        session.groups.clear()
        session.drain_until(lambda: session.count(one.pid) > 50 and session.count(two.pid) > 50)
        stacks = session.definitions()
        known = [
            {
                identity.user_stack
                for identity, _ in session.of(process.pid)
                if identity.known and not identity.kernel_stack
            }
            for process in (one, two)
        ]

    shared = known[0] & known[1]
    assert shared
    frames = [decode_frame(words) for words in stacks[shared.pop()].frames()]
    native = [frame for frame in frames if frame.kind is FrameKind.NATIVE]
    own = [frame.address for frame in native if frame.detail == 7]
    assert len(own) >= 5
    assert all(address < program.stat().st_size for address in own)


def test_children_inherit_the_role_and_the_mappings_but_not_the_identity(tmp_path: Path) -> None:
    code = "import os\nwhile True:\n if os.fork() == 0:\n  n = 3_000_000\n  while n: n -= 1\n  os._exit(0)\n os.wait()"
    with running(sys.executable, "-c", code) as parent, sampling(selected(), parent.pid) as session:
        session.drain_until(lambda: bool(session.notices(parent.pid)))
        space = session.notices(parent.pid)[0].space
        session.sampler.describe(parent.pid, space, executable_rows(parent.pid, 1))

        def children() -> list[Notice]:
            return [record for record in session.records if isinstance(record, Notice) and record.parent_space == space]

        session.drain_until(lambda: len(children()) >= 2)
        first, second = children()[:2]
        session.drain_until(lambda: session.count(first.pid) > 0)

    assert first.parent_pid == parent.pid
    assert len({space, first.space, second.space}) == 3
    assert all(identity.known for identity, _ in session.of(first.pid))


def test_two_programs_at_equal_addresses_are_never_one_stack(tmp_path: Path) -> None:
    """Without address randomisation both run the same instructions at the same places."""
    programs = [
        build(tmp_path, "other_name", f"-DNAME={name}", "-no-pie", name=name) for name in ("first_name", "other_name")
    ]
    code = "import os,sys\nfor p in sys.argv[1:]:\n if os.fork() == 0: os.execv(p, [p])\nos.wait()"
    with (
        running("setarch", "-R", sys.executable, "-c", code, *programs) as parent,
        sampling(selected(), parent.pid) as session,
    ):
        names = {"first_name", "other_name"}

        def of_comm(comm: str) -> Counter[int]:
            found: Counter[int] = Counter()
            for key, times in session.groups.items():
                identity = abi.parse_identity(key)
                if identity.comm == comm and identity.user_stack:
                    found[identity.user_stack] += len(times)
            return found

        def tell() -> bool:
            session.drain()
            return all(of_comm(name).total() > 50 for name in names)

        # Roles were given after the forks or before them: select what runs now as well.
        for entry in Path("/proc").glob("[0-9]*/comm"):
            if entry.read_text().strip() in names:
                session.sampler.set_role(int(entry.parent.name), abi.Role.SELECTED)
        session.drain_until(tell)
        first, other = of_comm("first_name"), of_comm("other_name")
        definitions = session.definitions()
        subprocess.run(["pkill", "-9", "-P", str(parent.pid)], check=False)

    leaves = [{next(definitions[stack].frames()) for stack in stacks} for stacks in (first, other)]
    assert leaves[0] & leaves[1], "the programs do run at equal addresses"
    assert not first.keys() & other.keys()


def test_a_full_ring_loses_samples_by_name_and_recovers(tmp_path: Path) -> None:
    config = SamplerConfig(frequency_hz=999, selected_only=True, sample_ring_bytes=4096)
    with running(build(tmp_path, "recurse")) as busy, sampling(config, busy.pid) as session:
        sampler = session.sampler
        wait_for(lambda: sampler.counters().lost["sample_ring_full"] > 50)
        session.drain()
        assert sum(map(len, session.groups.values())) == 4096 // 88
        session.drain_until(lambda: session.count(busy.pid) > 500)
        sampler.stop()
        session.drain()
        counters = sampler.counters()

    assert counters.captured == counters.submitted + counters.lost["sample_ring_full"]
    assert session.count(busy.pid) == counters.submitted


def test_a_full_definition_ring_loses_samples_by_name(tmp_path: Path) -> None:
    config = SamplerConfig(frequency_hz=999, selected_only=True, definition_ring_bytes=4096)
    with running(build(tmp_path, "recurse"), "300") as busy, sampling(config, busy.pid) as session:
        wait_for(lambda: session.sampler.counters().lost["stack_ring_full"] > 20)
        session.sampler.stop()
        counters = session.sampler.counters()

    assert counters.captured == counters.submitted + sum(counters.lost.values())


def test_a_small_table_of_seen_stacks_only_costs_repeated_definitions() -> None:
    config = SamplerConfig(frequency_hz=997, seen_stacks=2)
    with (
        sampling(config) as session,
        running(sys.executable, "-c", "import re\nwhile True: re.compile('a' * 50)") as busy,
    ):
        session.drain_until(lambda: session.count(busy.pid) > 400)
        defined = session.definitions()

    repeated = Counter(record.stack_id for record in session.records if isinstance(record, StackDefinition))
    assert max(repeated.values()) > 1
    assert all(identity.user_stack in defined for identity, _ in session.of(busy.pid) if identity.user_stack)


def test_an_epoch_defines_every_stack_once_more(tmp_path: Path) -> None:
    with running(build(tmp_path, "recurse")) as busy, sampling(selected(), busy.pid) as session:
        session.drain_until(lambda: session.count(busy.pid) > 50)
        known = session.definitions().keys()
        session.sampler.next_epoch()
        session.records.clear()
        session.drain_until(lambda: bool(known & session.definitions().keys()))


def test_a_deep_recursion_is_walked_to_its_limit_and_says_so(tmp_path: Path) -> None:
    program = build(tmp_path, "recurse")
    with (
        running(program, "900") as deep,
        running(program, "2000") as deeper,
        sampling(selected(), deep.pid, deeper.pid) as session,
    ):
        session.drain_until(lambda: session.count(deep.pid) > 20 and session.count(deeper.pid) > 20)
        stacks = session.definitions()
        counters = session.sampler.counters()

    depth = max(len(list(stacks[identity.user_stack].frames())) for identity, _ in session.of(deep.pid))
    assert 900 < depth < 910
    assert counters.outcomes[Outcome.TOO_DEEP] > 0
    assert (
        max(len(list(stacks[identity.user_stack].frames())) for identity, _ in session.of(deeper.pid))
        == abi.MAX_USER_FRAMES
    )


def test_a_time_budget_cuts_a_walk(tmp_path: Path) -> None:
    config = SamplerConfig(frequency_hz=999, selected_only=True, time_budget_ns=1)
    with running(build(tmp_path, "recurse"), "100") as busy, sampling(config, busy.pid) as session:
        session.drain_until(lambda: session.count(busy.pid) > 20)
        stacks = session.definitions()

    cut = [identity for identity, _ in session.of(busy.pid) if identity.outcome == Outcome.TIME_BUDGET]
    assert cut
    assert all(len(list(stacks[identity.user_stack].frames())) < 20 for identity in cut)


def test_a_notice_wakes_the_reader(tmp_path: Path) -> None:
    with running(build(tmp_path, "recurse")) as busy, sampling(selected()) as session:
        poll = select.epoll()
        poll.register(session.sampler.fileno(), select.EPOLLIN | select.EPOLLET)
        poll.poll(0)
        session.sampler.set_role(busy.pid, abi.Role.SELECTED)
        events = poll.poll(PATIENCE_S)
        session.drain()
        poll.close()

    assert events
    assert session.notices(busy.pid)


def test_in_a_pid_namespace_numbers_are_those_seen_from_inside() -> None:
    """Run in a namespace of its own, the sampler sees itself as process 1 and not the processes outside."""
    code = """
import os, sys, time
from otelprof.sampler import abi
from otelprof.sampler.core import CoreSampler
from otelprof.sampler.sampler import SamplerConfig
inode = os.stat("/proc/self/ns/pid").st_ino
sampler = CoreSampler(SamplerConfig(frequency_hz=999, pid_namespace_inode=inode))
sampler.start()
groups = {}
deadline = time.monotonic() + 20
while sum(map(len, groups.values())) < 50 and time.monotonic() < deadline:
    sampler.drain_samples(groups)
print(os.getpid(), sorted({(i.pid, i.tid) for i in map(abi.parse_identity, groups)}), sampler.counters().filtered)
"""
    with running(sys.executable, "-c", "while True: pass"):
        command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
        result = subprocess.run(command, check=True, capture_output=True, text=True)

    pid, seen = result.stdout.strip().split(" ", 1)
    assert pid == "1"
    assert seen.startswith("[(1, 1)]")
    assert int(seen.rsplit(" ", 1)[1]) > 0


def test_nothing_is_left_in_the_kernel_after_kill_9() -> None:
    code = (
        "import sys, signal\nfrom otelprof.sampler.core import CoreSampler\n"
        "from otelprof.sampler.sampler import SamplerConfig\n"
        "sampler = CoreSampler(SamplerConfig(frequency_hz=99))\nsampler.start()\n"
        "print('ready', flush=True)\nsignal.pause()"
    )
    before, maps_before = loaded("prog"), loaded("map")
    with running(sys.executable, "-c", code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        during, maps_during = loaded("prog") - before, loaded("map") - maps_before
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert len(during) == 3
    assert len(maps_during) > 5
    wait_for(lambda: not during & loaded("prog") and not maps_during & loaded("map"))


def test_a_cpu_that_goes_and_comes_back_is_sampled_again() -> None:
    switch = Path("/sys/devices/system/cpu/cpu1/online")
    if not os.access(switch, os.W_OK):
        pytest.skip("this machine has no CPU that can be taken offline")
    with sampling(SamplerConfig(frequency_hz=500)) as session:

        def ticks_on_cpu1() -> int:
            return sum(len(t) for key, t in session.groups.items() if abi.parse_identity(key).cpu == 1)

        try:
            try:
                switch.write_text("0")
            except OSError as error:
                pytest.skip(f"CPU 1 cannot be taken offline here: {error.strerror}")
            assert session.sampler.follow_hotplug()
        finally:
            switch.write_text("1")
        assert session.sampler.follow_hotplug()
        with running("taskset", "-c", "1", sys.executable, "-c", "while True: pass"):
            session.groups.clear()
            session.drain_until(lambda: ticks_on_cpu1() > 50)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for something outside of this process, which gives no event to wait on."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)


def loaded(what: str) -> set[int]:
    """Ids of all BPF programs (``prog``) or maps (``map``) in the kernel."""
    ids, current = set(), ctypes.c_uint32()
    next_id = getattr(load_libbpf(), f"bpf_{what}_get_next_id")
    while next_id(current, ctypes.byref(current)) == 0:
        ids.add(current.value)
    return ids
