"""What a real Collector answers: the ground that exporters stand on, tried with plain grpcio and HTTP."""

import gzip
import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.profiles.v1development.profiles_pb2 import (
    Function,
    KeyValueAndUnit,
    Line,
    Link,
    Location,
    Mapping,
    Profile,
    ProfilesData,
    ProfilesDictionary,
    ResourceProfiles,
    Sample,
    ScopeProfiles,
    Stack,
    ValueType,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tests.e2e.collector_process import CONFIG, Collector, CollectorFailed, running_collector

pytestmark = pytest.mark.collector

EXPORT = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
HTTP_PATH = "/v1development/profiles"
EMPTY_SUCCESS = b"\x0a\x00"
"""ExportProfilesServiceResponse whose partial_success is present and empty."""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running_collector(tmp_path) as running:
        yield running


def hand_built(timestamps: int = 3) -> ProfilesData:
    """Build one sample of one native function, seen ``timestamps`` times.

    Every embedded message is present, as the Collector writes it back.
    """
    now_ns = time.time_ns()
    sample = Sample(stack_index=1, timestamps_unix_nano=[now_ns + i for i in range(timestamps)])
    profile = Profile(
        sample_type=ValueType(type_strindex=1, unit_strindex=2),
        samples=[sample],
        time_unix_nano=now_ns,
        duration_nano=10**9,
        period_type=ValueType(),
        profile_id=bytes(range(16)),
    )
    dictionary = ProfilesDictionary(
        mapping_table=[Mapping()],
        location_table=[Location(), Location(lines=[Line(function_index=1)])],
        function_table=[Function(), Function(name_strindex=3)],
        link_table=[Link()],
        string_table=["", "samples", "count", "main"],
        attribute_table=[KeyValueAndUnit(value=AnyValue())],
        stack_table=[Stack(), Stack(location_indices=[1])],
    )
    scope = ScopeProfiles(scope=InstrumentationScope(), profiles=[profile])
    return ProfilesData(
        resource_profiles=[ResourceProfiles(resource=Resource(), scope_profiles=[scope])], dictionary=dictionary
    )


def export(
    collector: Collector, payload: bytes, compression: grpc.Compression = grpc.Compression.NoCompression
) -> bytes:
    with grpc.insecure_channel(collector.grpc_endpoint) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
        return call(payload, timeout=30, compression=compression)


def refusal(
    collector: Collector, payload: bytes, compression: grpc.Compression = grpc.Compression.NoCompression
) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        export(collector, payload, compression)
    return caught.value.code(), caught.value.details() or ""


def post(
    collector: Collector, payload: bytes, *, path: str = HTTP_PATH, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(collector.http_endpoint, timeout=30)
    try:
        connection.request("POST", path, payload, {"Content-Type": "application/x-protobuf", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_correct_message_is_accepted_and_written_as_it_was(
    collector: Collector, compression: grpc.Compression
) -> None:
    message = hand_built()

    assert export(collector, message.SerializeToString(), compression) == EMPTY_SUCCESS

    assert collector.received() == [message]
    assert (collector.folder / "profiles.otlp.jsonl").read_text().count("\n") == 1


def test_requests_are_kept_apart_and_in_order(collector: Collector) -> None:
    sent = [hand_built(timestamps) for timestamps in range(1, 31)]

    for number, message in enumerate(sent, start=1):
        export(collector, message.SerializeToString())
        collector.wait_for_requests(number)

    assert collector.received() == sent


def test_a_message_without_samples_is_accepted_and_dropped(collector: Collector) -> None:
    message = hand_built()
    del message.resource_profiles[0].scope_profiles[0].profiles[0].samples[:]

    assert export(collector, message.SerializeToString()) == EMPTY_SUCCESS

    assert collector.received() == []


def test_a_message_of_nonsense_indices_is_accepted_all_the_same(collector: Collector) -> None:
    """An OK of a Collector proves nothing about the data: that is what our own checker is for."""
    message = hand_built()
    message.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].stack_index = 4711

    assert export(collector, message.SerializeToString()) == EMPTY_SUCCESS


def test_the_layout_before_1_10_is_refused(collector: Collector) -> None:
    """Sample was renumbered in 1.10: packed attribute_indices had the number that link_index has now."""
    old_sample = bytes([1 << 3 | 0, 1, 3 << 3 | 2, 2, 1, 2])
    message = hand_built()
    profile = message.resource_profiles[0].scope_profiles[0].profiles[0]
    del profile.samples[:]
    old_profile = profile.SerializeToString() + field(2, old_sample)
    payload = field(1, field(2, field(2, old_profile))) + field(2, message.dictionary.SerializeToString())

    code, details = refusal(collector, payload)

    assert code is grpc.StatusCode.INTERNAL
    assert "wrong wireType = 2 for field LinkIndex" in details


def test_a_profile_id_of_another_length_is_refused(collector: Collector) -> None:
    message = hand_built()
    message.resource_profiles[0].scope_profiles[0].profiles[0].profile_id = b"short"

    code, details = refusal(collector, message.SerializeToString())

    assert code is grpc.StatusCode.INTERNAL
    assert "unmarshal" in details


def test_a_message_above_4_mib_is_refused_even_when_it_is_small_on_the_wire(collector: Collector) -> None:
    message = hand_built()
    message.dictionary.string_table.append("x" * (4 << 20))

    code, details = refusal(collector, message.SerializeToString(), grpc.Compression.Gzip)

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details
    assert "4194304" in details


def test_deflate_is_refused_over_grpc(collector: Collector) -> None:
    code, _ = refusal(collector, hand_built().SerializeToString(), grpc.Compression.Deflate)

    assert code is grpc.StatusCode.UNIMPLEMENTED


def test_without_a_profiles_pipeline_the_service_is_unknown(tmp_path: Path) -> None:
    config = CONFIG.replace("    profiles: {receivers: [otlp], exporters: [file/json, file/proto, debug]}", TRACES_ONLY)
    assert TRACES_ONLY in config

    with running_collector(tmp_path, config=config) as collector:
        code, details = refusal(collector, hand_built().SerializeToString())
        status, _ = post(collector, hand_built().SerializeToString())

    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "unknown service opentelemetry.proto.collector.profiles.v1development.ProfilesService" in details
    assert status == http.client.NOT_FOUND


TRACES_ONLY = "    traces: {receivers: [otlp], exporters: [debug]}"


def test_without_the_feature_gate_the_configuration_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(CollectorFailed, match=r'gated under the "service\.profilesSupport" feature gate'),
        running_collector(tmp_path, arguments=()),
    ):
        pytest.fail("it started")


def test_http_accepts_the_same_bytes(collector: Collector) -> None:
    message = hand_built()
    payload = message.SerializeToString()

    assert post(collector, payload) == (200, EMPTY_SUCCESS)
    assert post(collector, gzip.compress(payload), headers={"Content-Encoding": "gzip"}) == (200, EMPTY_SUCCESS)

    assert collector.received() == [message, message]


def test_the_path_of_the_stable_signals_is_unknown_over_http(collector: Collector) -> None:
    status, _ = post(collector, hand_built().SerializeToString(), path="/v1/profiles")

    assert status == http.client.NOT_FOUND


def test_what_was_accepted_before_a_restart_is_on_the_same_address_after_it(tmp_path: Path) -> None:
    """Outage tests need this: the same port again, and each run's files in a folder of its own."""
    with running_collector(tmp_path / "first") as first:
        address = first.grpc_endpoint
        export(first, hand_built(1).SerializeToString())
        kept = first.received()
    with running_collector(tmp_path / "second", environment={"GRPC_ENDPOINT": address}) as second:
        assert second.grpc_endpoint == address
        export(second, hand_built(2).SerializeToString())
        kept += second.received()

    assert [counted(message) for message in kept] == [1, 2]


def counted(message: ProfilesData) -> int:
    return len(message.resource_profiles[0].scope_profiles[0].profiles[0].samples[0].timestamps_unix_nano)


def field(number: int, content: bytes) -> bytes:
    """Encode a length-delimited protobuf field."""
    size = len(content)
    length = b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
