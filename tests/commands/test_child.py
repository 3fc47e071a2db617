"""The program that a recording starts."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otelprof.commands.child import HeldProgram
from otelprof.commands.signals import SignalEvents


def run(*arguments: str) -> int:
    program = HeldProgram(arguments)
    program.release()
    try:
        return program.exit_code()
    finally:
        program.close()


def test_nothing_of_the_program_runs_before_it_is_released(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    program = HeldProgram(["touch", str(witness)])
    assert Path(f"/proc/{program.pid}/exe").readlink() == Path(f"/proc/{os.getpid()}/exe").readlink()
    assert not witness.exists()

    program.release()
    assert select.select([program], [], [], 20)[0] == [program]
    assert program.exit_code() == 0
    program.close()
    assert witness.exists()


def test_a_program_that_is_never_released_never_runs(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    program = HeldProgram(["touch", str(witness)])
    program.close()

    assert not witness.exists()
    assert not Path(f"/proc/{program.pid}").exists(), "no zombie is left"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["/nonexistent/program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_its_status_is_given_as_a_shell_gives_it(arguments: list[str], code: int) -> None:
    assert run(*arguments) == code


def test_signals_are_handed_on() -> None:
    code = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
    code += "print('up', flush=True)\nsignal.pause()"
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    program = HeldProgram([sys.executable, "-c", code])
    os.dup2(saved, 1)
    os.close(saved)
    os.close(writer)
    program.release()
    assert os.read(reader, 3) == b"up\n"
    os.close(reader)

    program.forward(signal.SIGTERM)

    assert program.exit_code() == 9
    program.forward(signal.SIGTERM)  # it is gone: nothing happens
    program.close()


def test_it_dies_of_a_broken_pipe_as_programs_do() -> None:
    """Python ignores SIGPIPE; what it starts must not."""
    code = "import sys; from otelprof.commands.child import HeldProgram\n"
    code += "p = HeldProgram(['sh', '-c', 'trap - PIPE; kill -PIPE $$']); p.release(); sys.exit(p.exit_code())"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 128 + signal.SIGPIPE


def test_signals_wake_a_loop_and_keep_their_order() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with SignalEvents(signal.SIGUSR1, signal.SIGUSR2) as events:
        assert events.take() == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([events], [], [], 20)[0] == [events]
        os.kill(os.getpid(), signal.SIGUSR2)
        assert events.take() == [signal.SIGUSR1, signal.SIGUSR2]

    assert signal.getsignal(signal.SIGUSR1) is before
