import io
import re
import subprocess
from pathlib import Path

import pytest
from opentelemetry.proto.profiles.v1development.profiles_pb2 import ProfilesData

from otelprof.errors import BadProfile
from otelprof.formats.pprof_schema import Profile
from otelprof.formats.pprof_tables import build_id
from otelprof.formats.pprof_writer import PprofOptions, to_pprof, write_pprof
from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import Mapping, Resource, SampleType
from tests.formats.messages import CPU, END_NS, START_NS, WORKER, example
from tests.formats.pprof_decoder import pprof_stacks
from tests.gates import require_go


def written(*messages: ProfilesData) -> bytes:
    stream = io.BytesIO()
    write_pprof(stream, messages)
    return stream.getvalue()


def labels_of(profile: Profile) -> list[dict[str, str | int]]:
    strings = profile.string_table
    return [
        {strings[label.key]: strings[label.str] if label.str else label.num for label in sample.label}
        for sample in profile.sample
    ]


def kinds_of(profile: Profile) -> list[tuple[str, str]]:
    return [(profile.string_table[kind.type], profile.string_table[kind.unit]) for kind in profile.sample_type]


def test_stacks_and_counts_are_those_of_the_message() -> None:
    stack = ("do_syscall_64", "write", "inner", "outer", "<module>")

    assert pprof_stacks(written(example())) == {
        stack: [5, 50_000_000, 1000],
        ("0x2345", "<module>"): [1, 10_000_000, 0],
        ("0x2345",): [2, 20_000_000, 0],
        (): [1, 10_000_000, 0],
    }


def test_header_says_what_was_measured_and_when() -> None:
    profile = to_pprof([example()])
    text = profile.string_table

    assert kinds_of(profile) == [("samples", "count"), ("cpu", "nanoseconds"), ("off_cpu", "nanoseconds")]
    assert text[profile.default_sample_type] == "cpu"
    assert (text[profile.period_type.type], text[profile.period_type.unit]) == ("cpu", "nanoseconds")
    assert profile.period == 10_000_000
    assert profile.time_nanos == START_NS
    assert profile.duration_nanos == END_NS - START_NS


def test_names_of_columns_and_files_can_be_chosen() -> None:
    profile = to_pprof([example()], PprofOptions("cpu-samples", "cpu-time", base_names=True))
    text = profile.string_table

    assert kinds_of(profile)[:2] == [("cpu-samples", "count"), ("cpu-time", "nanoseconds")]
    assert text[profile.default_sample_type] == "cpu-time"
    assert text[profile.period_type.type] == "cpu-time"
    assert [text[mapping.filename] for mapping in profile.mapping] == ["vmlinux", "libc.so.6"]


def test_labels_name_process_thread_and_processor() -> None:
    process = {"process_id": "71", "process name": "python3"}
    first = process | {"thread id": "72", "thread name": "worker 1", "cpu.logical_number": "0"}
    second = process | {"thread id": "73", "thread name": "worker 2", "cpu.logical_number": "3"}
    shell = {"process_id": "8", "process name": "sh"}

    assert labels_of(to_pprof([example()])) == [first, first, second | {"request": "a", "size": 9}, shell, shell]


def test_labels_of_every_attribute_type() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    attributes = (
        ("thread.id", 0),
        ("empty", ""),
        ("yes", True),
        ("bytes", b"\x0a"),
        ("half", 0.5),
        ("array", ("a", 1)),
        ("number", -1),
    )
    builder.add(Resource((("process.pid", 0),)), CPU, (), attributes, values=(1,))

    assert labels_of(to_pprof([builder.build()])) == [
        {"array": "('a', 1)", "bytes": "0a", "half": "0.5", "number": -1, "yes": "true"}
    ]


def test_equal_stacks_with_equal_labels_become_one_sample() -> None:
    profile = to_pprof([example(), example()])

    assert [list(sample.value) for sample in profile.sample] == [
        [6, 60_000_000, 2000],
        [2, 20_000_000, 0],
        [4, 40_000_000, 0],
        [4, 40_000_000, 0],
        [2, 20_000_000, 0],
    ]


def test_tables_hold_nothing_twice() -> None:
    profile = to_pprof([example(), example()])

    for table in (profile.location, profile.function, profile.mapping):
        for entry in table:
            entry.ClearField("id")
        texts = [entry.SerializeToString() for entry in table]
        assert len(texts) == len(set(texts))
    assert profile.string_table[0] == ""
    assert len(profile.string_table) == len(set(profile.string_table))


def test_frames_without_a_name_stay_addresses_in_their_mapping() -> None:
    profile = to_pprof([example()])
    mappings = {profile.string_table[mapping.filename]: mapping for mapping in profile.mapping}
    libc, vmlinux = mappings["/usr/lib/libc.so.6"], mappings["vmlinux"]
    (bare,) = [location for location in profile.location if not location.line]

    assert (bare.address, bare.mapping_id) == (0x2345, libc.id)
    assert (libc.memory_start, libc.memory_limit, libc.file_offset) == (0x1000, 0x9000, 0x1000)
    assert profile.string_table[libc.build_id] == "c0ffee"
    assert not libc.has_functions
    assert vmlinux.has_functions


def test_lines_and_functions_are_complete() -> None:
    profile = to_pprof([example()])
    text = profile.string_table
    (write,) = [function for function in profile.function if text[function.name] == "write"]
    (line,) = [line for location in profile.location for line in location.line if line.function_id == write.id]

    assert (text[write.system_name], text[write.filename], write.start_line) == ("__write", "write.c", 10)
    assert (line.line, line.column) == (12, 4)


def test_time_that_was_measured_is_not_computed_again() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(WORKER, CPU, (), values=(3,))
    builder.add(WORKER, SampleType("cpu", "nanoseconds", "cpu", "nanoseconds", CPU.period), (), values=(7,))
    profile = to_pprof([builder.build()])

    assert kinds_of(profile) == [("samples", "count"), ("cpu", "nanoseconds")]
    assert [list(sample.value) for sample in profile.sample] == [[3, 7]]


def test_nothing_sampled_is_a_profile_without_samples() -> None:
    profile = to_pprof([])

    assert kinds_of(profile) == [("samples", "count"), ("cpu", "nanoseconds")]
    assert not profile.sample


def test_equal_messages_give_equal_bytes() -> None:
    assert written(example()) == written(example())
    assert written(example())[4:8] == bytes(4)  # the modification time in the gzip header


def test_sum_too_large_for_pprof_is_a_bad_profile() -> None:
    builder = ProfilesBuilder(start_ns=1, end_ns=2)
    builder.add(WORKER, CPU, (), values=(2**62,))

    with pytest.raises(BadProfile, match="too large for pprof"):
        to_pprof([builder.build()])


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        (Mapping("a", build_id_gnu="9", build_id_go="go/x", build_id_htlhash="ff"), "9"),
        (Mapping("a", build_id_go="go/x", build_id_htlhash="ff"), "go/x"),
        (Mapping("a", build_id_gnu="9", build_id_go="redacted", build_id_htlhash="ff"), "ff"),
        (Mapping("a", build_id_htlhash="ff"), "ff"),
        (Mapping("a"), ""),
    ],
)
def test_build_id_rule(mapping: Mapping, expected: str) -> None:
    assert build_id(mapping) == expected


@pytest.mark.go
def test_go_tool_pprof_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "x.pb.gz"
    file.write_bytes(written(example()))
    (tmp_path / "empty.pb.gz").write_bytes(written())

    raw = _go_pprof("-raw", file)
    top = _go_pprof("-top", "-sample_index=samples", "-symbolize=none", file)

    assert "PeriodType: cpu nanoseconds\nPeriod: 10000000\n" in raw
    assert "Samples:\nsamples/count cpu/nanoseconds[dflt] off_cpu/nanoseconds\n" in raw
    assert re.search(r"\n +3 +30000000 +1000: 1 2 3 4 \n +cpu.logical_number:\[0\] process name:\[python3\]", raw)
    assert "thread name:[worker 2]\n                size:[9]\n" in raw
    assert "2: 0x3000 M=2 write write.c:12:4 s=10(__write)\n" in raw
    assert "3: 0x4000 M=2 inner :3:0 s=0()\n             outer :9:0 s=0()\n" in raw
    assert "5: 0x2345 M=2 \n" in raw
    assert "1: 0xffffffff81000000/0xffffffff82000000/0x0 vmlinux beef [FN]\n" in raw
    assert "2: 0x1000/0x9000/0x1000 /usr/lib/libc.so.6 c0ffee \n" in raw
    assert "Total samples = 9" in top
    assert re.search(r"5 55.56% 55.56% +5 55.56%  do_syscall_64", top)
    assert re.search(r"0     0% \S+ +6 66.67%  <module>", top)
    assert "Samples:\nsamples/count cpu/nanoseconds" in _go_pprof("-raw", tmp_path / "empty.pb.gz")


def _go_pprof(*arguments: str | Path) -> str:
    run = subprocess.run(
        [require_go(), "tool", "pprof", *arguments], capture_output=True, text=True, timeout=280, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
