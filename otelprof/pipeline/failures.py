"""Failures that end nothing: counted, told, and the rest goes on."""

import logging
from collections import Counter
from types import TracebackType

from otelprof.errors import OtelprofError
from otelprof.logs import fields

__all__ = ("Failures",)

_logger = logging.getLogger(__name__)


class Failures:
    """Counts what went wrong, by where it did.

    Whoever runs on the host can make a reader fail, and everybody else is still to be profiled.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def outlive(self, where: str) -> "_Outliving":
        """Give a context manager that ends an OtelprofError or OSError here."""
        return _Outliving(self.counts, where)


class _Outliving:
    def __init__(self, counts: Counter[str], where: str) -> None:
        self._counts = counts
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, OtelprofError | OSError):
            return False
        self._counts[self._where] += 1
        _logger.warning("something went wrong and is left out: %s", error, extra=fields(where=self._where))
        return True
