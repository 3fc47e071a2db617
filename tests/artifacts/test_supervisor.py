"""Workers that do not start, or talk nonsense: played by the test at the other end of the channel."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from otelprof.artifacts import wire
from otelprof.artifacts.launch import WorkerProcess, local_spawn
from otelprof.artifacts.limits import Limits
from otelprof.artifacts.supervisor import Supervisor, Verdict
from otelprof.errors import WorkerFailure

PATIENT = Limits(cpu_s=60, max_cpu_s=60)


class Impostor:
    """A worker played by a function in a thread; it sees end of file when it is killed."""

    def __init__(self, play: Callable[[socket.socket], None]) -> None:
        self.channel, other_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.reaped = False
        self._thread = threading.Thread(target=self._run, args=(play, other_end))
        self._thread.start()

    def _run(self, play: Callable[[socket.socket], None], channel: socket.socket) -> None:
        with channel, suppress(ConnectionError):
            play(channel)

    def kill(self) -> None:
        pass

    def reap(self) -> None:
        assert not self.reaped
        self.reaped = True
        self._thread.join(60)


def answering(*replies: Callable[[int], bytes]) -> Callable[[socket.socket], None]:
    """Play a worker that makes each reply out of the number of the request."""

    def play(channel: socket.socket) -> None:
        channel.send(wire.READY)
        for reply in replies:
            message, files, _, _ = socket.recv_fds(channel, wire.REQUEST.size, 4)
            for file in files:
                os.close(file)
            if message and (answer := reply(wire.REQUEST.unpack(message)[0])):
                channel.send(answer)

    return play


def done(number: int) -> bytes:
    return wire.REPLY.pack(number, False, wire.EXIT_DONE)


def supervise(*plays: Callable[[socket.socket], None], limits: Limits = PATIENT) -> tuple[Supervisor, list[Impostor]]:
    started: list[Impostor] = []

    def spawn() -> WorkerProcess:
        started.append(Impostor(plays[len(started)]))
        return started[-1]

    return Supervisor(spawn, limits), started


def parse(supervisor: Supervisor) -> Verdict:
    output = os.memfd_create("output")
    try:
        return supervisor.parse(0, [], output, 0).verdict
    finally:
        os.close(output)


def test_replies_are_verdicts() -> None:
    statuses = {
        wire.EXIT_DONE: Verdict.DONE,
        wire.EXIT_REFUSED: Verdict.REFUSED,
        wire.EXIT_MEMORY: Verdict.MEMORY,
        77: Verdict.CRASH,
        -11: Verdict.CRASH,
        -64: Verdict.CRASH,
        -200: Verdict.CRASH,
        -24: Verdict.HANG,
    }

    def reply(status: int) -> Callable[[int], bytes]:
        return lambda number: wire.REPLY.pack(number, False, status)

    supervisor, started = supervise(answering(*map(reply, statuses)))
    assert [parse(supervisor) for _ in statuses] == [*statuses.values()]
    assert len(started) == supervisor.starts == 1
    supervisor.retire()
    assert started[0].reaped


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda number: wire.REPLY.pack(number + 1, False, wire.EXIT_DONE),
        lambda _number: b"x",
        lambda _number: b"",
    ],
)
def test_nonsense_ends_the_worker_and_is_tried_once_more(nonsense: Callable[[int], bytes]) -> None:
    supervisor, started = supervise(answering(nonsense), answering(nonsense), answering(done))

    assert parse(supervisor) is Verdict.CRASH
    assert [worker.reaped for worker in started] == [True, True]
    assert parse(supervisor) is Verdict.DONE
    supervisor.retire()


def test_a_reply_that_came_before_the_request_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    both_sent = threading.Event()

    def hasty(channel: socket.socket) -> None:
        channel.send(wire.READY)
        channel.send(done(0))
        both_sent.set()
        answering(lambda _number: b"")(channel)

    supervisor, _ = supervise(hasty, answering(done))
    spawn = supervisor._spawn

    def spawn_and_wait() -> WorkerProcess:
        worker = spawn()
        assert both_sent.wait(60)
        return worker

    monkeypatch.setattr(supervisor, "_spawn", spawn_and_wait)
    assert parse(supervisor) is Verdict.DONE
    assert supervisor.starts == 2
    supervisor.retire()


def test_a_worker_that_does_not_come_up_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    def refusing(channel: socket.socket) -> None:
        channel.send(wire.NOT_READY + b"ImportError: no such module")

    supervisor, _ = supervise(refusing, lambda _channel: None, refusing, refusing, answering(done))
    monkeypatch.setattr(supervisor._stopped, "wait", pauses.append)

    assert parse(supervisor) is Verdict.DONE
    assert pauses == [0.1, 0.2, 0.4]
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "ImportError: no such module; trying again",
        "it ended; trying again",
        *["ImportError: no such module; trying again"] * 2,
    ]
    supervisor.retire()


def test_a_worker_that_hangs_at_its_start() -> None:
    supervisor, _ = supervise(
        lambda channel: assert_empty(channel.recv(1)), answering(done), limits=Limits(start_s=0.05)
    )
    assert parse(supervisor) is Verdict.DONE
    supervisor.retire()


def assert_empty(data: bytes) -> None:
    assert data == b""


def test_stopping_ends_the_attempts(caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[float] = []
    failing = threading.Event()

    def spawn() -> WorkerProcess:
        attempts.append(time.monotonic())
        if len(attempts) == 3:
            failing.set()
        raise WorkerFailure("the parsing worker cannot be started: no processes left")

    supervisor = Supervisor(spawn, Limits())
    outcome: list[str] = []

    def run() -> None:
        try:
            parse(supervisor)
        except WorkerFailure as failure:
            outcome.append(str(failure))

    thread = threading.Thread(target=run)
    thread.start()
    assert failing.wait(60)
    supervisor.stop()
    thread.join(60)
    assert outcome == ["the parsing worker is stopped"]


def test_a_real_worker_says_why_it_cannot_work(caplog: pytest.LogCaptureFixture) -> None:
    start = local_spawn(["otelprof.no_such_module:extract"], Limits())
    supervisor = Supervisor(start, Limits())
    with pytest.raises(WorkerFailure, match=r"ModuleNotFoundError: No module named 'otelprof\.no_such_module'"):
        supervisor._try_start()


def test_a_missing_interpreter_is_a_worker_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(WorkerFailure, match="cannot be started: No such file or directory"):
        local_spawn([], Limits())()
