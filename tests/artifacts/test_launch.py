"""Workers find the package wherever the agent found it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from otelprof.artifacts import wire
from otelprof.artifacts.launch import local_spawn
from otelprof.artifacts.limits import Limits
from tests.gates import ROOT


def hello() -> bytes:
    worker = local_spawn([], Limits())()
    try:
        return worker.channel.recv(wire.MAX_HELLO_BYTES)
    finally:
        worker.kill()
        worker.channel.close()
        worker.reap()


def test_the_current_directory_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "otelprof").mkdir()
    (tmp_path / "otelprof/__init__.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", ".", *(entry for entry in sys.path if Path(entry) != ROOT)])

    assert hello()[:1] == wire.READY


def test_the_package_may_be_in_a_zip_file(tmp_path: Path) -> None:
    archive = tmp_path / "otelprof.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in (ROOT / "otelprof/__init__.py", ROOT / "otelprof/errors.py", *ROOT.glob("otelprof/artifacts/*.py")):
            stream.write(path, path.relative_to(ROOT))
    agent = subprocess.run(
        [sys.executable, "-S", "-c", _AGENT, str(archive)], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert agent.stdout == f"{archive}/otelprof/artifacts/launch.py b'+'\n"


_AGENT = """
import sys
sys.path.insert(0, sys.argv[1])
from otelprof.artifacts import launch
from otelprof.artifacts.limits import Limits
worker = launch.local_spawn([], Limits())()
print(launch.__file__, worker.channel.recv(4096)[:1])
worker.channel.close()
worker.reap()
"""


def test_standard_streams_need_not_be_open() -> None:
    """A daemon may have closed them, so that the channel gets one of their numbers."""
    agent = subprocess.run([sys.executable, "-c", _DAEMON], capture_output=True, text=True, check=False, cwd=ROOT)
    assert agent.returncode == 43, agent.stderr


_DAEMON = """
import os
from otelprof.artifacts.launch import local_spawn
from otelprof.artifacts.limits import Limits
os.close(0)
os.close(1)
worker = local_spawn([], Limits())()
assert min(worker.channel.fileno(), 3) < 2
ready = worker.channel.recv(4096)[:1]
worker.channel.close()
worker.reap()
os._exit(ready[0])
"""


def test_a_closed_channel_is_the_end_of_the_worker() -> None:
    worker = local_spawn([], Limits())()
    assert worker.channel.recv(wire.MAX_HELLO_BYTES)[:1] == wire.READY
    worker.channel.close()
    worker.reap()
    worker.kill()
    worker.reap()
