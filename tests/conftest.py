"""What every test shares: gates behind markers, and how many examples property tests try."""

import pytest
from hypothesis import HealthCheck, settings

from tests import gates

# Whole-suite time is bounded (12 minutes cold on two cores), single examples are not: the machine is shared.
settings.register_profile("otelprof", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("otelprof")

_GATES = {
    "kernel": gates.require_kernel,
    "go": gates.require_go,
    "collector": gates.require_collector,
    "chromium": gates.require_chromium,
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stop a marked test at its gate before any of its fixtures run."""
    for marker, require in _GATES.items():
        if item.get_closest_marker(marker):
            require()
