"""TLS and mutual TLS, with certificates made here."""

import subprocess
from pathlib import Path

import grpc
import pytest

from otelprof.pipeline.exporter import ExportResult
from otelprof_otlp import OtlpExporter
from otelprof_otlp.status import OtlpExportError
from tests.exporters.messages import batch
from tests.exporters.receiver import running_receiver


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.pem`` and, signed by it, ``server.pem``/``server.key`` and ``client.pem``/``client.key``."""
    folder = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *("req", "-x509", *new_key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem"),
        *("-subj", "/CN=test authority", "-days", "2"),
    )
    for name in ("server", "client"):
        openssl(
            *("req", *new_key, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr"),
            *("-subj", f"/CN={name}"),
        )
        (folder / "names").write_text("subjectAltName=DNS:localhost\n")
        openssl(
            *("x509", "-req", "-in", folder / f"{name}.csr", "-out", folder / f"{name}.pem", "-days", "2"),
            *("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-set_serial", "1", "-extfile", folder / "names"),
        )
    return folder


def server_credentials(folder: Path, *, mutual: bool) -> grpc.ServerCredentials:
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    authority = (folder / "ca.pem").read_bytes()
    return grpc.ssl_server_credentials([pair], authority if mutual else None, mutual)


def export(options: dict[str, object], environ: dict[str, str]) -> ExportResult:
    exporter = OtlpExporter.from_options({"timeout": "5s", **options}, environ)
    try:
        return exporter.export(batch())
    finally:
        exporter.close()


def test_tls_with_an_authority_of_ones_own(certificates: Path) -> None:
    with running_receiver(credentials=server_credentials(certificates, mutual=False)) as receiver:
        result = export(
            {"endpoint": f"https://{receiver.endpoint}"},
            {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / "ca.pem")},
        )

    assert result == ExportResult(exported=3)


def test_an_unknown_authority_is_refused(certificates: Path) -> None:
    with (
        running_receiver(credentials=server_credentials(certificates, mutual=False)) as receiver,
        pytest.raises(OtlpExportError, match="check the certificates"),
    ):
        export({"endpoint": f"https://{receiver.endpoint}"}, {})

    assert receiver.payloads == []


def test_mutual_tls(certificates: Path) -> None:
    with running_receiver(credentials=server_credentials(certificates, mutual=True)) as receiver:
        endpoint = f"https://{receiver.endpoint}"
        trusted = {"endpoint": endpoint, "certificate": certificates / "ca.pem"}
        pair = {"client_certificate": certificates / "client.pem", "client_key": certificates / "client.key"}

        with pytest.raises(OtlpExportError):
            export({**trusted}, {})
        assert receiver.payloads == []
        assert export({**trusted, **pair}, {}) == ExportResult(exported=3)


def test_tls_against_plain_text_says_what_to_do() -> None:
    with running_receiver() as receiver, pytest.raises(OtlpExportError, match="use http:// where the Collector has no"):
        export({"endpoint": receiver.endpoint}, {})

    assert receiver.payloads == []
