"""The exporter in front of a real OpenTelemetry Collector."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.pipeline.exporter import ExportResult
from otelprof_otlp import OtlpExporter
from otelprof_otlp.status import OtlpExportError
from tests.e2e.collector_process import CONFIG, Collector, running_collector
from tests.exporters.messages import batch

pytestmark = pytest.mark.collector


@contextmanager
def exporter_to(collector: Collector, **options: object) -> Iterator[OtlpExporter]:
    exporter = OtlpExporter.from_options({"endpoint": f"http://{collector.grpc_endpoint}", **options}, {})
    try:
        yield exporter
    finally:
        exporter.close()


def timestamps_in(message: ProfilesData) -> list[int]:
    return [
        moment
        for resource in message.resource_profiles
        for scope in resource.scope_profiles
        for profile in scope.profiles
        for sample in profile.samples
        for moment in sample.timestamps_unix_nano
    ]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_every_sample_arrives(tmp_path: Path, compression: str) -> None:
    windows = [batch(sequence=sequence, processes=3, samples=50) for sequence in range(3)]
    with running_collector(tmp_path) as collector:
        with exporter_to(collector, compression=compression) as exporter:
            for window in windows:
                assert exporter.export(window) == ExportResult(exported=150)
        collector.wait_for_requests(3)
        received = collector.received()

    assert [sorted(timestamps_in(message)) for message in received] == [
        sorted(timestamps_in(window.message())) for window in windows
    ]
    assert {"function_3_49_", "service.name"} <= set(received[0].dictionary.string_table)


def test_a_receiver_with_a_small_limit_gets_smaller_requests(tmp_path: Path) -> None:
    config = CONFIG.replace('127.0.0.1:0}"}\n      http', '127.0.0.1:0}", max_recv_msg_size_mib: 1}\n      http')
    assert "max_recv_msg_size_mib" in config
    window = batch(processes=4, samples=300, name_bytes=1000)
    assert len(window.payload) > 1 << 20
    with running_collector(tmp_path, config=config) as collector:
        with exporter_to(collector, compression="gzip") as exporter:
            assert exporter.export(window) == ExportResult(exported=1200)
        received = collector.received()

    assert len(received) > 1
    assert sorted(timestamps_in(window.message())) == sorted(
        moment for message in received for moment in timestamps_in(message)
    )


def test_another_layout_is_called_a_version_skew(tmp_path: Path) -> None:
    # ResourceProfiles > ScopeProfiles > Profile > Sample whose field 3 is length-delimited, as before layout 1.10.
    old = b"\x1a\x01\x05"
    for number in (2, 2, 2, 1):
        old = bytes([number << 3 | 2, len(old)]) + old
    with (
        running_collector(tmp_path) as collector,
        exporter_to(collector) as exporter,
        pytest.raises(OtlpExportError, match="another version of OTLP profiles") as caught,
    ):
        exporter.export(batch(payload=old))

    assert not caught.value.retryable


def test_a_collector_without_a_profiles_pipeline_is_explained(tmp_path: Path) -> None:
    traces_only = CONFIG.replace("profiles: {receivers", "traces: {receivers").replace("file/json, file/proto, ", "")
    with (
        running_collector(tmp_path, config=traces_only) as collector,
        exporter_to(collector) as exporter,
        pytest.raises(OtlpExportError, match="put its otlp receiver into a profiles pipeline") as caught,
    ):
        exporter.export(batch())

    assert caught.value.code == "UNIMPLEMENTED"
    assert not caught.value.retryable


def test_a_collector_that_is_back_gets_the_batch(tmp_path: Path) -> None:
    window = batch()
    with running_collector(tmp_path / "first") as collector:
        endpoint = collector.grpc_endpoint
        with exporter_to(collector) as exporter:
            assert exporter.export(batch(sequence=9)) == ExportResult(exported=3)
            collector.stop()
            with pytest.raises(OtlpExportError) as caught:
                exporter.export(window)
            assert caught.value.retryable

            with running_collector(tmp_path / "second", environment={"GRPC_ENDPOINT": endpoint}) as second:
                assert exporter._channel is not None
                grpc.channel_ready_future(exporter._channel).result(timeout=20)
                assert exporter.export(window) == ExportResult(exported=3)
                second.wait_for_requests(1)
                assert [timestamps_in(message) for message in second.received()] == [timestamps_in(window.message())]
