"""A gate never hides a test that was asked for, and says why it skipped one."""

from pathlib import Path

import pytest

from tests import gates
from tests.gates import Gate, Missing


class Finder:
    """Finds what it was given and counts how often it was asked."""

    def __init__(self, found: Path | Missing) -> None:
        self.found = found
        self.asked = 0

    def __call__(self) -> Path:
        self.asked += 1
        if isinstance(self.found, Missing):
            raise self.found
        return self.found


THERE = Path("/bin/there")
ABSENT = Missing("the thing is not built: `make thing`")


@pytest.mark.parametrize("wanted", [None, "auto", "force"])
def test_what_is_there_is_returned(monkeypatch: pytest.MonkeyPatch, wanted: str | None) -> None:
    set_wanted(monkeypatch, wanted)

    assert Gate("thing", Finder(THERE)).require() == THERE


@pytest.mark.parametrize("wanted", [None, "auto"])
def test_what_is_missing_skips_with_the_reason_and_the_way_to_force(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None
) -> None:
    set_wanted(monkeypatch, wanted)

    with pytest.raises(pytest.skip.Exception, match=r"`make thing` \(OTELPROF_TEST_THING=force makes"):
        Gate("thing", Finder(ABSENT)).require()


def test_what_is_missing_fails_when_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    set_wanted(monkeypatch, "force")

    with pytest.raises(pytest.fail.Exception, match="OTELPROF_TEST_THING=force, but the thing is not built"):
        Gate("thing", Finder(ABSENT)).require()


def test_never_skips_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    set_wanted(monkeypatch, "never")
    finder = Finder(THERE)

    with pytest.raises(pytest.skip.Exception, match="OTELPROF_TEST_THING=never"):
        Gate("thing", finder).require()
    assert finder.asked == 0


def test_another_word_is_a_failure_and_not_a_silent_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    set_wanted(monkeypatch, "always")

    with pytest.raises(pytest.fail.Exception, match="OTELPROF_TEST_THING=always is not one of"):
        Gate("thing", Finder(THERE)).require()


@pytest.mark.parametrize("found", [THERE, ABSENT])
def test_a_gate_looks_once(monkeypatch: pytest.MonkeyPatch, found: Path | Missing) -> None:
    set_wanted(monkeypatch, None)
    finder = Finder(found)
    gate = Gate("thing", finder)

    for _ in range(2):
        try:
            gate.require()
        except pytest.skip.Exception:
            assert found is ABSENT

    assert finder.asked == 1


def test_an_unprivileged_user_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(Missing, match="need root"):
        gates._find_kernel()


def test_a_refused_system_call_is_named_with_its_error() -> None:
    # An attribute structure of zero bytes is refused by every kernel, whoever asks.
    with pytest.raises(Missing, match=r"bpf is refused here: E[A-Z]+, \w+"):
        gates._try_system_call("bpf", 0, b"\0" * 20, 20)


def set_wanted(monkeypatch: pytest.MonkeyPatch, wanted: str | None) -> None:
    if wanted is None:
        monkeypatch.delenv("OTELPROF_TEST_THING", raising=False)
    else:
        monkeypatch.setenv("OTELPROF_TEST_THING", wanted)
