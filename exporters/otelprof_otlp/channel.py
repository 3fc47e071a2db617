"""Opening the connection."""

import grpc

from otelprof import __version__
from otelprof_otlp.settings import OtlpSettings

__all__ = ("open_channel",)

_MAX_RECONNECT_BACKOFF_MS = 10_000
"""gRPC waits up to two minutes between attempts to connect; a Collector that is back is to be used sooner."""


def open_channel(settings: OtlpSettings) -> grpc.Channel:
    """Make a channel to the destination; the connection itself is made by the first call."""
    options = (
        ("grpc.primary_user_agent", f"otelprof/{__version__}"),
        ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_BACKOFF_MS),
    )
    compression = grpc.Compression.Gzip if settings.gzip else grpc.Compression.NoCompression
    if not settings.tls:
        return grpc.insecure_channel(settings.target, options=options, compression=compression)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=settings.certificate,
        private_key=settings.client_key,
        certificate_chain=settings.client_certificate,
    )
    return grpc.secure_channel(settings.target, credentials, options=options, compression=compression)
