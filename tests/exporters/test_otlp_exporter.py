"""What the exporter sends, and what it makes of a receiver's answers."""

import time
from collections import Counter
from typing import NamedTuple

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof import __version__
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.exporter import Exporter, ExporterFactory, ExportResult, load_exporter
from otelprof_otlp import OtlpExporter
from otelprof_otlp.status import OtlpExportError, retry_delay_s
from tests.exporters.messages import batch
from tests.exporters.receiver import ACCEPT, Receiver, accept_partly, refuse, running_receiver

Code = grpc.StatusCode

# google.rpc.Status{code: 14, details: [Any{type_url: ".../google.rpc.RetryInfo", value: RetryInfo{...}}]}, by hand.
_TYPE_URL = b"type.googleapis.com/google.rpc.RetryInfo"


def status_with_retry_info(seconds: int) -> bytes:
    retry_info = bytes([0x0A, 2, 0x08, seconds])
    detail = bytes([0x0A, len(_TYPE_URL)]) + _TYPE_URL + bytes([0x12, len(retry_info)]) + retry_info
    return bytes([0x08, 14, 0x1A, len(detail)]) + detail


def exporter_to(receiver: Receiver, **options: object) -> OtlpExporter:
    return OtlpExporter.from_options({"endpoint": f"http://{receiver.endpoint}", **options}, {})


def export(receiver: Receiver, given_batch: Batch, **options: object) -> ExportResult:
    exporter = exporter_to(receiver, **options)
    try:
        return exporter.export(given_batch)
    finally:
        exporter.close()


def test_it_is_an_exporter_found_by_its_name() -> None:
    factory: ExporterFactory = load_exporter("otlp")
    exporter: Exporter = factory.from_options({}, {})

    assert isinstance(exporter, OtlpExporter)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_payload_arrives_as_it_is_with_version_and_headers(compression: str) -> None:
    window = batch(processes=3)
    with running_receiver() as receiver:
        result = export(receiver, window, compression=compression, headers={"x-tenant": "a"})

    assert result == ExportResult(exported=9)
    assert receiver.payloads == [window.payload]
    (metadata,) = receiver.metadata
    assert metadata["otlp-profiles-development-version"] == "1"
    assert metadata["x-tenant"] == "a"
    assert str(metadata["user-agent"]).startswith(f"otelprof/{__version__} ")


def test_one_connection_serves_many_batches() -> None:
    peers = []

    def answer(context: grpc.ServicerContext) -> bytes:
        peers.append(context.peer())
        return ACCEPT(context)

    with running_receiver(answer, answer, answer) as receiver:
        exporter = exporter_to(receiver)
        for sequence in range(3):
            exporter.export(batch(sequence=sequence))
        exporter.close()
        exporter.close()

    assert len(peers) == 3
    assert len(set(peers)) == 1


@pytest.mark.parametrize(
    ("code", "details", "retryable"),
    [
        (Code.CANCELLED, "", True),
        (Code.DEADLINE_EXCEEDED, "", True),
        (Code.ABORTED, "", True),
        (Code.OUT_OF_RANGE, "", True),
        (Code.UNAVAILABLE, "", True),
        (Code.DATA_LOSS, "", True),
        (Code.RESOURCE_EXHAUSTED, "memory usage is too high", True),
        (Code.UNKNOWN, "", False),
        (Code.INVALID_ARGUMENT, "", False),
        (Code.NOT_FOUND, "", False),
        (Code.ALREADY_EXISTS, "", False),
        (Code.PERMISSION_DENIED, "", False),
        (Code.UNAUTHENTICATED, "", False),
        (Code.FAILED_PRECONDITION, "", False),
        (Code.UNIMPLEMENTED, "", False),
        (Code.INTERNAL, "", False),
    ],
)
def test_which_answers_may_be_tried_again(code: grpc.StatusCode, details: str, retryable: bool) -> None:
    with running_receiver(refuse(code, details)) as receiver, pytest.raises(OtlpExportError) as caught:
        export(receiver, batch())

    assert caught.value.retryable is retryable
    assert caught.value.code == code.name
    assert caught.value.retry_delay_s is None
    assert f"the OTLP receiver at {receiver.endpoint} failed with {code.name}: {details}" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "details", "advice"),
    [
        (Code.UNIMPLEMENTED, "unknown service …ProfilesService", "--feature-gates=service.profilesSupport"),
        (Code.INTERNAL, "proto: wrong wireType = 2 for field LinkIndex", "v0.148 or newer"),
        (Code.INTERNAL, "grpc: failed to unmarshal the received message", "v0.148 or newer"),
        (Code.INVALID_ARGUMENT, "bad otlp-profiles-development-version", "another development version"),
        (Code.UNAUTHENTICATED, "no token", "check headers and credentials"),
        (Code.PERMISSION_DENIED, "not you", "check headers and credentials"),
    ],
)
def test_refusals_come_with_advice(code: grpc.StatusCode, details: str, advice: str) -> None:
    with running_receiver(refuse(code, details)) as receiver, pytest.raises(OtlpExportError, match=advice):
        export(receiver, batch())


def test_the_receivers_delay_is_passed_on() -> None:
    answer = refuse(Code.UNAVAILABLE, "busy", status_with_retry_info(7))
    with running_receiver(answer) as receiver, pytest.raises(OtlpExportError) as caught:
        export(receiver, batch())

    assert caught.value.retry_delay_s == 7.0


class Entry(NamedTuple):
    key: str
    value: bytes


class Refusal(grpc.RpcError):
    """An answer with given status details."""

    def __init__(self, status_details: bytes) -> None:
        self.status_details = status_details

    def trailing_metadata(self) -> tuple[Entry, ...]:  # type: ignore[override]
        return (Entry("other", b""), Entry("grpc-status-details-bin", self.status_details))


@given(st.integers(0, 127))
def test_a_delay_is_read_in_seconds(seconds: int) -> None:
    assert retry_delay_s(Refusal(status_with_retry_info(seconds))) == seconds


@given(st.binary(max_size=100) | st.binary(max_size=20).map(lambda tail: status_with_retry_info(1)[:-3] + tail))
def test_any_status_details_give_a_delay_or_none(status_details: bytes) -> None:
    delay_s = retry_delay_s(Refusal(status_details))

    assert delay_s is None or delay_s >= 0


@pytest.mark.parametrize("status_details", [b"", b"\xff\xff", status_with_retry_info(1)[:-3], b"\x1a\x02\x0a\x00"])
def test_status_details_that_cannot_be_read_say_nothing(status_details: bytes) -> None:
    answer = refuse(Code.UNAVAILABLE, "busy", status_details)
    with running_receiver(answer) as receiver, pytest.raises(OtlpExportError) as caught:
        export(receiver, batch())

    assert caught.value.retry_delay_s is None
    assert caught.value.retryable


def test_nobody_listening_is_retryable() -> None:
    exporter = OtlpExporter.from_options({"endpoint": "http://127.0.0.1:1", "timeout": "2s"}, {})
    with pytest.raises(
        OtlpExportError, match=r"127\.0\.0\.1:1 failed with UNAVAILABLE: .*is a Collector listening"
    ) as caught:
        exporter.export(batch())
    exporter.close()

    assert caught.value.retryable


def test_the_timeout_bounds_the_wait() -> None:
    def answer_late(context: grpc.ServicerContext) -> bytes:
        deadline = time.monotonic() + 10
        while context.is_active() and time.monotonic() < deadline:
            time.sleep(0.01)
        return ACCEPT(context)

    with running_receiver(answer_late) as receiver:
        started = time.monotonic()
        with pytest.raises(OtlpExportError, match="DEADLINE_EXCEEDED") as caught:
            export(receiver, batch(), timeout="100ms")

    assert caught.value.retryable
    assert time.monotonic() - started < 5


def test_a_warning_of_the_receiver_is_logged_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    with running_receiver(accept_partly(0, "old fields")) as receiver:
        assert export(receiver, batch()) == ExportResult(exported=3)

    assert [record.getMessage() for record in caplog.records] == ["the receiver accepted a request with a warning"]
    assert vars(caplog.records[0])["fields"]["answer"] == "old fields"


def test_a_request_rejected_whole_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    with running_receiver(accept_partly(2, "no quota")) as receiver:
        assert export(receiver, batch(processes=2)) == ExportResult(exported=0, dropped=6, drop_reason="rejected")
        assert len(receiver.payloads) == 1
    assert vars(caplog.records[0])["fields"]["rejected_profiles"] == 2


def test_some_rejected_profiles_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with running_receiver(accept_partly(1, "no quota")) as receiver:
        assert export(receiver, batch(processes=2)) == ExportResult(exported=6)
    assert [record.getMessage() for record in caplog.records] == ["the receiver rejected profiles"]


def test_an_answer_that_cannot_be_read_is_still_a_success() -> None:
    def garbage(context: grpc.ServicerContext) -> bytes:
        return b"\xff\xff"

    with running_receiver(garbage) as receiver:
        assert export(receiver, batch()) == ExportResult(exported=3)


def functions_in(payloads: list[bytes]) -> Counter[str]:
    """Names of functions, once per part in which they stand."""
    return Counter(
        name
        for payload in payloads
        for name in ProfilesData.FromString(payload).dictionary.string_table
        if name.startswith("function_")
    )


def test_a_batch_above_the_cap_is_split() -> None:
    window = batch(processes=4, samples=100)
    with running_receiver() as receiver:
        result = export(receiver, window, max_request_bytes=len(window.payload) // 3)

    assert result == ExportResult(exported=400)
    assert len(receiver.payloads) == 4
    assert max(map(len, receiver.payloads)) <= len(window.payload) // 3
    assert functions_in(receiver.payloads) == functions_in([window.payload])


def test_requests_are_halved_until_the_receiver_takes_them(caplog: pytest.LogCaptureFixture) -> None:
    window = batch(processes=4, samples=150, name_bytes=1000)
    max_bytes = len(window.payload) // 2 - 20_000
    with running_receiver(max_bytes=max_bytes) as receiver:
        exporter = exporter_to(receiver)
        assert exporter.export(window) == ExportResult(exported=600)
        first = len(receiver.payloads)
        assert functions_in(receiver.payloads) == functions_in([window.payload])
        assert caplog.records[0].getMessage().startswith("the receiver takes smaller requests only")
        caplog.clear()

        assert exporter.export(batch(sequence=1, processes=4, samples=150, name_bytes=1000)) == ExportResult(
            exported=600
        )
        exporter.close()
    assert len(receiver.payloads) == 2 * first
    assert caplog.records == []


def test_a_receiver_that_takes_nothing_does_not_get_a_flood() -> None:
    window = batch(processes=4, samples=150, name_bytes=1000)
    calls = []

    def too_large(context: grpc.ServicerContext) -> bytes:
        calls.append(context)
        context.abort(Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (9 vs. 8)")

    with running_receiver(*[too_large] * 1000) as receiver, pytest.raises(OtlpExportError) as caught:
        export(receiver, window)

    assert "raise max_recv_msg_size_mib" in str(caught.value)
    assert not caught.value.retryable
    assert len(calls) < len(window.payload) // 20_000


def test_what_cannot_be_split_is_not_sent() -> None:
    with running_receiver() as receiver, pytest.raises(OtlpExportError, match="cannot be split") as caught:
        export(receiver, batch(samples=1), max_request_bytes=100)

    assert receiver.payloads == []
    assert not caught.value.retryable


def test_a_batch_that_is_given_again_goes_on_where_it_stopped() -> None:
    window = batch(processes=4, samples=100)
    with running_receiver(ACCEPT, refuse(Code.UNAVAILABLE)) as receiver:
        exporter = exporter_to(receiver, max_request_bytes=len(window.payload) // 3)
        with pytest.raises(OtlpExportError):
            exporter.export(window)
        assert len(receiver.payloads) == 2
        assert exporter.export(window) == ExportResult(exported=400)
        exporter.close()

    assert len(receiver.payloads) == 5
    assert receiver.payloads[1] == receiver.payloads[2]
    assert functions_in(receiver.payloads[:1] + receiver.payloads[2:]) == functions_in([window.payload])


def test_another_batch_starts_afresh() -> None:
    with running_receiver(refuse(Code.UNAVAILABLE)) as receiver:
        exporter = exporter_to(receiver)
        with pytest.raises(OtlpExportError):
            exporter.export(batch(sequence=0, samples=5))
        second = batch(sequence=1)
        assert exporter.export(second) == ExportResult(exported=3)
        exporter.close()

    assert receiver.payloads[1] == second.payload


def test_parts_refused_for_good_are_dropped_and_the_others_delivered() -> None:
    window = batch(processes=4, samples=100)
    with running_receiver(ACCEPT, refuse(Code.INTERNAL)) as receiver:
        result = export(receiver, window, max_request_bytes=len(window.payload) // 3)

    assert result == ExportResult(exported=300, dropped=100, drop_reason="refused")


def test_secrets_are_in_no_error() -> None:
    with running_receiver(refuse(Code.UNAUTHENTICATED)) as receiver, pytest.raises(OtlpExportError) as caught:
        export(receiver, batch(), headers={"authorization": "secret"})

    assert "secret" not in str(caught.value)
