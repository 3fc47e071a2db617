from collections.abc import Iterator

import pytest

from otelprof.errors import BadRecord
from otelprof.sampler import abi
from otelprof.sampler.ring import Ring, SampleGroups, SampleRing
from tests.sampler.fake_ring import BUSY, DISCARD, FakeRing, identity, sample


@pytest.fixture
def fake() -> Iterator[FakeRing]:
    ring = FakeRing()
    yield ring
    ring.close()


@pytest.fixture
def samples(fake: FakeRing) -> Iterator[SampleRing]:
    ring = SampleRing(fake.fd, fake.size_bytes)
    yield ring
    ring.close()


def test_samples_of_one_identity_become_one_list_of_times(fake: FakeRing, samples: SampleRing) -> None:
    one, other = identity(1), identity(2)
    for time_ns, who in ((10, one), (11, other), (12, one)):
        fake.write(sample(time_ns, who))

    groups: SampleGroups = {}

    assert samples.drain(groups) == 3
    assert groups == {one: [10, 12], other: [11]}
    assert samples.drain(groups) == 0


def test_the_ring_is_read_round_its_end_many_times(fake: FakeRing, samples: SampleRing) -> None:
    groups: SampleGroups = {}
    who = identity()
    for time_ns in range(300):
        fake.write(sample(time_ns, who))
        if time_ns % 7 == 0:
            samples.drain(groups)
    samples.drain(groups)

    assert groups == {who: list(range(300))}
    assert fake.consumed() == 300 * (8 + abi.SAMPLE_BYTES)


def test_a_record_not_yet_committed_ends_the_drain_and_is_taken_later(fake: FakeRing, samples: SampleRing) -> None:
    groups: SampleGroups = {}
    who = identity()
    fake.write(sample(1, who))
    unfinished = fake.write(sample(2, who), BUSY)
    fake.write(sample(3, who))

    assert samples.drain(groups) == 1
    fake.set_header(unfinished, abi.SAMPLE_BYTES)
    assert samples.drain(groups) == 2
    assert groups == {who: [1, 2, 3]}


def test_a_discarded_record_is_stepped_over(fake: FakeRing, samples: SampleRing) -> None:
    groups: SampleGroups = {}
    who = identity()
    fake.write(sample(1, who))
    fake.write(bytes(24), DISCARD)
    fake.write(sample(2, who))

    assert samples.drain(groups) == 2
    assert groups == {who: [1, 2]}


def test_a_record_that_is_no_sample_is_refused(fake: FakeRing, samples: SampleRing) -> None:
    fake.write(sample(1, identity()))
    fake.write(abi.HEADER.pack(9, 0, 16) + bytes(8))

    with pytest.raises(BadRecord, match="kind 9"):
        samples.drain({})


def test_records_of_any_length_come_in_order(fake: FakeRing) -> None:
    ring = Ring(fake.fd, fake.size_bytes)
    bodies = [bytes([size % 251]) * size for size in (1, 8, 9, 200, 1000)]
    seen = []
    for _ in range(5):
        for body in bodies:
            fake.write(body)
        seen += [bytes(record) for record in ring.records()]
    ring.close()

    assert seen == bodies * 5


def test_a_length_beyond_what_was_written_is_refused(fake: FakeRing) -> None:
    ring = Ring(fake.fd, fake.size_bytes)
    fake.set_header(fake.write(bytes(8)), 3000)

    with pytest.raises(BadRecord, match="3000 bytes"):
        list(ring.records())
    ring.close()
