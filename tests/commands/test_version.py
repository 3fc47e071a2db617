"""`otelprof version`."""

import platform
import subprocess
import sys
from importlib.metadata import version

import pytest

from otelprof import __version__, cli
from otelprof.errors import MissingFeature


def test_versions_of_everything_it_stands_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otelprof.sampler.libbpf.libbpf_version", lambda: "1.42")

    assert cli.main(["version"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["otelprof"] == __version__
    assert lines["python"].startswith(platform.python_version())
    assert lines["kernel"].startswith(platform.release())
    assert lines["libbpf"] == "1.42"
    for name in ("opentelemetry-proto", "protobuf", "grpcio", "zstandard"):
        assert lines[name] == version(name)


def test_what_is_missing_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def libbpf_version() -> str:
        raise MissingFeature("libbpf.so.1 is not installed")

    monkeypatch.setattr("otelprof.sampler.libbpf.libbpf_version", libbpf_version)
    monkeypatch.setattr("otelprof.commands.version._DISTRIBUTIONS", ("no-such-distribution",))

    assert cli.main(["version"]) == 0
    text = capsys.readouterr().out
    assert "libbpf.so.1 is not installed" in text
    assert "no-such-distribution  not installed" in text


def test_no_library_is_imported_for_its_version() -> None:
    script = (
        "import sys; from otelprof.cli import main; main(['version']);print('loaded', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    loaded = set(done.stderr.split())

    assert "loaded" in loaded
    assert not loaded & {"grpc", "google.protobuf", "prometheus_client", "elftools", "zstandard"}
