"""Sends OTLP profiles to an OpenTelemetry Collector over gRPC."""

import os

# gRPC's core writes lines of its own to stderr about every failed handshake; it reads the level when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from otelprof_otlp.exporter import OtlpExporter

__all__ = ("OtlpExporter",)
