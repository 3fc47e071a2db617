"""What the names of control groups tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelprof.processes.cgroups import CgroupInfo, cgroup_paths, parse_cgroup

ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
INNER = "9" * 64
POD = "5f3b1c2d-0a9b-4c8d-9e7f-001122334455"
POD_ = POD.replace("-", "_")
POD_FILE = "00112233445566778899aabbccddeeff"
UUID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
TASK = "c0ffee00c0ffee00c0ffee00c0ffee00"
BUILD = "u7c0q3k2p9x8m1n4b5v6z7a8s"

V2 = {
    # Kubernetes: the cgroupfs driver and the systemd driver, each runtime, each quality of service.
    f"/kubepods/burstable/pod{POD}/{ID}": (ID, "kubernetes", POD),
    f"/kubepods/pod{POD}/{ID}": (ID, "kubernetes", POD),
    f"/kubepods/besteffort/pod{POD_FILE}/{ID}": (ID, "kubernetes", POD_FILE),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_}.slice/cri-containerd-{ID}.scope": (
        ID,
        "kubernetes",
        POD,
    ),
    f"/kubepods.slice/kubepods-pod{POD_}.slice/crio-{ID}.scope": (ID, "kubernetes", POD),
    f"/kubepods.slice/kubepods-pod{POD_}.slice/docker-{ID}.scope": (ID, "kubernetes", POD),
    f"/kubepods.slice/kubepods-pod{POD_}.slice/crio-{ID}.scope/container": (ID, "kubernetes", POD),
    f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD_}.slice/cri-containerd-{ID}.scope": (
        ID,
        "kubernetes",
        POD,
    ),
    f"/system.slice/containerd.service/kubepods-burstable-pod{POD_}.slice:cri-containerd:{ID}": (ID, "kubernetes", POD),
    f"/../../kubepods/burstable/pod{POD}/{ID}": (ID, "kubernetes", POD),
    # A process of the pod, but of none of its containers.
    f"/kubepods/burstable/pod{POD}": ("", "kubernetes", POD),
    # CRI-O's monitor sits beside the container.
    f"/kubepods.slice/kubepods-pod{POD_}.slice/crio-conmon-{ID}.scope": ("", "kubernetes", POD),
    # Docker in a pod, and a node that is a Docker container: the one that Kubernetes knows.
    f"/kubepods/burstable/pod{POD}/{ID}/docker/{INNER}": (ID, "kubernetes", POD),
    f"/docker/{INNER}/kubelet/kubepods/burstable/pod{POD}/{ID}": (ID, "kubernetes", POD),
    # Docker.
    f"/docker/{ID}": (ID, "docker", ""),
    f"/system.slice/docker-{ID}.scope": (ID, "docker", ""),
    f"/system.slice/docker-{ID}.scope/init.scope": (ID, "docker", ""),
    f"/system.slice/docker-{ID}.scope/system.slice/nginx.service": (ID, "docker", ""),
    f"/docker/{ID}/docker/{INNER}": (ID, "docker", ""),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope": (ID, "docker", ""),
    # Podman, CRI-O and containerd without Kubernetes.
    f"/machine.slice/libpod-{ID}.scope": (ID, "podman", ""),
    f"/machine.slice/libpod-{ID}.scope/container": (ID, "podman", ""),
    f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope": (ID, "podman", ""),
    f"/libpod_parent/{ID}": (ID, "podman", ""),
    f"/system.slice/crio-{ID}.scope": (ID, "cri-o", ""),
    f"/system.slice/nerdctl-{ID}.scope": (ID, "containerd", ""),
    f"/moby/{ID}": (ID, "containerd", ""),
    f"/teamname/{ID}": (ID, "containerd", ""),
    "/default/redis-1": ("redis-1", "containerd", ""),
    # Amazon ECS on EC2 and Fargate.
    f"/ecs/{TASK}/{ID}": (ID, "ecs", ""),
    f"/ecs/mycluster/{TASK}/{ID}": (ID, "ecs", ""),
    f"/ecs/{TASK}/{TASK}-1234567890": (f"{TASK}-1234567890", "ecs", ""),
    # UUIDs, and the shorter form of Garden.
    f"/{UUID}": (UUID, "container", ""),
    f"/system.slice/garden.service/garden/{UUID}": (UUID, "container", ""),
    "/garden/6f9619ff-8b86-d011-b42d-00cf": ("6f9619ff-8b86-d011-b42d-00cf", "container", ""),
    # LXC and LXD.
    "/lxc/web/init.scope": ("web", "lxc", ""),
    "/lxc.payload.web": ("web", "lxc", ""),
    "/lxc.payload.web/system.slice/nginx.service": ("web", "lxc", ""),
    "/lxc.monitor.web": ("web", "lxc", ""),
    "/lxc.payload/web": ("web", "lxc", ""),
    f"/lxc.payload.web/docker/{ID}": (ID, "docker", ""),
    # BuildKit on its own and in Docker.
    f"/buildkit/{BUILD}": (BUILD, "buildkit", ""),
    f"/docker/buildkit/{BUILD}": (BUILD, "buildkit", ""),
    # A group that was removed while its last process ends.
    f"/docker/{ID} (deleted)": (ID, "docker", ""),
    # Nobody's container.
    "/": ("", "", ""),
    "/user.slice": ("", "", ""),
    "/mygroup/sub": ("", "", ""),
    "/default": ("", "", ""),
    f"/machine.slice/libpod-conmon-{ID}.scope": ("", "systemd", ""),
    f"/docker/{ID[:-1]}": ("", "", ""),
    f"/docker/{ID.upper()}": ("", "", ""),
    f"/x/{UUID}/sub": ("", "", ""),
}


@pytest.mark.parametrize(("path", "expected"), V2.items(), ids=V2)
def test_names_of_containers(path: str, expected: tuple[str, str, str]) -> None:
    info = parse_cgroup(f"0::{path}\n".encode())

    assert (info.container_id, info.kind, info.pod_uid) == expected
    assert info.path == path.removesuffix(" (deleted)")


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        ("/user.slice/user-1000.slice/session-2.scope", "session-2.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-editor.scope", "user@1000.service"),
        ("/system.slice/_cpu.service", "cpu.service"),
        (r"/system.slice/dev-disk\x2dby.mount", r"dev-disk\x2dby.mount"),
        ("/init.scope", "init.scope"),
        ("/system.slice/containerd.service/sub/group", "containerd.service"),
        ("/mygroup/nginx.service", ""),
    ],
)
def test_systemd_units(path: str, unit: str) -> None:
    assert parse_cgroup(f"0::{path}\n".encode()).systemd_unit == unit


def test_containers_have_no_unit_of_their_own() -> None:
    assert parse_cgroup(f"0::/system.slice/docker-{ID}.scope\n".encode()).systemd_unit == ""


V1 = f"""\
12:pids:/docker/{ID}
11:cpu,cpuacct:/docker/{ID}
5:memory:/docker/{ID}
1:name=systemd:/docker/{ID}
0::/system.slice/containerd.service
"""


def test_v1_with_a_v2_hierarchy_beside_it() -> None:
    assert parse_cgroup(V1.encode()) == CgroupInfo("/system.slice/containerd.service", ID, "docker")


def test_v1_alone() -> None:
    text = "4:memory:/system.slice/cron.service\n2:cpu:/\n1:name=systemd:/system.slice/cron.service\n"

    assert parse_cgroup(text.encode()) == CgroupInfo(
        "/system.slice/cron.service", kind="systemd", systemd_unit="cron.service"
    )


def test_the_memory_hierarchy_is_the_last_resort() -> None:
    text = "4:memory:/batch/7\n3:pids:/other\n1:name=systemd:/\n0::/\n"

    assert parse_cgroup(text.encode()) == CgroupInfo("/batch/7")


def test_the_first_line_with_a_container_decides() -> None:
    text = f"3:pids:/\n2:cpu:/docker/{ID}\n1:memory:/docker/{INNER}\n"

    assert parse_cgroup(text.encode()).container_id == ID


def test_controllers_that_share_a_hierarchy() -> None:
    assert cgroup_paths(b"3:cpu,cpuacct:/a:b\n0::/c\n") == {"cpu": "/a:b", "cpuacct": "/a:b", "": "/c"}


@pytest.mark.parametrize("text", [b"", b"\n", b"0::", b"0::relative", b"junk", b"1:2", b"\xff\xfe::/\xff"])
def test_other_text_tells_nothing(text: bytes) -> None:
    info = parse_cgroup(text)

    assert (info.container_id, info.kind) == ("", "")


PARTS = st.sampled_from(
    (
        f"kubepods pod{POD} x-pod{POD_}.slice {ID} docker-{ID}.scope lxc lxc.payload.a buildkit {BUILD} default .. "
        f".service a.service _ {UUID} ecs {TASK}-1 :: conmon \n"
    ).split(" ")
)


@given(st.one_of(st.binary(max_size=300), st.lists(PARTS).map(lambda parts: ("0::/" + "/".join(parts)).encode())))
def test_any_text_is_taken(text: bytes) -> None:
    info = parse_cgroup(text)

    assert info.path.startswith("/")
    assert bool(info.kind) or not info.container_id


def test_long_text_takes_no_longer() -> None:
    hostile = b"0::/" + b"pod-" * 4000 + b"/" + b"a-" * 4000 + b"lxc.payload."

    assert parse_cgroup(hostile).container_id == ""
