"""The exporter: one unary gRPC call per request, and what its answers mean."""

import logging
from collections.abc import Mapping
from typing import Self

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import (
    ExportProfilesPartialSuccess,
    ExportProfilesServiceRequest,
    ExportProfilesServiceResponse,
)

from otelprof.logs import fields
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.exporter import ExportResult
from otelprof_otlp.channel import open_channel
from otelprof_otlp.delivery import Delivery
from otelprof_otlp.settings import OtlpSettings, read_settings
from otelprof_otlp.status import is_too_large, refusal, too_large

__all__ = ("OtlpExporter",)

_METHOD = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"

_VERSION_METADATA = ("otlp-profiles-development-version", "1")
"""Names the layout of the messages (opentelemetry-proto 857); Collectors from v0.163 on refuse all others."""

_SMALLEST_LIMIT_BYTES = 64 * 1024
"""A receiver that takes less is broken; without a bound one request could become thousands."""

_logger = logging.getLogger("otelprof.exporters.otlp")


class OtlpExporter:
    """Delivers batches to an OTLP receiver, byte for byte as the pipeline serialised them.

    What is larger than the receiver takes is split. A batch that was delivered in part is continued, not
    repeated, when it is given again.
    """

    def __init__(self, settings: OtlpSettings) -> None:
        self._settings = settings
        self._max_request_bytes = settings.max_request_bytes
        self._channel: grpc.Channel | None = None
        self._delivery: Delivery | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object], environ: Mapping[str, str]) -> Self:
        """Make an exporter; raises ConfigError. Nothing is connected before the first export."""
        return cls(read_settings(options, environ))

    def export(self, batch: Batch) -> ExportResult:
        """Send one batch and wait for the answers.

        Raises OtlpExportError: retryable as soon as the receiver cannot take more at present, otherwise
        when it accepted no part of the batch.
        """
        delivery = self._delivery
        if delivery is None or delivery.batch is not batch:
            delivery = self._delivery = Delivery(batch)
        while delivery.parts:
            self._send_next(delivery)
        self._delivery = None
        return delivery.result()

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _send_next(self, delivery: Delivery) -> None:
        payload = delivery.parts[0].payload
        if len(payload) > self._max_request_bytes:
            if not delivery.cut(self._max_request_bytes):
                delivery.drop("too_large", too_large(len(payload), self._max_request_bytes))
            return
        try:
            answer = self._call(payload)
        except grpc.RpcError as error:
            if is_too_large(error) and len(payload) // 2 >= _SMALLEST_LIMIT_BYTES:
                self._max_request_bytes = len(payload) // 2
                _logger.warning(
                    "the receiver takes smaller requests only; they are split from now on",
                    extra=fields(endpoint=self._settings.target, max_request_bytes=self._max_request_bytes),
                )
                return
            refused = refusal(error, self._settings.target)
            if refused.retryable:
                raise refused from error
            delivery.drop("refused", refused)
            return
        self._take_answer(delivery, answer)

    def _call(self, payload: bytes) -> bytes:
        if self._channel is None:
            self._channel = open_channel(self._settings)
        # No serialisers: the payload is already what goes over the wire.
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)
        metadata = (*self._settings.headers, _VERSION_METADATA)
        return method(payload, timeout=self._settings.timeout_s, metadata=metadata)

    def _take_answer(self, delivery: Delivery, answer: bytes) -> None:
        """Account for a request that the receiver answered with OK; it is never sent again."""
        partial = _partial_success(answer)
        if not partial.rejected_profiles:
            if partial.error_message:
                _logger.warning("the receiver accepted a request with a warning", extra=self._details(partial))
            delivery.accepted()
            return
        _logger.warning("the receiver rejected profiles", extra=self._details(partial))
        if partial.rejected_profiles >= _profile_count(delivery.parts[0].payload):
            delivery.drop("rejected")
        else:
            # Which ones, and with how many samples, the receiver does not tell.
            delivery.accepted()

    def _details(self, partial: ExportProfilesPartialSuccess) -> dict[str, object]:
        return fields(
            endpoint=self._settings.target,
            rejected_profiles=partial.rejected_profiles,
            answer=partial.error_message[:500],
        )


def _partial_success(answer: bytes) -> ExportProfilesPartialSuccess:
    """Read what the receiver restricts; an answer that cannot be read restricts nothing: the status was OK."""
    try:
        return ExportProfilesServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return ExportProfilesPartialSuccess()


def _profile_count(payload: bytes) -> int:
    request = ExportProfilesServiceRequest.FromString(payload)
    return sum(len(scope.profiles) for resource in request.resource_profiles for scope in resource.scope_profiles)
