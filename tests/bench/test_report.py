import pytest

from tests.bench.figures import Figure, Measurement
from tests.bench.report import BEGIN, END, Result, as_json, as_markdown, replace_section
from tests.gates import ROOT

MEASUREMENT = Measurement("start", "time to the first sample.", lambda _quick: iter(()))
RESULTS = [
    Result(MEASUREMENT, [Figure("command to first sample", "s", [0.6], 0.5, peer="3.3 s")]),
    Result(MEASUREMENT, [], "kernel tests need root"),
]


def test_only_the_section_of_a_page_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = replace_section(page, "new")
    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replace_section(once, "new") == once
    with pytest.raises(ValueError, match="no section"):
        replace_section(f"{END} {BEGIN}", "new")


def test_the_page_on_overhead_has_the_section() -> None:
    assert "new" in replace_section((ROOT / "docs/overhead.md").read_text(), "new")


def test_a_table_names_misses_and_what_was_skipped() -> None:
    text = as_markdown("a machine", RESULTS)
    assert "| command to first sample | 0.600 s |  | ≤ 0.500 s | **miss** | 3.3 s |" in text
    assert "Not measured: kernel tests need root." in text
    assert "python -m tests.bench --only start" in text


def test_json_has_every_repetition() -> None:
    measurements = as_json("a machine", RESULTS)["measurements"]
    assert isinstance(measurements, list)
    assert measurements[0]["figures"][0]["values"] == [0.6]
    assert measurements[1]["skipped"] == "kernel tests need root"
