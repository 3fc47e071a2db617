"""Every state that the doctor tells apart, on hosts made up for it."""

import errno
import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from otelprof.doctor import Finding, Status, as_json, as_table, examine, record_works
from otelprof.doctor.bpf import FEATURES
from otelprof.errors import MissingFeature, MissingPrivilege
from tests.doctor.machines import ALL_CAPABILITIES, FakeBpf, healthy_machine, named

Change = Callable[[Path], object]


def failing(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def without(*numbers: int) -> int:
    return ALL_CAPABILITIES & ~sum(1 << number for number in numbers)


def test_nothing_is_wrong_with_a_healthy_host_but_for_the_second_loader(tmp_path: Path) -> None:
    findings = examine(healthy_machine(tmp_path))

    assert record_works(findings)
    assert [finding.name for finding in findings if finding.status is not Status.OK] == ["bcc"]


def test_each_thing_is_examined_once_and_explained(tmp_path: Path) -> None:
    findings = examine(healthy_machine(tmp_path, bpf=FakeBpf(missing_helpers=frozenset(range(1000))), capabilities=0))

    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    for finding in findings:
        assert finding.found
        assert finding.why
        assert bool(finding.fix) == (finding.status is not Status.OK), finding


@pytest.mark.parametrize(
    ("change", "name", "status", "found", "works"),
    [
        (
            lambda root: (root / "sys/kernel/btf/vmlinux").unlink(),
            "BTF",
            Status.MISSING,
            "usr/lib/debug/boot/vmlinux-6.1",
            False,
        ),
        (
            lambda root: (root / "sys/kernel/security/lockdown").write_text("none integrity [confidentiality]\n"),
            "lockdown",
            Status.DEGRADED,
            "confidentiality",
            True,
        ),
        (
            lambda root: (root / "sys/kernel/security/lockdown").write_text("none [integrity] confidentiality\n"),
            "lockdown",
            Status.OK,
            "integrity",
            True,
        ),
        (lambda root: (root / "sys/kernel/security/lockdown").unlink(), "lockdown", Status.OK, "none", True),
        (
            lambda root: (root / "proc/sys/kernel/kptr_restrict").write_text("2\n"),
            "kernel addresses",
            Status.DEGRADED,
            "hidden (kernel.kptr_restrict is 2)",
            True,
        ),
        (
            lambda root: (root / "proc/sys/kernel/kptr_restrict").unlink(),
            "kernel addresses",
            Status.DEGRADED,
            "is unknown",
            True,
        ),
        (
            lambda root: (
                (root / "sys/kernel/tracing/events/sched").rename(root / "elsewhere")
                and (root / "sys/kernel/tracing/events").rmdir()
            ),
            "tracefs",
            Status.OK,
            "not mounted",
            True,
        ),
        (
            lambda root: (root / "sys/fs/cgroup/cgroup.controllers").rename(root / "sys/fs/cgroup/memory"),
            "cgroups",
            Status.DEGRADED,
            "version 1",
            True,
        ),
        (
            lambda root: (
                (root / "sys/fs/cgroup/unified").mkdir()
                or (root / "sys/fs/cgroup/cgroup.controllers").rename(root / "sys/fs/cgroup/unified/cgroup.controllers")
            ),
            "cgroups",
            Status.DEGRADED,
            "versions 1 and 2 side by side",
            True,
        ),
        (
            lambda root: (root / "sys/fs/cgroup/cgroup.controllers").unlink(),
            "cgroups",
            Status.DEGRADED,
            "not mounted",
            True,
        ),
        (
            lambda root: (root / "proc/self/ns/pid").unlink(),
            "PID namespace",
            Status.MISSING,
            "does not tell the PID namespace",
            False,
        ),
        (lambda root: (root / ".dockerenv").touch(), "container", Status.OK, "Docker", True),
        (
            lambda root: (root / "run").mkdir() or (root / "run/.containerenv").touch(),
            "container",
            Status.OK,
            "Podman",
            True,
        ),
    ],
)
def test_states_of_files(tmp_path: Path, change: Change, name: str, status: Status, found: str, works: bool) -> None:
    machine = healthy_machine(tmp_path)
    change(tmp_path)
    findings = examine(machine)
    finding = named(findings, name)

    assert (finding.status, record_works(findings)) == (status, works)
    assert found in finding.found


def test_a_kernel_image_elsewhere_is_named_but_is_not_enough(tmp_path: Path) -> None:
    machine = healthy_machine(tmp_path)
    (tmp_path / "sys/kernel/btf/vmlinux").unlink()
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinux-6.1.0-test").touch()
    finding = named(examine(machine), "BTF")

    assert finding.status is Status.MISSING
    assert "only in" in finding.found
    assert "boot/vmlinux-6.1.0-test" in finding.found


def test_kernel_addresses_without_privilege_need_both_settings(tmp_path: Path) -> None:
    machine = healthy_machine(tmp_path, capabilities=without(34))
    assert named(examine(machine), "kernel addresses").status is Status.DEGRADED

    (tmp_path / "proc/sys/kernel/kptr_restrict").write_text("0\n")
    assert named(examine(machine), "kernel addresses").status is Status.DEGRADED

    (tmp_path / "proc/sys/kernel/perf_event_paranoid").write_text("-1\n")
    assert named(examine(machine), "kernel addresses").status is Status.OK


@pytest.mark.parametrize("error", [MissingPrivilege("the kernel refuses"), OSError(errno.ENOENT, "no such event")])
def test_a_clock_that_cannot_be_opened_is_told_with_the_setting(tmp_path: Path, error: Exception) -> None:
    findings = examine(healthy_machine(tmp_path, open_clock=failing(error)))
    finding = named(findings, "cpu-clock")

    assert not record_works(findings)
    assert finding.status is Status.MISSING
    assert str(error) in finding.found
    assert "kernel.perf_event_paranoid is 2" in finding.found


@pytest.mark.parametrize(
    ("capabilities", "name", "status", "works"),
    [
        (without(39), "CAP_BPF", Status.OK, True),  # SYS_ADMIN is still there
        (without(39, 21), "CAP_BPF", Status.MISSING, False),
        (without(38, 21), "CAP_PERFMON", Status.MISSING, False),
        (without(40, 21), "CAP_CHECKPOINT_RESTORE", Status.DEGRADED, True),
        (without(19), "CAP_SYS_PTRACE", Status.DEGRADED, True),
        (without(2), "CAP_DAC_READ_SEARCH", Status.DEGRADED, True),
        (without(34), "CAP_SYSLOG", Status.DEGRADED, True),
        (without(7), "CAP_SETUID", Status.DEGRADED, True),
    ],
)
def test_capabilities_one_by_one(tmp_path: Path, capabilities: int, name: str, status: Status, works: bool) -> None:
    findings = examine(healthy_machine(tmp_path, capabilities=capabilities))

    assert named(findings, name).status is status
    assert record_works(findings) is works


@pytest.mark.parametrize(("code", "fix"), [(errno.EPERM, "seccomp"), (errno.ENOSYS, "CONFIG_BPF_SYSCALL")])
def test_without_bpf_nothing_more_is_tried(tmp_path: Path, code: int, fix: str) -> None:
    bpf = FakeBpf(code=code)
    findings = examine(healthy_machine(tmp_path, bpf=bpf, load_sampler=failing(AssertionError("must not be tried"))))

    assert not record_works(findings)
    assert fix in named(findings, "bpf(2)").fix
    assert len(bpf.calls) == 1


@pytest.mark.parametrize(
    "complaint", ["invalid func unknown#", "unknown func bpf_x#", "program of this type cannot use helper bpf_x#"]
)
def test_a_helper_that_the_kernel_does_not_know(tmp_path: Path, complaint: str) -> None:
    findings = examine(healthy_machine(tmp_path, bpf=FakeBpf(missing_helpers=frozenset({181}), complaint=complaint)))
    finding = named(findings, "bpf_loop")

    assert not record_works(findings)
    assert finding.status is Status.MISSING
    assert "Linux 5.17 or newer" in finding.fix
    assert named(findings, "bpf_task_pt_regs").status is Status.OK


@pytest.mark.parametrize(("kind", "flags", "name"), [(27, 0, "ring buffer"), (2, 1 << 10, "mmapable arrays")])
def test_a_map_that_the_kernel_does_not_know(tmp_path: Path, kind: int, flags: int, name: str) -> None:
    findings = examine(healthy_machine(tmp_path, bpf=FakeBpf(missing_maps=frozenset({(kind, flags)}))))

    assert named(findings, name).status is Status.MISSING
    assert not record_works(findings)


def test_translation_of_process_ids_is_not_required(tmp_path: Path) -> None:
    findings = examine(healthy_machine(tmp_path, bpf=FakeBpf(missing_helpers=frozenset({120}))))

    assert named(findings, "bpf_get_ns_current_pid_tgid").status is Status.MISSING
    assert record_works(findings)


def test_a_sampler_that_is_refused(tmp_path: Path) -> None:
    findings = examine(healthy_machine(tmp_path, load_sampler=failing(MissingFeature("the kernel refused it"))))

    assert named(findings, "sampler").found == "the kernel refused it"
    assert not record_works(findings)


def test_a_pid_namespace_of_its_own(tmp_path: Path) -> None:
    machine = healthy_machine(tmp_path)
    link = tmp_path / "proc/self/ns/pid"
    link.unlink()
    (tmp_path / "proc/self/ns/pid:[4026532000]").touch()
    link.symlink_to("pid:[4026532000]")
    finding = named(examine(machine), "PID namespace")

    assert finding.status is Status.DEGRADED
    assert "hostPID: true" in finding.fix


@pytest.mark.parametrize(
    ("environ", "found"),
    [({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes"), ({"container": "lxc"}, "(lxc)"), ({}, "on the host")],
)
def test_containers_told_by_their_environment(tmp_path: Path, environ: dict[str, str], found: str) -> None:
    assert found in named(examine(healthy_machine(tmp_path, environ=environ)), "container").found


def test_without_libbpf(tmp_path: Path) -> None:
    def libbpf_version() -> str:
        raise MissingFeature("libbpf.so.1 is not installed")

    findings = examine(healthy_machine(tmp_path, libbpf_version=libbpf_version))

    assert not record_works(findings)
    assert "libbpf1" in named(findings, "libbpf").fix


def test_without_a_demangler(tmp_path: Path) -> None:
    assert named(examine(healthy_machine(tmp_path, demangler=False)), "libstdc++").status is Status.DEGRADED


@pytest.mark.parametrize(
    ("files", "status", "found"),
    [
        ((), Status.MISSING, "not installed"),
        (("site/bcc/libbcc.py",), Status.OK, "site/bcc"),
        (("site/bcc/__init__.py",), Status.MISSING, "another project of that name"),
        (("usr/lib/python3/dist-packages/bcc/libbcc.py",), Status.MISSING, "which this Python does not see"),
        (("site/bcc/__init__.py", "usr/lib/python3/dist-packages/bcc/libbcc.py"), Status.MISSING, "does not see"),
    ],
)
def test_bcc_and_what_only_has_its_name(tmp_path: Path, files: tuple[str, ...], status: Status, found: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    findings = examine(healthy_machine(tmp_path, python_paths=(str(tmp_path / "site"),)))

    assert named(findings, "bcc").status is status
    assert found in named(findings, "bcc").found
    assert record_works(findings)


@pytest.mark.parametrize("error", [ImportError("no module named x"), RuntimeError("two\nlines")])
def test_an_exporter_that_cannot_be_imported_hurts_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Broken(EntryPoint):
        def load(self) -> object:
            raise error

    points = [Broken("broken", "broken:Exporter", "otelprof.exporters"), EntryPoint("whole", "json:loads", "x")]
    monkeypatch.setattr("otelprof.doctor.installation.entry_points", lambda **_: points)
    findings = examine(healthy_machine(tmp_path))

    assert named(findings, "exporter broken").status is Status.MISSING
    assert str(error) in named(findings, "exporter broken").found
    assert named(findings, "exporter whole").status is Status.OK
    assert record_works(findings)


def test_no_exporter_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otelprof.doctor.installation.entry_points", lambda **_: [])

    assert named(examine(healthy_machine(tmp_path)), "exporters").status is Status.MISSING


def test_a_cache_that_cannot_be_made_is_told_and_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = healthy_machine(tmp_path)
    assert named(examine(machine), "cache").status is Status.OK
    assert not machine.cache_dir.exists()

    monkeypatch.setattr("os.access", lambda *_: False)
    assert "cannot be written" in named(examine(machine), "cache").found


def test_the_cache_of_another_user_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = healthy_machine(tmp_path)
    machine.cache_dir.mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 12345)

    assert "belongs to another user" in named(examine(machine), "cache").found


_OK = Finding("kernel", "release", Status.OK, "6.1", "tells")
_DEGRADED = Finding("kernel", "lockdown", Status.DEGRADED, "confidentiality", "reads", "boot otherwise")
_MISSING = Finding("BPF", "ring\tbuffer", Status.MISSING, "refused:\n  EINVAL", "hands over", "use 5.8", required=True)
_OPTIONAL = Finding("BPF", "bcc", Status.MISSING, "not installed", "compiles", "install it")


def test_the_table_gives_reason_and_fix_where_something_is_wrong() -> None:
    table = as_table([_OK, _DEGRADED, _MISSING], color=False)

    assert table == (
        "kernel\n"
        "  ok        release      6.1\n"
        "  degraded  lockdown     confidentiality\n"
        "                         why: reads\n"
        "                         fix: boot otherwise\n"
        "\n"
        "BPF\n"
        "  missing   ring\tbuffer  refused:   EINVAL\n"
        "                         why: hands over\n"
        "                         fix: use 5.8\n"
        "\n"
        "otelprof record cannot work here; it lacks: ring\tbuffer\n"
    )


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([_OK, _OPTIONAL], "otelprof record works here\n"),
        ([_OK, _DEGRADED], "otelprof record works here, with limits: lockdown\n"),
    ],
)
def test_verdicts(findings: list[Finding], verdict: str) -> None:
    assert as_table(findings, color=False).endswith("\n" + verdict)


def test_colours_tell_what_stops_from_what_limits() -> None:
    table = as_table([_OK, _OPTIONAL, _MISSING], color=True)

    assert "\x1b[32mok      \x1b[0m" in table
    assert "\x1b[33mmissing \x1b[0m  bcc" in table
    assert "\x1b[31mmissing \x1b[0m  ring" in table


def test_json_has_every_field() -> None:
    document = json.loads(as_json([_OK, _MISSING]))

    assert document["record_works"] is False
    assert document["findings"][1] == {
        "topic": "BPF",
        "name": "ring\tbuffer",
        "status": "missing",
        "found": "refused:\n  EINVAL",
        "why": "hands over",
        "fix": "use 5.8",
        "required": True,
    }


def test_features_name_their_release() -> None:
    for feature in FEATURES:
        major, minor = feature.since.split(".")
        assert (4, 0) < (int(major), int(minor)) < (7, 0)
