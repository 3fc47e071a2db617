"""The doctor in front of the running kernel."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from otelprof.doctor import Status, examine, record_works, this_machine
from otelprof.doctor.bpf import FEATURES, Feature, helper_exists
from otelprof.doctor.bpf_calls import KernelBpf, ProgramRefused
from otelprof.roots import HostRoots


def kernel_release() -> tuple[int, int]:
    major, minor, *_ = Path("/proc/sys/kernel/osrelease").read_text().split(".")
    return int(major), int(minor)


@pytest.mark.kernel
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_kernel_has_what_its_release_brought(feature: Feature) -> None:
    major, minor = feature.since.split(".")
    if kernel_release() < (int(major), int(minor)):
        pytest.skip(f"{feature.name} came with Linux {feature.since}")
    feature.probe(KernelBpf())


@pytest.mark.kernel
def test_a_helper_that_no_kernel_has() -> None:
    with pytest.raises(ProgramRefused, match="Invalid argument") as caught:
        helper_exists(9999, KernelBpf())
    assert "9999" in caught.value.log


@pytest.mark.kernel
def test_what_the_gate_finds_fit_the_doctor_finds_fit(tmp_path: Path) -> None:
    findings = examine(this_machine(HostRoots(), tmp_path))

    assert record_works(findings), [finding for finding in findings if finding.status is Status.MISSING]


@pytest.mark.kernel
def test_without_privileges_the_doctor_says_so_and_fails() -> None:
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "otelprof", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}

    assert done.returncode == 1
    assert done.stderr == ""
    assert findings["CAP_BPF"]["status"] == "missing"
    assert findings["bpf(2)"]["found"] == "not permitted, so nothing more was tried"
    assert findings["cpu-clock"]["status"] == "missing"
