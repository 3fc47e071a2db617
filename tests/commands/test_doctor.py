"""`otelprof doctor`: options, output and exit code; the examinations have tests of their own."""

import json
from pathlib import Path

import pytest

from otelprof import cli
from otelprof.doctor import Machine
from otelprof.roots import HostRoots
from tests.doctor.machines import FakeBpf, healthy_machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[HostRoots, Path]]:
    """Puts a made-up host in the place of this one; gives what the command asked for."""
    asked: list[tuple[HostRoots, Path]] = []

    def this_machine(roots: HostRoots, cache_dir: Path) -> Machine:
        asked.append((roots, cache_dir))
        broken = roots.root == Path("/broken")
        return healthy_machine(tmp_path, bpf=FakeBpf(code=1 if broken else 0))

    monkeypatch.setattr("otelprof.commands.doctor.this_machine", this_machine)
    return asked


def test_a_table_and_0_where_record_works(
    machine: list[tuple[HostRoots, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--host-root", "/host", "--cache-dir", "/c"]) == 0
    assert capsys.readouterr().out.endswith("otelprof record works here\n")
    assert machine == [(HostRoots(Path("/host")), Path("/c"))]


@pytest.mark.usefixtures("machine")
def test_1_where_it_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--host-root", "/broken", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["record_works"] is False
