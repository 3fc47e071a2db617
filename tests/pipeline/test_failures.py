"""What ends nothing."""

import logging

import pytest

from otelprof.errors import BadRecord, ProcessGone
from otelprof.pipeline.failures import Failures


@pytest.mark.parametrize("error", [ProcessGone(7), BadRecord("a record"), OSError(5, "Input/output error")])
def test_failures_of_others_are_counted_told_and_outlived(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()

    with caplog.at_level(logging.WARNING, "otelprof"):
        for _ in range(2):
            with failures.outlive("process"):
                raise error

    assert failures.counts == {"process": 2}
    assert str(error) in caplog.text


def test_mistakes_of_our_own_are_not_hidden() -> None:
    failures = Failures()

    with pytest.raises(KeyError), failures.outlive("process"):
        raise KeyError("x")
    with failures.outlive("process"):
        pass

    assert not failures.counts
