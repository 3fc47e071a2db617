"""Names that OTLP profiles give a fixed meaning: attribute keys, frame types, the schema they come from.

Source: OpenTelemetry semantic conventions 1.44.0.
"""

__all__ = (
    "BUILD_ID_DEPRECATED",
    "BUILD_ID_GNU",
    "BUILD_ID_GO",
    "BUILD_ID_HTLHASH",
    "CUSTOM_FRAME_TYPES",
    "FRAME_TYPE",
    "FRAME_TYPES",
    "INTEGER_KEYS",
    "SAMPLE_KEYS",
    "SCHEMA_URL",
    "STRING_KEYS",
)

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

FRAME_TYPE = "profile.frame.type"
"""Attribute of a Location: whose frame it is."""

FRAME_TYPES = frozenset(
    {
        "beam",
        "cpython",
        "dotnet",
        "go",
        "jvm",
        "kernel",
        "luajit",
        "native",
        "perl",
        "php",
        "ruby",
        "rust",
        "v8js",
    }
)
"""Well-known values of FRAME_TYPE."""

CUSTOM_FRAME_TYPES = frozenset({"abort-marker", "unknown"})
"""Values of FRAME_TYPE that no convention knows, but the OpenTelemetry eBPF profiler sends."""

BUILD_ID_GNU = "process.executable.build_id.gnu"
BUILD_ID_GO = "process.executable.build_id.go"
BUILD_ID_HTLHASH = "process.executable.build_id.htlhash"
BUILD_ID_DEPRECATED = "process.executable.build_id.profiling"
"""The name that BUILD_ID_HTLHASH had before."""

SAMPLE_KEYS = frozenset({"cpu.logical_number", "thread.id", "thread.name"})
"""Sample attributes with a convention; a busy process may well have a different thread on each sample."""

INTEGER_KEYS = frozenset({"cpu.logical_number", "process.parent_pid", "process.pid", "process.vpid", "thread.id"})
"""Attributes whose value is an integer."""

STRING_KEYS = frozenset(
    {
        BUILD_ID_GNU,
        BUILD_ID_GO,
        BUILD_ID_HTLHASH,
        FRAME_TYPE,
        "container.id",
        "deployment.environment.name",
        "host.arch",
        "host.id",
        "host.name",
        "k8s.pod.uid",
        "os.type",
        "os.version",
        "process.command_line",
        "process.creation.time",
        "process.executable.name",
        "process.executable.path",
        "process.runtime.name",
        "process.runtime.version",
        "service.instance.id",
        "service.name",
        "service.namespace",
        "service.version",
        "thread.name",
    }
)
"""Attributes whose value is a string."""
