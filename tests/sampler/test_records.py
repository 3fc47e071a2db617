import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelprof.errors import BadRecord, BpfError
from otelprof.sampler import abi
from otelprof.sampler.core import definition_ring_bytes, parse_record, sample_ring_bytes
from otelprof.sampler.records import (
    BuildIdFrame,
    BuildIds,
    FrameKind,
    Notice,
    RawFrame,
    StackDefinition,
    decode_frame,
)


def record(kind: abi.RecordKind, body: bytes) -> memoryview:
    return memoryview(abi.HEADER.pack(kind, 0, abi.HEADER.size + len(body)) + body)


def test_a_user_stack_keeps_kind_binary_and_return_flag_of_each_frame() -> None:
    leaf, caller = (FrameKind.NATIVE | 7 << 32, 0x1000), (FrameKind.RAW | 1 << 8, 0x7F00)
    body = struct.pack("=QQII", 42, 9, 77, 2) + struct.pack("=4Q", *leaf, *caller)

    parsed = parse_record(record(abi.RecordKind.USER_STACK, body))

    assert isinstance(parsed, StackDefinition)
    assert parsed == StackDefinition(42, 9, 77, struct.pack("=4Q", *leaf, *caller))
    assert list(parsed.frames()) == [leaf, caller]
    assert decode_frame(leaf) == RawFrame(FrameKind.NATIVE, 0x1000, 7, is_return_address=False)
    assert decode_frame(caller) == RawFrame(FrameKind.RAW, 0x7F00, 0, is_return_address=True)


def test_a_kernel_stack_has_an_exact_leaf_and_return_addresses_above() -> None:
    parsed = parse_record(record(abi.RecordKind.KERNEL_STACK, struct.pack("=3Q", 5, 100, 200)))

    assert isinstance(parsed, StackDefinition)
    assert [decode_frame(frame) for frame in parsed.frames()] == [
        RawFrame(FrameKind.KERNEL, 100, 0, is_return_address=False),
        RawFrame(FrameKind.KERNEL, 200, 0, is_return_address=True),
    ]


def test_build_ids_tell_known_frames_from_bare_addresses() -> None:
    frames = struct.pack("=i20sQ", 1, b"\xab" * 20, 0x40) + struct.pack("=i20sQ", 2, b"", 0x7000)

    parsed = parse_record(record(abi.RecordKind.BUILD_IDS, struct.pack("=QQ", 5, 6) + frames))

    assert parsed == BuildIds(5, 6, (BuildIdFrame(b"\xab" * 20, 0x40), BuildIdFrame(b"", 0x7000)))


def test_a_notice_carries_what_identifies_a_program() -> None:
    body = struct.pack("=6Q3I4x16s", 1, 2, 3, 4, 5, 6, 7, 8, 9, b"caf\xe9\0junk")

    assert parse_record(record(abi.RecordKind.NOTICE, body)) == Notice(
        space=1,
        parent_space=2,
        start_ns=3,
        start_stack=4,
        executable_inode=5,
        cgroup_id=6,
        pid=7,
        tid=8,
        parent_pid=9,
        comm="caf\N{REPLACEMENT CHARACTER}",
    )


def test_a_stack_with_a_wrong_frame_count_is_refused() -> None:
    with pytest.raises(BadRecord, match="2 frames came with 16 bytes"):
        parse_record(record(abi.RecordKind.USER_STACK, struct.pack("=QQII2Q", 1, 1, 1, 2, 1, 1)))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 7), st.binary(max_size=200), st.integers(0, 300))
def test_no_record_raises_anything_but_bad_record(kind: int, body: bytes, length: int) -> None:
    with contextlib.suppress(BadRecord):
        parse_record(memoryview(abi.HEADER.pack(kind, 0, length) + body))


def test_an_object_of_another_abi_is_refused_by_name() -> None:
    sizes = [value for _, value in abi._EXPECTED]
    abi.check_abi(abi.ABI.pack(*sizes))
    sizes[5] += 8

    with pytest.raises(BpfError, match=r"kernel stack header size \(24, not 16\); run `make bpf`"):
        abi.check_abi(abi.ABI.pack(*sizes))


@pytest.mark.parametrize(
    ("frequency_hz", "cpus", "expected"), [(19, 2, 1 << 16), (99, 64, 1 << 22), (1000, 512, 1 << 24)]
)
def test_the_sample_ring_holds_four_seconds_within_limits(frequency_hz: int, cpus: int, expected: int) -> None:
    assert sample_ring_bytes(frequency_hz, cpus) == expected


@pytest.mark.parametrize(
    ("frequency_hz", "cpus", "expected"), [(19, 2, 1 << 20), (99, 16, 1 << 21), (999, 64, 1 << 23)]
)
def test_the_definition_ring_grows_with_the_samples_within_limits(frequency_hz: int, cpus: int, expected: int) -> None:
    assert definition_ring_bytes(frequency_hz, cpus) == expected
