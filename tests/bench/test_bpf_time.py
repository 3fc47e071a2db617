import pytest

from tests.bench.bpf_time import Reading, per_sample_us


def test_ticks_that_capture_nothing_are_subtracted() -> None:
    happened = Reading(run_time_ns=1_050_000, ticks=400, captured=200).since(Reading(10_000, 100, 100))
    # 300 ticks, 200 of them at 200 ns; the rest of 1,040,000 ns is that of 100 samples.
    assert per_sample_us(happened, 200) == pytest.approx(10.0)
