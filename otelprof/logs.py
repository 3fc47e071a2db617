"""Log lines on standard error: logfmt or JSON, repetitions held back.

Messages are whole sentences; what varies goes into fields, so that the same event has the same text::

    logger.warning("an export failed", extra=fields(exporter="otlp", code="UNAVAILABLE"))

Nothing secret is ever given to a logger: values of headers, environments and command lines stay out.
"""

import argparse
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final, TextIO

__all__ = ("RepetitionFilter", "add_log_arguments", "configure_logs", "fields")

LOG_FORMATS: Final = ("logfmt", "json")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_REPETITION_PERIOD_S = 60.0
_REMEMBERED_MESSAGES = 1024
"""Messages are templates in the source, so their number is small; the bound is a precaution."""

_BARE_LOGFMT_VALUE = re.compile(r"[^\s\"=\\\x00-\x1f\x7f]+")


def fields(**values: object) -> dict[str, object]:
    """Make the ``extra`` of a logging call from named values."""
    return {"fields": values}


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--log-level`` and ``--log-format``, the same for every command."""
    group = parser.add_argument_group("logging")
    group.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="warning",
        help="least important messages to show (default: %(default)s); debug adds tracebacks",
    )
    group.add_argument(
        "--log-format", choices=LOG_FORMATS, default="logfmt", help="how log lines look (default: %(default)s)"
    )


def configure_logs(
    *,
    level: str,
    log_format: str,
    stream: TextIO | None = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> None:
    """Send the messages of all ``otelprof`` loggers to ``stream`` (standard error); replaces an earlier setting."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _LogfmtFormatter())
    handler.addFilter(RepetitionFilter(_REPETITION_PERIOD_S, clock_s))
    logger = logging.getLogger("otelprof")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())


class RepetitionFilter(logging.Filter):
    """Lets one warning or error of a kind through per period and tells how many it held back.

    Messages are of one kind when logger, level and template are equal. What is less than a warning
    always passes. The next one that passes carries the field ``suppressed``.
    """

    def __init__(self, period_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._period_s = period_s
        self._clock_s = clock_s
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about one record."""
        if record.levelno < logging.WARNING:
            return True
        now_s = self._clock_s()
        kind = (record.name, record.levelno, str(record.msg))
        until_s, suppressed = self._kinds.pop(kind, (now_s, 0))
        if now_s < until_s:
            self._kinds[kind] = (until_s, suppressed + 1)
            return False
        self._kinds[kind] = (now_s + self._period_s, 0)
        while len(self._kinds) > _REMEMBERED_MESSAGES:
            del self._kinds[next(iter(self._kinds))]
        if suppressed:
            record.fields = {**_fields_of(record), "suppressed": suppressed}
        return True


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    values: Mapping[str, object] = getattr(record, "fields", {})
    return values


def _entries(record: logging.LogRecord, formatter: logging.Formatter) -> dict[str, object]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    entries: dict[str, object] = {
        "time": f"{moment}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **_fields_of(record),
    }
    if record.exc_info:
        entries["traceback"] = formatter.formatException(record.exc_info)
    return entries


class _LogfmtFormatter(logging.Formatter):
    """``key=value`` pairs; a value is quoted, in JSON's manner, where it has to be."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_logfmt_value(value)}" for key, value in _entries(record, self).items())


class _JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        import json

        return json.dumps(_entries(record, self), default=str)


def _logfmt_value(value: object) -> str:
    text = str(value)
    if _BARE_LOGFMT_VALUE.fullmatch(text):
        return text
    import json

    return json.dumps(text)
