"""How log lines look, and that repetitions are held back."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from otelprof.logs import RepetitionFilter, configure_logs, fields


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream(clock: Clock) -> Iterator[io.StringIO]:
    logger = logging.getLogger("otelprof")
    before = logger.handlers[:], logger.level
    text = io.StringIO()
    configure_logs(level="info", log_format="logfmt", stream=text, clock_s=clock)
    yield text
    logger.handlers[:], logger.level = before


def test_logfmt_quotes_what_needs_it(stream: io.StringIO) -> None:
    logging.getLogger("otelprof.test").info(
        "two words", extra=fields(bare="a/b:c", spaced="a b", quoted='"', lines="a\nb", equals="a=b", none="", number=3)
    )

    line = stream.getvalue()
    assert line.startswith("time=2")
    assert line.endswith(
        'Z level=info logger=otelprof.test message="two words" bare=a/b:c spaced="a b" quoted="\\"" '
        'lines="a\\nb" equals="a=b" none="" number=3\n'
    )


def test_json_is_one_object_per_line(clock: Clock, stream: io.StringIO) -> None:
    configure_logs(level="debug", log_format="json", stream=stream, clock_s=clock)
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("otelprof.test").debug("odd", exc_info=True, extra=fields(path=b"/x", count=2))

    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["message"] == "odd"
    assert entry["level"] == "debug"
    assert entry["path"] == "b'/x'"
    assert entry["count"] == 2
    assert "KeyError" in entry["traceback"]


def test_less_important_messages_are_left_out(stream: io.StringIO) -> None:
    logging.getLogger("otelprof.test").debug("too much")

    assert stream.getvalue() == ""


def test_the_same_warning_comes_once_a_minute_and_tells_how_many_were_held_back(
    stream: io.StringIO, clock: Clock
) -> None:
    logger = logging.getLogger("otelprof.test")
    for _ in range(5):
        logger.warning("an export failed", extra=fields(code="UNAVAILABLE"))
    assert len(stream.getvalue().splitlines()) == 1

    clock.now_s = 60.0
    logger.warning("an export failed", extra=fields(code="UNAVAILABLE"))
    logger.warning("an export failed", extra=fields(code="UNAVAILABLE"))

    _, second = stream.getvalue().splitlines()
    assert second.endswith("code=UNAVAILABLE suppressed=4")


def test_other_messages_levels_and_loggers_are_not_held_back(stream: io.StringIO) -> None:
    logging.getLogger("otelprof.a").warning("one")
    logging.getLogger("otelprof.a").warning("two")
    logging.getLogger("otelprof.a").error("one")
    logging.getLogger("otelprof.b").warning("one")
    for _ in range(3):
        logging.getLogger("otelprof.a").info("a window has closed")

    assert len(stream.getvalue().splitlines()) == 7


def test_the_memory_of_messages_is_bounded() -> None:
    repetitions = RepetitionFilter(60.0, Clock())
    for number in range(2000):
        record = logging.LogRecord("otelprof.test", logging.WARNING, __file__, 1, f"message {number}", (), None)
        assert repetitions.filter(record)

    assert len(vars(repetitions)["_kinds"]) == 1024
