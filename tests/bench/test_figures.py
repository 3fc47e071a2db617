from tests.bench.figures import Figure, number


def test_repetitions_are_judged_by_their_median_slices_by_their_mean() -> None:
    repetitions = Figure("start", "s", [0.4, 9.0, 0.5], at_most=0.5)
    slices = Figure("CPU", "%", [0.5, 8.5, 0.0], at_most=0.5, is_mean=True)

    assert (repetitions.value, repetitions.verdict) == (0.5, "pass")
    assert (slices.value, slices.verdict) == (3.0, "miss")
    assert repetitions.spread == "0.400-9.00, n=3"


def test_what_has_no_target_is_not_judged() -> None:
    assert Figure("file", "MB", [2.0]).verdict == ""
    assert Figure("file", "MB", [2.0]).spread == ""


def test_numbers_have_three_digits_and_no_exponent() -> None:
    assert [number(value) for value in (0, 0.01234, 0.5, 18.94, 99.96, 1234567)] == [
        "0",
        "0.0123",
        "0.500",
        "18.9",
        "100",
        "1,230,000",
    ]
