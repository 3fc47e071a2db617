"""Processes that lie, break or vanish: everybody else is still profiled, and they are as well."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from otelprof.artifacts.store import ArtifactStore
from otelprof.model.check import check
from otelprof.model.rules import Level
from otelprof.sampler.records import BuildIdFrame, BuildIds, Outcome
from tests.pipeline.scripted import ScriptedSampler, identity, kernel_stack, native, raw, user_stack
from tests.pipeline.world import World, elf, resource_of

BASE = 0x7F00_0000_0000

text = st.binary(max_size=300)
addresses = st.one_of(st.integers(0, 2**64 - 1), st.integers(BASE - 0x10, BASE + 0x2000))
frames = st.lists(
    st.one_of(
        st.builds(raw, addresses, called=st.booleans()),
        st.builds(native, st.integers(0, 2**32 - 1), addresses, called=st.booleans()),
    ),
    min_size=1,
    max_size=8,
)
maps = st.lists(
    st.builds(
        "{:x}-{:x} r-xp {:x} {:x}:{:x} {} {}\n".format,
        addresses,
        addresses,
        addresses,
        st.integers(0, 2**28 - 1),
        st.integers(0, 2**28 - 1),
        st.integers(0, 2**64 - 1),
        st.text(st.characters(exclude_characters="\n\0"), max_size=30),
    ).map(lambda line: line.encode("utf-8", "surrogatepass")),
    max_size=6,
).map(b"".join)


def honest(world: World) -> None:
    """A process like any other, beside which the hostile one runs."""
    world.run(10, (BASE, world.host.write("bin/app", elf({"work": 0}))))
    world.sampler.notify(world.host.notice(10))
    world.sampler.write(user_stack(5, raw(BASE, called=False), space=1))
    world.sampler.sample((identity(user=5), world.clock()))


@settings(max_examples=40)
@given(
    files=st.dictionaries(st.sampled_from(["stat", "maps", "environ", "cgroup", "cmdline"]), st.one_of(text, maps)),
    frames=frames,
    comm=st.binary(max_size=16),
    outcome=st.sampled_from(Outcome),
    kernel=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    build_ids=st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 2**64 - 1)), max_size=4),
    notified=st.booleans(),
    vanishes=st.booleans(),
)
def test_whatever_a_process_shows_its_sample_is_delivered(
    store: ArtifactStore,
    files: dict[str, bytes],
    frames: list[tuple[int, int]],
    comm: bytes,
    outcome: Outcome,
    kernel: list[int],
    build_ids: list[tuple[bytes, int]],
    notified: bool,
    vanishes: bool,
) -> None:
    with TemporaryDirectory() as root:
        world = World(Path(root), store, ScriptedSampler())
        world.profiler.start()
        honest(world)
        world.run(66, (BASE, world.host.root / "bin/app"))
        notice = world.host.notice(66, space=2)
        for name, content in files.items():
            world.host.write(f"proc/66/{name}", content)
        if notified:
            world.sampler.notify(notice)
        world.sampler.write(
            user_stack(6, *frames, space=2, pid=66),
            kernel_stack(7, *kernel),
            BuildIds(6, 2, tuple(BuildIdFrame(*frame) for frame in build_ids)),
        )
        if vanishes:
            world.end(66)
        who = identity(66, 2, user=6, kernel=7, comm=comm, outcome=outcome)
        world.sampler.sample((who, world.clock()))
        world.step()
        world.sampler.notify(notice)
        world.step(1)
        world.step(5)
        world.profiler.finish(60)
        world.close()

        assert world.profiler.lost.total() == 0
        assert world.profiler.accepted == world.profiler.consumed == 2
        assert world.names()[("work",)] == 1
        owners = {resource_of(sample)["process.pid"]: resource_of(sample) for sample in world.samples()}
        assert owners.keys() == {10, 66}
        assert owners[66]["service.name"]
        for window in world.windows:
            assert [breach for breach in check(window.batch.payload) if breach.level is not Level.NOTICE] == []
