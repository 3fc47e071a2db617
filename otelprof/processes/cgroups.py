"""Control groups: which container, pod or systemd unit a process belongs to.

The kernel knows no containers. What is left of one on the host is the name that its runtime gave the control
group, so this reads names; ``_RUNTIMES`` and the functions below list the forms that are known:

==============================================================  ==========  ==========================
path                                                            kind        container id
==============================================================  ==========  ==========================
``/kubepods/burstable/pod<uid>/<id>``                           kubernetes  ``<id>``
``/kubepods.slice/…-pod<uid>.slice/cri-containerd-<id>.scope``  kubernetes  ``<id>`` (also crio, docker)
``/system.slice/…-pod<uid>.slice:cri-containerd:<id>``          kubernetes  ``<id>``
``/docker/<id>``, ``/system.slice/docker-<id>.scope``           docker      ``<id>``
``/machine.slice/libpod-<id>.scope/container``                  podman      ``<id>``
``/<namespace>/<id>``, ``/default/<name>``                      containerd  ``<id>``, ``<name>``
``/ecs/<task>/<id>``, ``/ecs/<task>/<32 hex>-<number>``         ecs         last part
``/<uuid>``, ``/garden/<8-4-4-4-4 hex>``                        container   last part
``/lxc/<name>``, ``/lxc.payload.<name>``, ``/lxc.monitor…``     lxc         ``<name>``
``/docker/buildkit/<id>``                                       buildkit    ``<id>``
``/system.slice/nginx.service``                                 systemd     none
==============================================================  ==========  ==========================

``<id>`` is 64 hexadecimal digits. Parts after the container's own, such as ``/init.scope`` of a container that
runs systemd, change nothing. Of containers in a container the outer one counts, since that is the one the host's
runtime knows; below a pod it is the one directly in the pod, which Kubernetes knows. The monitors that Podman and
CRI-O start beside a container (``libpod-conmon-<id>.scope``) are not in it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

__all__ = ("MAX_CGROUP_BYTES", "CgroupInfo", "cgroup_paths", "parse_cgroup")

MAX_CGROUP_BYTES = 16_384
"""Text read of one process: a dozen hierarchies with paths as deep as anybody makes them."""

# A pod's part: its uid with dashes or, in a systemd slice, underscores; 32 digits for one from a manifest file.
_POD = re.compile(
    r"(?:.*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})"
    r"(?:\.slice)?(?::(?P<runtime>[a-z-]+):(?P<id>[0-9a-f]{64}))?"
)

_CONTAINER = re.compile(r"(?:(?P<runtime>[a-z][a-z-]*)-)?(?P<id>[0-9a-f]{64})(?:\.scope)?")

# Ids that other things bear as well: believed only at the end of a path.
_LAST = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{8}(?:-[0-9a-f]{4}){4}|[0-9a-f]{32}-[0-9]{1,20})"
    r"(?:\.scope)?"
)

_LXC = re.compile(r"lxc\.(?:payload|monitor)\.(?P<id>.+)")
_LXC_PARENTS = frozenset({"lxc", "lxc.payload", "lxc.monitor"})

_BUILDKIT = re.compile(r"[a-z0-9]{25}")
"""BuildKit's identity.NewID: 128 random bits to the base 36."""

_CONTAINERD_NAMESPACES = frozenset({"default", "k8s.io", "moby"})
_CONTAINERD_NAME = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")

_RUNTIMES = {
    "cri-containerd": "containerd",
    "crio": "cri-o",
    "docker": "docker",
    "ecs": "ecs",
    "libpod": "podman",
    "libpod_parent": "podman",
    "nerdctl": "containerd",
}
"""Kind by the prefix of the container's part, or by the part before it."""

_UNIT = re.compile(r".+\.(?:service|scope|socket|mount|swap)")
"""Units that have processes, systemd.unit(5)."""


@dataclass(frozen=True, slots=True)
class CgroupInfo:
    """What a process's control group tells; "" is unknown.

    ``path`` is the one in the v2 hierarchy where the process has a place of its own there, else that of v1's
    systemd or memory hierarchy. ``kind`` is ``kubernetes``, ``docker``, ``podman``, ``cri-o``, ``containerd``, ``ecs``,
    ``lxc``, ``buildkit``, ``container`` or ``systemd``. ``systemd_unit`` is the system manager's, and not given for
    containers, whose unit only repeats the id.
    """

    path: str = "/"
    container_id: str = ""
    kind: str = ""
    pod_uid: str = ""
    systemd_unit: str = ""


def cgroup_paths(text: bytes) -> dict[str, str]:
    """Return the paths in ``/proc/<pid>/cgroup`` by controller, "" being the v2 hierarchy.

    Lines are ``hierarchy:controllers:path``, see cgroups(7); what has another shape is passed over.
    """
    paths: dict[str, str] = {}
    for line in text.decode("utf-8", "surrogateescape").split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/"):
            for controller in controllers.split(","):
                # The mark is on groups that were removed while the process ends.
                paths.setdefault(controller, path.removesuffix(" (deleted)"))
    return paths


@lru_cache(maxsize=512)
def parse_cgroup(text: bytes) -> CgroupInfo:
    """Read what the text of ``/proc/<pid>/cgroup`` tells; the first line that names a container decides."""
    paths = cgroup_paths(text)
    places = [paths.get(controller, "/") for controller in ("", "name=systemd", "memory")]
    path = next((place for place in places if place != "/"), "/")
    for candidate in dict.fromkeys(paths.values()):
        parts = [part for part in candidate.split("/") if part]
        info = _in_pod(path, parts) or _by_id(path, parts) or _by_name(path, parts)
        if info is not None:
            return info
    unit = _systemd_unit(places[0]) or _systemd_unit(places[1])
    return CgroupInfo(path, kind="systemd", systemd_unit=unit) if unit else CgroupInfo(path)


def _in_pod(path: str, parts: list[str]) -> CgroupInfo | None:
    for position, part in enumerate(parts):
        pod = _POD.fullmatch(part)
        if pod is None:
            continue
        uid = pod["uid"].replace("_", "-")
        container = pod["id"] or ""
        if not container and position + 1 < len(parts):
            match = _match_container(parts[position + 1]) or _LAST.fullmatch(parts[position + 1])
            container = match["id"] if match else ""
        return CgroupInfo(path, container, "kubernetes", uid)
    return None


def _by_id(path: str, parts: list[str]) -> CgroupInfo | None:
    for parent, part in zip(["", *parts], parts, strict=False):
        match = _match_container(part)
        if match is not None:
            prefix = match["runtime"] or ("ecs" if "ecs" in parts else parent)
            fallback = "containerd" if len(parts) == 2 and not match["runtime"] else "container"
            return CgroupInfo(path, match["id"], _RUNTIMES.get(prefix, fallback))
    last = _LAST.fullmatch(parts[-1]) if parts else None
    if last is not None:
        return CgroupInfo(path, last["id"], "ecs" if "ecs" in parts else "container")
    return None


def _by_name(path: str, parts: list[str]) -> CgroupInfo | None:
    for part, child in pairwise([*parts, ""]):
        monitored = _LXC.fullmatch(part)
        if monitored is not None:
            return CgroupInfo(path, monitored["id"], "lxc")
        if part in _LXC_PARENTS and child:
            return CgroupInfo(path, child, "lxc")
        if part == "buildkit" and _BUILDKIT.fullmatch(child):
            return CgroupInfo(path, child, "buildkit")
    if len(parts) == 2 and parts[0] in _CONTAINERD_NAMESPACES and _CONTAINERD_NAME.fullmatch(parts[1]):
        return CgroupInfo(path, parts[1], "containerd")
    return None


def _match_container(part: str) -> re.Match[str] | None:
    match = _CONTAINER.fullmatch(part)
    if match is None or (match["runtime"] or "").endswith("conmon"):
        return None
    return match


def _systemd_unit(path: str) -> str:
    for part in path.split("/"):
        # systemd puts an underscore before names that the kernel could take for its own files.
        name = part.removeprefix("_")
        if not name or name.endswith(".slice"):
            continue
        return name if _UNIT.fullmatch(name) else ""
    return ""
