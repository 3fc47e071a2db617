"""How exporters are found."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint

import pytest

from otelprof.errors import EnvironmentFailure, UsageError
from otelprof.pipeline import exporter as module
from otelprof.pipeline.exporter import ENTRY_POINT_GROUP, available_exporters, load_exporter


def install(monkeypatch: pytest.MonkeyPatch, **places: str) -> None:
    """Make these the entry points that are installed."""
    points = [EntryPoint(name, place, ENTRY_POINT_GROUP) for name, place in places.items()]

    def entry_points(*, group: str, name: str | None = None) -> Sequence[EntryPoint]:
        assert group == ENTRY_POINT_GROUP
        return [point for point in points if name in {None, point.name}]

    monkeypatch.setattr(module, "entry_points", entry_points)


def test_ours_is_found_like_anybody_s() -> None:
    assert "otlp" in available_exporters()
    assert load_exporter("otlp").__module__.startswith("otelprof_otlp")


def test_looking_for_exporters_imports_none() -> None:
    program = (
        "import sys; from otelprof.pipeline.exporter import available_exporters; available_exporters();"
        "sys.exit(bool({'grpc', 'otelprof_otlp'} & sys.modules.keys()))"
    )

    subprocess.run([sys.executable, "-c", program], check=True)


def test_names_are_sorted_and_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, otlp="a:B", files="c:D")

    assert available_exporters() == ("files", "otlp")


@pytest.mark.parametrize(
    ("installed", "listed"), [({"otlp": "a:B", "files": "c:D"}, "files, otlp"), ({}, "none installed")]
)
def test_an_unknown_name_is_answered_with_those_that_exist(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], listed: str
) -> None:
    install(monkeypatch, **installed)

    with pytest.raises(UsageError, match=f"no exporter called 'otpl'; installed: {listed}$"):
        load_exporter("otpl")


@pytest.mark.parametrize("place", ["otelprof_nowhere:Exporter", "otelprof.errors:NoSuchExporter"])
def test_a_broken_installation_is_one_sentence(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    install(monkeypatch, broken=place)

    with pytest.raises(EnvironmentFailure, match="exporter broken is installed but cannot be loaded"):
        load_exporter("broken")
