"""What the figures were measured on."""

import os
import platform
import re
import subprocess
import time
from pathlib import Path

from otelprof import __version__
from tests.gates import ROOT

__all__ = ("busy_percent", "describe_machine")

_LOOK_S = 2.0


def describe_machine() -> str:
    """One sentence; says also how busy the machine was before anything was measured."""
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return (
        f"otelprof {__version__} ({commit or 'no commit'}) with Python {platform.python_version()} on Linux "
        f"{platform.release()}, {os.cpu_count()} cores ({model[1] if model else platform.machine()}); "
        f"{busy_percent():.0f} % of it busy with other work before the first measurement"
    )


def busy_percent() -> float:
    """Share of all cores' time that was not idle, over a moment."""
    before = _times()
    time.sleep(_LOOK_S)
    happened = [now - then for now, then in zip(_times(), before, strict=True)]
    # proc_stat(5): user nice system idle iowait irq softirq steal
    return 100 * (1 - (happened[3] + happened[4]) / sum(happened))


def _times() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
