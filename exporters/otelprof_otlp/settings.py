"""What the exporter can be told, by options and by the environment.

The variables and their rules are those of the OpenTelemetry specification ("OpenTelemetry Protocol
Exporter"). Every variable ``OTEL_EXPORTER_OTLP_X`` also exists as ``OTEL_EXPORTER_OTLP_PROFILES_X``, which
goes first; an option of the same meaning goes before both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from otelprof.errors import ConfigError, UsageError
from otelprof.quantities import parse_duration_ns, parse_size_bytes

__all__ = ("DEFAULT_MAX_REQUEST_BYTES", "OtlpSettings", "read_settings")

T = TypeVar("T")

DEFAULT_MAX_REQUEST_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""grpc-go servers, which Collectors are, refuse what is larger than 4 MiB once decompressed."""

_DEFAULT_ENDPOINT = "http://localhost:4317"
_DEFAULT_PORT = 4317
_DEFAULT_TIMEOUT_S = 10.0

_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

_OPTIONS = (
    "endpoint",
    "insecure",
    "certificate",
    "client_certificate",
    "client_key",
    "headers",
    "compression",
    "timeout",
    "max_request_bytes",
)


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """A destination and how to talk to it.

    ``target`` is ``host:port`` as gRPC wants it. Certificates and key are PEM; without ``certificate`` the
    roots that gRPC brings along are trusted. Requests larger than ``max_request_bytes``, before compression,
    are split.
    """

    target: str
    tls: bool
    certificate: bytes | None = None
    client_certificate: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    gzip: bool = False
    timeout_s: float = _DEFAULT_TIMEOUT_S
    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES


def read_settings(options: Mapping[str, object], environ: Mapping[str, str]) -> OtlpSettings:
    """Put options and environment together; raises ConfigError naming the option or variable that is wrong."""
    for name in options:
        if name not in _OPTIONS:
            raise ConfigError(f"the otlp exporter has no option {name!r}; it knows {', '.join(_OPTIONS)}")
    source = _Source(options, environ)
    source.read("protocol", _protocol)
    target, scheme = source.read("endpoint", _endpoint) or _endpoint(_DEFAULT_ENDPOINT)
    insecure = source.read("insecure", _boolean) or False
    client_certificate = source.read("client_certificate", _pem)
    client_key = source.read("client_key", _pem)
    if (client_certificate is None) != (client_key is None):
        raise ConfigError("a client certificate and its key only work together; give both or none")
    return OtlpSettings(
        target=target,
        tls=scheme == "https" if scheme else not insecure,
        certificate=source.read("certificate", _pem),
        client_certificate=client_certificate,
        client_key=client_key,
        headers=source.read("headers", _headers) or (),
        gzip=source.read("compression", _gzip) or False,
        timeout_s=source.read_timeout_s() or _DEFAULT_TIMEOUT_S,
        max_request_bytes=source.read("max_request_bytes", _size) or DEFAULT_MAX_REQUEST_BYTES,
    )


class _Source:
    """Looks a setting up in the options, then in the environment, and names it when it is wrong."""

    def __init__(self, options: Mapping[str, object], environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ

    def read(
        self, name: str, parse: Callable[[object], T], parse_variable: Callable[[object], T] | None = None
    ) -> T | None:
        """Return the parsed setting, None when it is nowhere; an empty variable counts as unset."""
        if name in self._options:
            return _parsed(f"option {name!r} of the otlp exporter", parse, self._options[name])
        for prefix in ("OTEL_EXPORTER_OTLP_PROFILES_", "OTEL_EXPORTER_OTLP_"):
            variable = prefix + name.upper()
            if value := self._environ.get(variable, "").strip():
                return _parsed(variable, parse_variable or parse, value)
        return None

    def read_timeout_s(self) -> float | None:
        """Return the timeout: a duration as an option, milliseconds (so the specification) as a variable."""
        return self.read("timeout", _duration_s, _milliseconds_as_s)


def _parsed(name: str, parse: Callable[[object], T], value: object) -> T:
    try:
        return parse(value)
    except (UsageError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error


def _endpoint(value: object) -> tuple[str, str]:
    """Return ``host:port`` and the scheme, "" when there is none."""
    text = str(value)
    scheme, separator, _ = text.partition("://")
    if separator and scheme not in {"http", "https"}:
        raise ValueError(f"the scheme must be http or https, not {scheme!r}")
    url = urlsplit(text if separator else f"//{text}")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("an OTLP/gRPC endpoint is only a scheme, a host and a port, like http://localhost:4317")
    if "@" in url.netloc:
        raise ValueError("credentials belong into headers, not into the endpoint")
    if not url.hostname:
        raise ValueError("it names no host; write it like http://localhost:4317")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    port = url.port or (443 if scheme == "https" and separator else _DEFAULT_PORT)
    return f"{host}:{port}", scheme if separator else ""


def _protocol(value: object) -> None:
    if value != "grpc":
        raise ValueError(f"the otlp exporter speaks grpc, not {value!r}; set OTEL_EXPORTER_OTLP_PROFILES_PROTOCOL=grpc")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    match str(value).lower():
        case "true":
            return True
        case "false":
            return False
    raise ValueError(f"{value!r} is neither true nor false")


def _pem(value: object) -> bytes:
    try:
        content = Path(str(value)).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {str(value)!r}: {error.strerror}") from error
    if b"-----BEGIN " not in content:
        raise ValueError(f"{str(value)!r} holds nothing in PEM form")
    return content


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    """Read a table, or ``name=value,name2=value2`` with percent-encoding; a wrong value is never quoted."""
    if isinstance(value, Mapping):
        pairs = [(str(name), str(text)) for name, text in value.items()]
    else:
        pairs = []
        for member in filter(None, (member.strip() for member in str(value).split(","))):
            name, separator, text = member.partition("=")
            if not separator:
                raise ValueError("headers are written name=value,name2=value2")
            pairs.append((unquote(name.strip()), unquote(text.strip())))
    return tuple(_checked_header(name.lower(), text) for name, text in pairs)


def _checked_header(name: str, text: str) -> tuple[str, str]:
    if not _HEADER_NAME.fullmatch(name) or name.startswith("grpc-") or name.endswith("-bin"):
        raise ValueError(f"{name!r} cannot be the name of a header in gRPC")
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError(f"the value of header {name!r} has characters other than printable ASCII")
    return name, text


def _gzip(value: object) -> bool:
    if value not in {"gzip", "none"}:
        raise ValueError(f"{value!r} is no compression; there are gzip and none")
    return value == "gzip"


def _duration_s(value: object) -> float:
    return parse_duration_ns(str(value)) / 1e9


def _milliseconds_as_s(value: object) -> float:
    if not re.fullmatch(r"[0-9]{1,12}", str(value)):
        raise ValueError(f"{str(value)!r} is not a number of milliseconds")
    return parse_duration_ns(f"{value}ms") / 1e9


def _size(value: object) -> int:
    return parse_size_bytes(str(value))
