"""A real OpenTelemetry Collector for one test: start it, wait until it accepts, read what it received."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from tests.gates import require_collector

__all__ = ("CONFIG", "PROFILES_GATE", "Collector", "CollectorFailed", "running_collector")

PROFILES_GATE = "--feature-gates=service.profilesSupport"
"""Without this argument a Collector refuses every configuration with a profiles pipeline."""

CONFIG = """
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "${env:GRPC_ENDPOINT:-127.0.0.1:0}"}
      http: {endpoint: "${env:HTTP_ENDPOINT:-127.0.0.1:0}"}
exporters:
  file/json: {path: profiles.otlp.jsonl}
  file/proto: {path: profiles.proto, format: proto}
  debug: {}
service:
  telemetry:
    metrics: {level: none}
    logs: {sampling: {enabled: false}}
  pipelines:
    profiles: {receivers: [otlp], exporters: [file/json, file/proto, debug]}
"""
"""Receives profiles on free loopback ports; writes them to two files and a line about each request to the log.

Without ``sampling: {enabled: false}`` a Collector leaves out all but ten equal lines in ten seconds.
"""

_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 20


class CollectorFailed(Exception):
    """A Collector ended, or did not do in time what was waited for; the text ends with its log."""


class Collector:
    """A running Collector; :func:`running_collector` makes one.

    ``grpc_endpoint`` and ``http_endpoint`` are ``127.0.0.1:PORT``, "" where the receiver has no such protocol.
    ``folder`` is its working folder: relative paths of its configuration are below it.
    """

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self.folder = folder
        self._log: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.wait_for_log("Everything is ready", timeout_s=_START_TIMEOUT_S)
        self.grpc_endpoint = self._logged_endpoint("Starting GRPC server")
        self.http_endpoint = self._logged_endpoint("Starting HTTP server")

    @property
    def log(self) -> str:
        """What it wrote to stderr until now."""
        return "".join(self._log)

    def wait_for_log(self, text: str, *, times: int = 1, timeout_s: float = 20) -> None:
        """Wait until ``text`` stands in ``times`` lines of its log.

        Raises CollectorFailed when it ends before that, or after ``timeout_s`` seconds.
        """

        def happened() -> bool:
            return sum(text in line for line in self._log) >= times

        with self._changed:
            self._changed.wait_for(lambda: happened() or self._ended, timeout_s)
            if happened():
                return
        state = "ended" if self._ended else f"ran {timeout_s} s more"
        raise CollectorFailed(f"waited for {text!r} {times} times in the log; the Collector {state}\n{self.log}")

    def wait_for_requests(self, count: int, *, timeout_s: float = 20) -> None:
        """Wait until ``count`` requests came out of the pipeline; needs the debug exporter of ``CONFIG``."""
        self.wait_for_log('"resource profiles":', times=count, timeout_s=timeout_s)

    def received(self, file: str = "profiles.proto") -> list[ProfilesData]:
        """Stop it, so that its files are complete, and return every request it received, in order.

        ``file`` is what a file exporter with ``format: proto`` wrote: messages, each behind its length in four
        bytes, big endian.
        """
        self.stop()
        data = (self.folder / file).read_bytes()
        messages = []
        while data:
            size = int.from_bytes(data[:4], "big")
            assert len(data) >= 4 + size, "the Collector's file is cut off"
            messages.append(ProfilesData.FromString(data[4 : 4 + size]))
            data = data[4 + size :]
        return messages

    def stop(self) -> None:
        """End it in an orderly way: everything it accepted is in its files afterwards."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise CollectorFailed(f"the Collector did not end within {_STOP_TIMEOUT_S} s\n{self.log}") from None
        finally:
            self._reader.join()

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                with self._changed:
                    self._log.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _logged_endpoint(self, announcement: str) -> str:
        """The address after an announcement; port 0 of the configuration has become the real one there."""
        for line in self._log:
            if announcement in line:
                fields: dict[str, str] = json.loads(line.rpartition("\t")[2])
                return fields["endpoint"]
        return ""


@contextmanager
def running_collector(
    folder: Path,
    *,
    config: str = CONFIG,
    arguments: tuple[str, ...] = (PROFILES_GATE,),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Collector]:
    """Run a Collector in ``folder`` and yield it once it accepts; its log is printed when the block fails.

    ``environment`` is what ``${env:NAME:-default}`` in ``config`` sees beside the usual variables. Skips or fails
    the test where there is no Collector (``tests.gates``). Raises CollectorFailed when it refuses ``config``.
    """
    binary = require_collector()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "collector.yaml").write_text(config)
    process = subprocess.Popen(
        [binary, "--config=collector.yaml", *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        collector = Collector(process, folder)
        try:
            yield collector
        except BaseException:
            print(collector.log)
            raise
        collector.stop()
    finally:
        process.kill()
        process.wait()
