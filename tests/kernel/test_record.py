"""``otelprof record`` on the running kernel, from the command line to its files."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from otelprof.model.check import check
from tests.gates import require_kernel
from tests.kernel.programs import build, running
from tests.kernel.recording import OTELPROF, function_counts, names, record, sample_count, samples_of

pytestmark = pytest.mark.kernel

BRANCHES = ("takes_half", "takes_thirty", "takes_fifteen", "takes_five")


@pytest.fixture(autouse=True, scope="module")
def _kernel() -> None:
    require_kernel()


def test_every_format_holds_exactly_the_samples_of_the_sampler(tmp_path: Path) -> None:
    files = [tmp_path / f"x{suffix}" for suffix in (".otlp", ".otlp.jsonl", ".pb.gz", ".folded", ".html")]
    options = [option for file in files for option in ("-o", file)]

    result = record("-F", "499", *options, program=[build(tmp_path, "known_truth"), "3"])

    assert result.captured > 50
    assert result.lost == 0
    for file in files[:4]:
        assert sample_count(file) == result.captured, file
    assert b"<canvas" in files[4].read_bytes()


def test_functions_have_their_names_and_shares(tmp_path: Path) -> None:
    output = tmp_path / "x.otlp"
    result = record("-F", "499", "-o", output, program=[build(tmp_path, "known_truth"), "4"])

    truth = dict(line.split() for line in result.stdout.splitlines())
    total = sum(map(int, truth.values()))
    counts = function_counts(output, BRANCHES)
    for name in BRANCHES:
        assert counts[name] / counts.total() == pytest.approx(int(truth[name]) / total, abs=0.05)
    assert result.complete_percent > 95
    assert check(output.read_bytes()) == []


def test_a_recording_without_output_prints_the_top_functions(tmp_path: Path) -> None:
    result = record("-F", "199", program=[build(tmp_path, "known_truth"), "1"])

    assert result.stdout.index("leaf  known_truth") < result.stdout.index("takes_half  known_truth")


def test_neither_grpc_nor_prometheus_client_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom otelprof.cli import main\n"
        f"code = main(['record', '-d', '200ms', '-o', {str(tmp_path / 'x.otlp')!r}])\n"
        "print(code, sorted(sys.modules.keys() & {'grpc', 'prometheus_client', 'elftools'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert result.stdout == "0 []\n"


def test_the_program_s_status_is_the_status_of_the_recording() -> None:
    assert record(program=["sh", "-c", "exit 7"]).exit_code == 7
    assert record(program=["sh", "-c", "kill -TERM $$"]).exit_code == 128 + signal.SIGTERM
    missing = record(program=["/nonexistent/program"])
    assert missing.exit_code == 127
    assert "there is no program '/nonexistent/program'" in missing.stderr


def test_a_signal_reaches_the_program_and_the_files_are_written(tmp_path: Path) -> None:
    output = tmp_path / "x.folded"
    program = build(tmp_path, "known_truth")
    command = [OTELPROF, "record", "-o", output, "--", program]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        wait_for_child(process.pid)
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "takes_half" in stdout, "the program was told to stop and said what it had done"
    assert output.exists()


def test_a_process_is_recorded_with_its_children_and_nobody_else(tmp_path: Path) -> None:
    program = build(tmp_path, "recurse")
    code = f"import subprocess; p = subprocess.Popen([{str(program)!r}, '3'])\nwhile True: pass"
    with running(program, "9"), running(sys.executable, "-c", code) as parent:
        wait_for_child(parent.pid)
        record("-p", str(parent.pid), "-d", "1", "-F", "299", "-o", tmp_path / "x.otlp")
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()

    pids = Counter(dict(sample.resource.attributes)["process.pid"] for sample in samples_of(tmp_path / "x.otlp"))
    assert pids.keys() == {parent.pid, *map(int, children)}


def test_a_recording_of_a_process_ends_with_it(tmp_path: Path) -> None:
    with running("sleep", "4") as process:
        started = time.monotonic()
        record("-p", str(process.pid), "-d", "60", "-o", tmp_path / "x.otlp")

    assert time.monotonic() - started < 30


def test_a_target_in_namespaces_of_its_own_is_named(tmp_path: Path) -> None:
    """The binary lies on a file system that only the target's mount namespace has."""
    program = build(tmp_path, "other_name", "-DNAME=only_in_there")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    script = f"mount -t tmpfs none {hidden} && cp {program} {hidden}/inside && rm {program} && exec {hidden}/inside"

    with running("unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script):
        wait_for_comm("inside")
        record("-d", "1", "-F", "299", "-o", tmp_path / "x.otlp")

    assert not (hidden / "inside").exists()
    inside = [sample for sample in samples_of(tmp_path / "x.otlp") if ("thread.name", "inside") in sample.attributes]
    assert {name for sample in inside for name in names(sample)} >= {"only_in_there", "main"}


def test_inside_a_pid_namespace_processes_have_their_numbers_from_inside(tmp_path: Path) -> None:
    program = build(tmp_path, "recurse")
    output = tmp_path / "x.otlp"
    script = f"{program} 3 & {OTELPROF} record -d 1 -F 299 -o {output}; kill -9 $!"
    with running(program, "9"):
        subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script], check=False, timeout=60)

    seen = {dict(sample.resource.attributes)["process.pid"]: names(sample) for sample in samples_of(output)}
    assert all(pid < 100 for pid in seen if isinstance(pid, int)), "nothing outside is seen, nor its numbers"
    assert any("burn" in stack for stack in seen.values())


def test_the_root_of_the_host_may_be_mounted_elsewhere(tmp_path: Path) -> None:
    """As in a container: /proc is another one here, the host's lies below the given root."""
    root, output = tmp_path / "host", tmp_path / "x.otlp"
    root.mkdir()
    options = f"-d 1 -F 299 --host-root {root} -o {output}"
    script = f"mount --rbind / {root} && mount -t tmpfs none /proc/sys && exec {OTELPROF} record {options}"
    with running(build(tmp_path, "recurse"), "3") as process:
        subprocess.run(["unshare", "--mount", "sh", "-c", script], check=True, timeout=60, stderr=subprocess.PIPE)

    seen = {dict(sample.resource.attributes)["process.pid"]: names(sample) for sample in samples_of(output)}
    assert "burn" in seen[process.pid]


def test_a_storm_of_forks_is_accounted_for(tmp_path: Path) -> None:
    """Hundreds of short processes a second, each with a child of its own."""
    storm = "import os\nwhile True:\n pid = os.fork()\n if not pid: os.fork(); os._exit(0)\n os.waitpid(pid, 0)"
    with running(sys.executable, "-c", storm), running(sys.executable, "-c", storm):
        result = record("-d", "3", "-F", "499", "-o", tmp_path / "x.otlp")

    pids = {dict(sample.resource.attributes)["process.pid"] for sample in samples_of(tmp_path / "x.otlp")}
    assert len(pids) > 50
    assert result.lost == 0
    assert sample_count(tmp_path / "x.otlp") == result.captured


def test_a_replaced_and_a_deleted_binary_keep_their_own_names(tmp_path: Path) -> None:
    old = build(tmp_path, "other_name", "-DNAME=old_function", name="program")
    new = build(tmp_path, "other_name", "-DNAME=new_function", name="program.new")
    with running(old) as first:
        wait_for_comm("program")
        new.rename(old)
        with running(old) as second:
            old.unlink()
            record("-d", "1", "-F", "299", "-p", str(first.pid), "-p", str(second.pid), "-o", tmp_path / "x.otlp")

    seen: dict[object, set[str]] = {}
    for sample in samples_of(tmp_path / "x.otlp"):
        seen.setdefault(dict(sample.resource.attributes)["process.pid"], set()).update(names(sample))
    assert "old_function" in seen[first.pid]
    assert "new_function" in seen[second.pid]
    assert not seen[first.pid] & {"new_function"}
    assert not seen[second.pid] & {"old_function"}


def test_two_programs_at_equal_addresses_are_told_apart(tmp_path: Path) -> None:
    programs = [
        build(tmp_path, "other_name", f"-DNAME={name}", "-no-pie", name=name) for name in ("first_name", "other_name")
    ]
    code = "import os,sys\nfor p in sys.argv[1:]:\n if os.fork() == 0: os.execv(p, [p])\nos.wait()"
    command: list[str | Path] = ["setarch", "-R", sys.executable, "-c", code, *programs]
    record("-d", "2", "-F", "299", "-o", tmp_path / "x.otlp", program=["timeout", "1.5", *command])

    seen: dict[str, set[str]] = {"first_name": set(), "other_name": set()}
    for sample in samples_of(tmp_path / "x.otlp"):
        comm = dict(sample.attributes)["thread.name"]
        if comm in seen:
            seen[str(comm)].update(names(sample))
    subprocess.run(["pkill", "-9", "-f", str(tmp_path)], check=False)
    assert "first_name" in seen["first_name"]
    assert "first_name" not in seen["other_name"]
    assert "other_name" in seen["other_name"]
    assert "other_name" not in seen["first_name"]


def test_a_forged_build_id_renames_nothing_elsewhere(tmp_path: Path) -> None:
    """A program that carries libc's build id, and functions where libc has its own, is sampled beside libc's users."""
    libc = next(line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line)
    notes = subprocess.run(["readelf", "-n", libc], check=True, capture_output=True, text=True).stdout
    build_id = notes.split("Build ID: ")[1].split()[0]
    forged = build(tmp_path, "other_name", "-DNAME=forged_name", f"-Wl,--build-id=0x{build_id}", name="forged")
    user = [sys.executable, "-c", "import os\nwhile True: os.getppid()"]
    with running(forged), running(*user) as honest:
        record("-d", "1", "-F", "299", "-o", tmp_path / "x.otlp")

    own: set[str] = set()
    others: set[str] = set()
    for sample in samples_of(tmp_path / "x.otlp"):
        is_forged = ("thread.name", "forged") in sample.attributes
        (own if is_forged else others).update(names(sample))
    assert honest.pid
    assert "forged_name" in own
    assert "forged_name" not in others


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-F", "0"], 2, "sampling rate"),
        (["-d", "soon"], 2, "duration"),
        (["-o", "x.svg"], 2, "must end in one of .otlp"),
        (["-o", "/nonexistent/x.otlp"], 1, "cannot write /nonexistent/x.otlp"),
        (["-p", "999999999"], 1, "process 999999999"),
        (["--host-root", "/nonexistent"], 1, "/nonexistent"),
        (["--frequenzy", "3"], 2, "unrecognized arguments"),
    ],
)
def test_bad_use_is_one_sentence_and_leaves_nothing(
    arguments: list[str], code: int, sentence: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [OTELPROF, "record", "-d", "1", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=60,
    )

    assert result.returncode == code
    assert result.stderr.startswith("otelprof: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_privilege_one_sentence_says_so(tmp_path: Path) -> None:
    command: list[str | Path] = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        OTELPROF,
        "record",
        "-d",
        "1",
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(tmp_path)}, timeout=60
    )
    if "Permission denied" in result.stderr and "setpriv" in result.stderr:
        pytest.skip("the test's Python cannot be executed by another user here")

    assert result.returncode == 1
    assert "run as root" in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_libbpf_one_sentence_names_the_package(tmp_path: Path) -> None:
    code = (
        "import ctypes, sys\nclass WithoutLibbpf(ctypes.CDLL):\n def __init__(self, name, *a, **k):\n"
        "  if name and 'libbpf' in name: raise OSError\n  super().__init__(name, *a, **k)\n"
        "ctypes.CDLL = WithoutLibbpf\nfrom otelprof.cli import main\nsys.exit(main(['record', '-d', '1']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert result.returncode == 1
    assert "install the package libbpf1" in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_btf_one_sentence_says_what_the_kernel_lacks(tmp_path: Path) -> None:
    """/sys is empty in a mount namespace of its own."""
    script = f"mount -t tmpfs none /sys/kernel && exec {OTELPROF} record -d 1"
    command = ["unshare", "--mount", "sh", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)

    assert result.returncode == 1
    assert "CONFIG_DEBUG_INFO_BTF" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_worker_that_is_killed_costs_names_and_nothing_else(tmp_path: Path) -> None:
    """Every worker is killed as soon as it appears: all samples arrive, and the recording ends well."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    killer = (
        "import os, signal, time\nfrom pathlib import Path\n"
        "while True:\n for p in Path('/proc').glob('[0-9]*/cmdline'):\n"
        "  try:\n   if b'otelprof.artifacts.worker' in p.read_bytes(): os.kill(int(p.parent.name), signal.SIGKILL)\n"
        "  except OSError: pass\n time.sleep(0.01)"
    )
    with running(sys.executable, "-c", killer):
        output = tmp_path / "x.otlp"
        known_truth = build(tmp_path, "known_truth")
        result = record("-F", "299", "--cache-dir", cache, "-o", output, program=[known_truth, "2"])

    assert result.exit_code == 0
    assert result.lost == 0
    assert sample_count(output) == result.captured > 50


def test_what_is_known_survives_in_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    program = build(tmp_path, "known_truth")
    for attempt in ("cold", "warm"):
        record("-F", "299", "--cache-dir", cache, "-o", tmp_path / f"{attempt}.otlp", program=[program, "1"])
        assert function_counts(tmp_path / f"{attempt}.otlp", BRANCHES)["takes_half"] > 0
    shutil.rmtree(cache)


def wait_for_child(pid: int) -> None:
    """Wait until a process has a child that runs a program of its own."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/exe").readlink() != Path(f"/proc/{pid}/exe").readlink():
                return
        time.sleep(0.02)
    pytest.fail("no child appeared")


def wait_for_comm(comm: str) -> None:
    """Wait until a process of this name runs."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/comm"):
            try:
                if path.read_text().strip() == comm:
                    return
            except OSError:
                continue
        time.sleep(0.02)
    pytest.fail(f"no process called {comm} appeared")
