"""What a receiver's refusal means: whether to try again, when, and what to tell the user."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from otelprof.errors import ExportError

__all__ = ("OtlpExportError", "is_too_large", "refusal", "retry_delay_s", "too_large")

_STATUS_DETAILS = "grpc-status-details-bin"
"""Trailing metadata in which gRPC servers send a ``google.rpc.Status``."""

_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"

_RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""From the table of retryable codes in the OTLP specification; RESOURCE_EXHAUSTED is judged apart."""

_TOO_LARGE = "larger than max"
"""grpc-go and grpc core both say "(received) message (after decompression) larger than max (… vs. …)"."""

_ADVICE: Sequence[tuple[grpc.StatusCode, str, str]] = (
    (
        grpc.StatusCode.UNIMPLEMENTED,
        "unknown service|unknown method|method not found",
        "start the Collector with --feature-gates=service.profilesSupport and put its otlp receiver into a "
        "profiles pipeline",
    ),
    (
        grpc.StatusCode.INTERNAL,
        "wrong wireType|failed to unmarshal",
        "the Collector reads another version of OTLP profiles; this one needs v0.148 or newer",
    ),
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        "development-version",
        "the Collector speaks another development version of OTLP profiles",
    ),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        _TOO_LARGE,
        "raise max_recv_msg_size_mib of the receiver",
    ),
    (grpc.StatusCode.UNAUTHENTICATED, "", "check headers and credentials"),
    (grpc.StatusCode.PERMISSION_DENIED, "", "check headers and credentials"),
    (
        grpc.StatusCode.UNAVAILABLE,
        "wrong_version_number|handshake",
        "use http:// where the Collector has no TLS, and check the certificates where it has",
    ),
    (grpc.StatusCode.UNAVAILABLE, "failed to connect", "is a Collector listening there?"),
)
"""Code, pattern in the receiver's words, and what to do about it; the first that fits."""


class OtlpExportError(ExportError):
    """A request that was not accepted.

    ``code`` is the name of the gRPC status. ``retry_delay_s`` is how long the receiver asks to be left
    alone, None when it does not say.
    """

    def __init__(self, message: str, *, retryable: bool, code: str, retry_delay_s: float | None) -> None:
        super().__init__(message, retryable=retryable)
        self.code = code
        self.retry_delay_s = retry_delay_s


def is_too_large(error: grpc.RpcError) -> bool:
    """Tell whether smaller requests would be accepted."""
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in (error.details() or "")


def refusal(error: grpc.RpcError, target: str) -> OtlpExportError:
    """Make the error to raise for a call to ``target`` that failed.

    RESOURCE_EXHAUSTED may be retried unless it is about the size of the message, with RetryInfo or without:
    some versions of the Collector's memory limiter do not send any. That departs from the specification,
    under which a full Collector would lose data.
    """
    code, details = error.code(), error.details() or ""
    retryable = code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and not is_too_large(error))
    sentence = f"sending to the OTLP receiver at {target} failed with {code.name}: {details[:500]}"
    fitting = (text for known, words, text in _ADVICE if code is known and re.search(words, details, re.IGNORECASE))
    advice = next(fitting, "")
    return OtlpExportError(
        f"{sentence}; {advice}" if advice else sentence,
        retryable=retryable,
        code=code.name,
        retry_delay_s=retry_delay_s(error),
    )


def too_large(size_bytes: int, max_bytes: int) -> OtlpExportError:
    """Make the error for a request that is above the limit, cannot be split and is therefore not sent."""
    return OtlpExportError(
        f"a request of {size_bytes} bytes cannot be split but exceeds the limit of {max_bytes}",
        retryable=False,
        code=grpc.StatusCode.RESOURCE_EXHAUSTED.name,
        retry_delay_s=None,
    )


def retry_delay_s(error: grpc.RpcError) -> float | None:
    """Return the delay of a ``google.rpc.RetryInfo`` in the answer; None without one that can be read."""
    for entry in error.trailing_metadata() or ():
        if entry.key == _STATUS_DETAILS and isinstance(entry.value, bytes):
            return _delay_in_status(entry.value)
    return None


def _delay_in_status(encoded: bytes) -> float | None:
    classes: Any = _messages()
    try:
        for detail in classes["Status"].FromString(encoded).details:
            if detail.type_url == _RETRY_INFO:
                delay = classes["RetryInfo"].FromString(detail.value).retry_delay
                delay_s: float = delay.seconds + delay.nanos / 1e9
                return max(0.0, delay_s)
    except DecodeError:
        pass
    return None


@cache
def _messages() -> dict[str, type[Message]]:
    """Build the few messages of googleapis that are needed.

    They live in a pool of their own under names of their own, so that they cannot clash with the real ones
    in a program that uses those. Field numbers: google/rpc/status.proto and error_details.proto,
    google/protobuf/any.proto and duration.proto.
    """
    field = descriptor_pb2.FieldDescriptorProto
    layout: dict[str, list[tuple[str, int, descriptor_pb2.FieldDescriptorProto.Type.ValueType, str]]] = {
        "Duration": [("seconds", 1, field.TYPE_INT64, ""), ("nanos", 2, field.TYPE_INT32, "")],
        "Any": [("type_url", 1, field.TYPE_STRING, ""), ("value", 2, field.TYPE_BYTES, "")],
        "Status": [("details", 3, field.TYPE_MESSAGE, "Any")],
        "RetryInfo": [("retry_delay", 1, field.TYPE_MESSAGE, "Duration")],
    }
    package = "otelprof.otlp.status"
    file = descriptor_pb2.FileDescriptorProto(name="otelprof/otlp/status.proto", package=package, syntax="proto3")
    for message_name, fields in layout.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind, type_name in fields:
            message.field.add(
                name=name,
                number=number,
                type=kind,
                label=field.LABEL_REPEATED if name == "details" else field.LABEL_OPTIONAL,
                type_name=f".{package}.{type_name}" if type_name else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in layout}
