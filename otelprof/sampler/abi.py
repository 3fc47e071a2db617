"""The shapes shared with the kernel side: Python's mirror of ``bpf/otelprof.h``.

The object carries the sizes its compiler saw (``struct op_abi``); :func:`check_abi` compares them
with this module at load, so that the two cannot drift apart.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from otelprof.errors import BpfError

__all__ = (
    "ABI",
    "BUILD_ID",
    "BUILD_IDS",
    "CONFIG",
    "COUNTERS",
    "COUNTER_NAMES",
    "HEADER",
    "IDENTITY",
    "KERNEL_STACK",
    "MAGIC",
    "MAPPING_ROW",
    "MAX_MAPPING_ROWS",
    "MAX_PROCESS_MAPPINGS",
    "MAX_USER_FRAMES",
    "NOTICE",
    "OUTCOME_SLOTS",
    "PROCESS",
    "PROCESS_READY",
    "SAMPLE_BYTES",
    "SAMPLE_HEADER",
    "USER_STACK",
    "USER_STACK_FRAME",
    "RecordKind",
    "Role",
    "SampleIdentity",
    "check_abi",
    "decode_comm",
    "parse_identity",
)


class RecordKind(IntEnum):
    """``enum op_record_kind``."""

    SAMPLE = 1
    KERNEL_STACK = 2
    USER_STACK = 3
    BUILD_IDS = 4
    NOTICE = 5


class Role(IntEnum):
    """``enum op_role``: what a process is to us."""

    OWN = 1
    SELECTED = 2


HEADER = struct.Struct("=HHI")
"""kind, weight, length of the whole record."""

IDENTITY = struct.Struct("=IIQQQQIHH16s")
"""pid, tid, space, kernel stack, user stack, cgroup, cpu, outcome, known, comm."""

SAMPLE_BYTES = HEADER.size + 8 + IDENTITY.size
SAMPLE_HEADER = int.from_bytes(HEADER.pack(RecordKind.SAMPLE, 1, SAMPLE_BYTES), "little")
"""The first word of a sample of weight 1, which nearly every record is."""

KERNEL_STACK = struct.Struct("=8xQ")
"""(header,) id; 8-byte addresses follow."""

USER_STACK = struct.Struct("=8xQQII")
"""(header,) id, space, pid, frame count; frames follow."""

USER_STACK_FRAME = struct.Struct("=QQ")
"""kind | flags << 8 | detail << 32, address."""

BUILD_IDS = struct.Struct("=8xQQ")
"""(header,) id of the stack, space; frames follow."""

BUILD_ID = struct.Struct("=i20sQ")
"""``struct bpf_stack_build_id``: status (1 = valid, 2 = bare address), build id, offset or address."""

NOTICE = struct.Struct("=8xQQQQQQIII4x16s")
"""(header,) space, parent space, start ns, start stack, executable inode, cgroup, pid, tid, parent pid, comm."""

MAPPING_ROW = struct.Struct("=QQQII")
"""start, end, bias, binary, generation."""

PROCESS = struct.Struct("=QQQIIII")
"""space, parent space, noticed ns, first row, row count, generation, flags."""

PROCESS_READY = 1

MAGIC = b"OTELPROF"
"""Start of ``struct op_fixed`` in the object's read-only data; ABI and CONFIG follow."""

CONFIG = struct.Struct("=QQII")
"""hash seed, time budget ns, selecting, inode of the PID namespace."""

OUTCOME_SLOTS = 8
COUNTER_NAMES = (
    "ticks",
    "idle",
    "own",
    "filtered",
    "captured",
    "submitted",
    "lost_sample_ring_full",
    "lost_stack_ring_full",
    "unknown_process",
    "notices_lost",
    "roles_full",
)
COUNTERS = struct.Struct(f"={len(COUNTER_NAMES) + OUTCOME_SLOTS}Q")

MAX_MAPPING_ROWS = 65536
MAX_PROCESS_MAPPINGS = 8191
MAX_USER_FRAMES = 1024

ABI = struct.Struct("=16I")
_EXPECTED = (
    ("sample", SAMPLE_BYTES),
    ("identity offset", HEADER.size + 8),
    ("identity", IDENTITY.size),
    ("frame", USER_STACK_FRAME.size),
    ("user stack header", USER_STACK.size),
    ("kernel stack header", KERNEL_STACK.size),
    ("build ids header", BUILD_IDS.size),
    ("build id", BUILD_ID.size),
    ("notice", NOTICE.size),
    ("mapping row", MAPPING_ROW.size),
    ("process", PROCESS.size),
    ("counters", COUNTERS.size),
    ("config", CONFIG.size),
    ("mapping rows", MAX_MAPPING_ROWS),
    ("mappings of a process", MAX_PROCESS_MAPPINGS),
    ("user frames", MAX_USER_FRAMES),
)


def check_abi(data: bytes) -> None:
    """Compare the object's ``struct op_abi`` with this module; raises BpfError naming what differs."""
    if len(data) != ABI.size:
        raise BpfError(f"the BPF object has an ABI record of {len(data)} bytes, not {ABI.size}; run `make bpf`")
    for (name, expected), found in zip(_EXPECTED, ABI.unpack(data), strict=True):
        if expected != found:
            raise BpfError(f"the BPF object has another {name} size ({found}, not {expected}); run `make bpf`")


@dataclass(frozen=True, slots=True)
class SampleIdentity:
    """``struct op_identity``: what makes two samples the same but for their time."""

    pid: int
    tid: int
    space: int
    kernel_stack: int
    user_stack: int
    cgroup: int
    cpu: int
    outcome: int
    known: bool
    comm: str


def parse_identity(data: bytes) -> SampleIdentity:
    """Decode the 64 bytes that :meth:`otelprof.sampler.ring.SampleRing.drain` groups samples by."""
    pid, tid, space, kernel_stack, user_stack, cgroup, cpu, outcome, known, comm = IDENTITY.unpack(data)
    return SampleIdentity(
        pid, tid, space, kernel_stack, user_stack, cgroup, cpu, outcome, bool(known), decode_comm(comm)
    )


def decode_comm(comm: bytes) -> str:
    """A task's name up to its NUL; bytes that are not UTF-8 are replaced."""
    return comm.split(b"\0", 1)[0].decode("utf-8", "replace")
