"""Durations, sizes and rates as people write them."""

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.errors import UsageError
from otelprof.quantities import argument, lockstep_advice, parse_duration_ns, parse_frequency_hz, parse_size_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5_000_000_000),
        ("5s", 5_000_000_000),
        ("500ms", 500_000_000),
        ("1.5s", 1_500_000_000),
        ("0.25", 250_000_000),
        ("0.000000001", 1),
        ("1m", 60_000_000_000),
        ("2h", 7_200_000_000_000),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert expected == parse_duration_ns(text)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "5 s", "5d", "1e3", "inf", "\u0665", ".5", "5.", "9" * 13, "3000000h"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="5, 5s, 500ms or 1m"):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("4096", 4096), ("512K", 512 << 10), ("4m", 4 << 20), ("4MiB", 4 << 20), ("1GiB", 1 << 30)],
)
def test_sizes(text: str, expected: int) -> None:
    assert expected == parse_size_bytes(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "4 MiB", "4MB", "4iB", "1.5M", "\u0664"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size_bytes(text)


@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("19", 19), ("1000", 1000)])
def test_frequencies(text: str, expected: int) -> None:
    assert expected == parse_frequency_hz(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "1001", "19.5", "1e2", "99Hz", "\u096f"])
def test_what_is_no_frequency(text: str) -> None:
    with pytest.raises(UsageError, match="1 to 1000"):
        parse_frequency_hz(text)


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_a_usage_error(text: str) -> None:
    for parse in (parse_duration_ns, parse_size_bytes, parse_frequency_hz):
        try:
            assert parse(text) >= 1
        except UsageError as error:
            assert repr(text) in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("frequency_hz", "better"),
    [(1, "3 Hz"), (5, "6 Hz"), (20, "19 Hz"), (100, "99 Hz"), (250, "249 Hz"), (1000, "999 Hz")],
)
def test_rates_in_step_with_periodic_work_get_advice(frequency_hz: int, better: str) -> None:
    advice = lockstep_advice(frequency_hz)

    assert advice is not None
    assert f"{frequency_hz} Hz falls into step" in advice
    assert better in advice


@pytest.mark.parametrize("frequency_hz", [3, 19, 97, 99, 999])
def test_other_rates_get_none(frequency_hz: int) -> None:
    assert lockstep_advice(frequency_hz) is None


def test_argparse_names_the_option_in_its_complaint() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("-d", type=argument(parse_duration_ns))

    assert parser.parse_args(["-d", "2"]).d == 2_000_000_000
    with pytest.raises(argparse.ArgumentError, match=r"argument -d: 'x' is not a duration"):
        parser.parse_args(["-d", "x"])
