"""What a parser left behind is read without trusting it."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.artifacts import wire
from otelprof.artifacts.output import OutputFile
from otelprof.errors import BadArtifact

MAX_BYTES = 4096


@contextmanager
def output_with(data: bytes) -> Iterator[OutputFile]:
    with closing(OutputFile(MAX_BYTES)) as output:
        os.pwrite(output.descriptor, data, 0)
        yield output


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=64))
def test_any_length_gives_that_many_bytes_or_bad_artifact(length: int, data: bytes) -> None:
    with output_with(wire.OUTPUT.pack(length) + data) as output:
        if length <= MAX_BYTES - wire.OUTPUT.size:
            assert output.payload() == data.ljust(length, b"\0")[:length]
        else:
            with pytest.raises(BadArtifact):
                output.payload()
            with pytest.raises(BadArtifact):
                output.reason()


@given(st.binary(max_size=1000))
def test_a_reason_is_one_short_printable_line(data: bytes) -> None:
    with output_with(wire.OUTPUT.pack(len(data)) + data) as output:
        reason = output.reason()
        assert reason.isprintable()
        assert len(reason) <= wire.MAX_MESSAGE_BYTES


def test_nobody_can_change_what_was_read() -> None:
    with output_with(wire.OUTPUT.pack(4) + b"good") as output:
        payload = output.payload()
        with pytest.raises(PermissionError):
            os.pwrite(output.descriptor, b"evil", wire.OUTPUT.size)
    assert bytes(payload) == b"good"
