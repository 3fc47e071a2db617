"""Options, OTEL_* variables and their precedence."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import ConfigError
from otelprof_otlp.settings import DEFAULT_MAX_REQUEST_BYTES, OtlpSettings, read_settings

OTLP = "OTEL_EXPORTER_OTLP_"
PROFILES = "OTEL_EXPORTER_OTLP_PROFILES_"


def test_defaults() -> None:
    assert read_settings({}, {}) == OtlpSettings(
        target="localhost:4317",
        tls=False,
        gzip=False,
        timeout_s=10.0,
        max_request_bytes=DEFAULT_MAX_REQUEST_BYTES,
    )
    assert DEFAULT_MAX_REQUEST_BYTES < 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("endpoint", "target", "tls"),
    [
        ("http://collector:4317", "collector:4317", False),
        ("http://collector:4317/", "collector:4317", False),
        ("https://collector:4317", "collector:4317", True),
        ("https://collector.example", "collector.example:443", True),
        ("http://collector", "collector:4317", False),
        ("collector:4317", "collector:4317", True),
        ("127.0.0.1:55690", "127.0.0.1:55690", True),
        ("http://[::1]:4317", "[::1]:4317", False),
        ("[::1]:4317", "[::1]:4317", True),
        ("collector", "collector:4317", True),
    ],
)
def test_endpoints(endpoint: str, target: str, tls: bool) -> None:
    settings = read_settings({"endpoint": endpoint}, {})

    assert (target, tls) == (settings.target, settings.tls)
    assert settings == read_settings({}, {OTLP + "ENDPOINT": endpoint})


@pytest.mark.parametrize(("insecure", "tls"), [("true", False), ("True", False), ("false", True), (True, False)])
def test_insecure_decides_where_there_is_no_scheme(insecure: object, tls: bool) -> None:
    assert read_settings({"endpoint": "collector:4317", "insecure": insecure}, {}).tls is tls
    assert read_settings({"endpoint": "https://collector:4317", "insecure": insecure}, {}).tls
    assert not read_settings({"endpoint": "http://collector:4317", "insecure": insecure}, {}).tls


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ("ftp://collector", "must be http or https, not 'ftp'"),
        ("http://collector:4318/v1development/profiles", "only a scheme, a host and a port"),
        ("http://user:secret@collector", "credentials belong into headers"),
        ("http://", "names no host"),
        (":4317", "names no host"),
        ("http://collector:port", "Port could not be cast"),
        ("http://collector:99999", "Port out of range"),
        ("http://[::1", "Invalid IPv6 URL"),
    ],
)
def test_wrong_endpoints_are_named_with_their_source(endpoint: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"option 'endpoint' of the otlp exporter: .*{complaint}"):
        read_settings({"endpoint": endpoint}, {})
    with pytest.raises(ConfigError, match=f"{PROFILES}ENDPOINT: ") as caught:
        read_settings({}, {PROFILES + "ENDPOINT": endpoint})
    assert "secret" not in str(caught.value)


def test_an_option_beats_the_profiles_variable_and_that_beats_the_general_one() -> None:
    environ = {OTLP + "ENDPOINT": "http://general:1"}
    assert read_settings({}, environ).target == "general:1"
    environ[PROFILES + "ENDPOINT"] = "http://profiles:2"
    assert read_settings({}, environ).target == "profiles:2"
    assert read_settings({"endpoint": "http://option:3"}, environ).target == "option:3"


def test_an_empty_variable_is_an_unset_one() -> None:
    environ = {PROFILES + "ENDPOINT": " ", OTLP + "ENDPOINT": "http://general:1", OTLP + "TIMEOUT": ""}

    assert read_settings({}, environ) == OtlpSettings(target="general:1", tls=False)


def test_timeout_is_milliseconds_in_the_environment_and_a_duration_as_an_option() -> None:
    assert read_settings({}, {OTLP + "TIMEOUT": "2500"}).timeout_s == 2.5
    assert read_settings({"timeout": "2500ms"}, {}).timeout_s == 2.5
    assert read_settings({"timeout": 3}, {}).timeout_s == 3.0


@pytest.mark.parametrize(
    "text", ["Authorization=Bearer%20x%3D,x-tenant=a", " authorization = Bearer%20x%3D , ,x-tenant=a,"]
)
def test_headers_are_percent_decoded_and_lower_case(text: str) -> None:
    assert read_settings({}, {OTLP + "HEADERS": text}).headers == (("authorization", "Bearer x="), ("x-tenant", "a"))


def test_headers_as_a_table() -> None:
    assert read_settings({"headers": {"X-Tenant": "50%41"}}, {}).headers == (("x-tenant", "50%41"),)


@pytest.mark.parametrize(
    "headers",
    ["novalue", "=secret", "a b=secret", "grpc-timeout=secret", "trace-bin=secret", "a=secret%0A", "a=secret%C3%A9"],
)
def test_wrong_headers_are_refused_without_their_value(headers: str) -> None:
    with pytest.raises(ConfigError, match=f"{OTLP}HEADERS: ") as caught:
        read_settings({}, {OTLP + "HEADERS": headers})
    assert "secret" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    settings = read_settings({"headers": "authorization=secret"}, {})

    assert "secret" not in repr(settings)


@pytest.mark.parametrize(("text", "gzip"), [("gzip", True), ("none", False)])
def test_compression(text: str, gzip: bool) -> None:
    assert read_settings({}, {OTLP + "COMPRESSION": text}).gzip is gzip


def test_size_limit() -> None:
    assert read_settings({"max_request_bytes": "1MiB"}, {}).max_request_bytes == 1 << 20
    assert read_settings({"max_request_bytes": 1 << 21}, {}).max_request_bytes == 1 << 21


def test_certificates_are_read(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(f"-----BEGIN {name}")
    settings = read_settings(
        {},
        {
            PROFILES + "CERTIFICATE": str(tmp_path / "ca"),
            PROFILES + "CLIENT_CERTIFICATE": str(tmp_path / "cert"),
            OTLP + "CLIENT_KEY": str(tmp_path / "key"),
        },
    )

    assert settings.certificate == b"-----BEGIN ca"
    assert settings.client_certificate == b"-----BEGIN cert"
    assert settings.client_key == b"-----BEGIN key"
    assert "BEGIN key" not in repr(settings)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({OTLP + "CERTIFICATE": "/nowhere/ca.pem"}, "CERTIFICATE: cannot read '/nowhere/ca.pem': No such file"),
        ({OTLP + "CERTIFICATE": "/dev/null"}, "'/dev/null' holds nothing in PEM form"),
        ({OTLP + "COMPRESSION": "zstd"}, "COMPRESSION: 'zstd' is no compression; there are gzip and none"),
        ({OTLP + "TIMEOUT": "10s"}, "TIMEOUT: '10s' is not a number of milliseconds"),
        ({OTLP + "INSECURE": "yes"}, "INSECURE: 'yes' is neither true nor false"),
        ({OTLP + "PROTOCOL": "http/protobuf"}, "PROTOCOL: the otlp exporter speaks grpc"),
        ({OTLP + "CLIENT_KEY": "/dev/null"}, "CLIENT_KEY: '/dev/null' holds nothing in PEM form"),
    ],
)
def test_wrong_variables(environ: Mapping[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_settings({}, environ)


def test_a_client_certificate_needs_its_key(tmp_path: Path) -> None:
    (tmp_path / "cert").write_text("-----BEGIN CERTIFICATE")
    with pytest.raises(ConfigError, match="only work together"):
        read_settings({"client_certificate": tmp_path / "cert"}, {})


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="no option 'endpiont'; it knows endpoint, insecure"):
        read_settings({"endpiont": "x"}, {})


_NAMES = ("ENDPOINT", "INSECURE", "HEADERS", "COMPRESSION", "TIMEOUT", "PROTOCOL")


@given(st.dictionaries(st.sampled_from([OTLP + name for name in _NAMES]), st.text(max_size=30)))
def test_any_environment_gives_settings_or_a_config_error(environ: dict[str, str]) -> None:
    try:
        assert read_settings({}, environ).timeout_s > 0
    except ConfigError as error:
        assert OTLP in str(error)  # noqa: PT017 - either outcome is right
