"""Exporters that are slow, fail, raise or hang."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from otelprof.errors import ExportError
from otelprof.logs import RepetitionFilter
from otelprof.pipeline.batch import Batch
from otelprof.pipeline.delivery import Delivery, DeliveryCounts
from otelprof.pipeline.exporter import ExportResult

PATIENCE_S = 20.0

Answer = Callable[[Batch], object]


def batch(sequence: int, samples: int = 10, size_bytes: int = 100) -> Batch:
    return Batch(sequence, 0, 1, samples, bytes(size_bytes))


def deliver(what: Batch) -> ExportResult:
    return ExportResult(what.sample_count)


@dataclass
class ScriptedExporter:
    """Answers each batch as told, the rest by delivering; ``open`` holds it back."""

    answers: list[Answer] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    closed: int = 0
    open: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closing: Callable[[], None] = lambda: None

    def export(self, batch: Batch) -> ExportResult:
        self.threads.add(threading.current_thread().name)
        self.entered.release()
        assert self.open.wait(PATIENCE_S)
        self.seen.append(batch.sequence)
        answer = self.answers.pop(0) if self.answers else deliver
        return cast("ExportResult", answer(batch))

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed += 1
        self.closing()


@pytest.fixture
def exporter() -> Iterator[ScriptedExporter]:
    exporter = ScriptedExporter()
    exporter.open.set()
    yield exporter
    exporter.open.set()


def raising(error: BaseException) -> Answer:
    def answer(what: Batch) -> object:
        raise error

    return answer


def giving(result: object) -> Answer:
    return lambda _what: result


def total(counts: DeliveryCounts) -> int:
    return counts.exported + sum(counts.dropped.values()) + counts.pending


def test_batches_arrive_in_order_in_a_thread_of_the_exporter(exporter: ScriptedExporter) -> None:
    delivery = Delivery("otlp", exporter)
    for sequence in range(50):
        delivery.put(batch(sequence))

    assert delivery.finish(PATIENCE_S)
    assert exporter.seen == list(range(50))
    assert exporter.threads == {"exporter-otlp"}
    assert exporter.closed == 1
    assert delivery.counts() == DeliveryCounts(500, {}, 0)


def test_nobody_waits_for_a_slow_exporter_and_the_oldest_batches_leave_the_queue(
    exporter: ScriptedExporter, caplog: pytest.LogCaptureFixture
) -> None:
    exporter.open.clear()
    delivery = Delivery("otlp", exporter, max_waiting_bytes=250)
    delivery.put(batch(0))
    assert exporter.entered.acquire(timeout=PATIENCE_S)
    for sequence in range(1, 6):
        delivery.put(batch(sequence))

    # One is being exported, two fit.
    assert delivery.counts() == DeliveryCounts(0, {"queue_full": 30}, 30)
    assert "exporter otlp is too slow" in caplog.text
    exporter.open.set()
    assert delivery.finish(PATIENCE_S)
    assert exporter.seen == [0, 4, 5]
    assert delivery.counts() == DeliveryCounts(30, {"queue_full": 30}, 0)


def test_a_batch_larger_than_the_queue_is_delivered_all_the_same(exporter: ScriptedExporter) -> None:
    delivery = Delivery("otlp", exporter, max_waiting_bytes=10)
    delivery.put(batch(0))

    assert delivery.finish(PATIENCE_S)
    assert exporter.seen == [0]


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (deliver, DeliveryCounts(10, {}, 0)),
        (giving(ExportResult(7, 3, "filtered")), DeliveryCounts(7, {"filtered": 3}, 0)),
        (giving(ExportResult(0)), DeliveryCounts(0, {"rejected": 10}, 0)),
        (raising(ExportError("no route", retryable=True)), DeliveryCounts(0, {"export_failed": 10}, 0)),
        (raising(ValueError("a mistake")), DeliveryCounts(0, {"exporter_error": 10}, 0)),
        (raising(SystemExit(3)), DeliveryCounts(0, {"exporter_error": 10}, 0)),
        (giving(None), DeliveryCounts(0, {"exporter_error": 10}, 0)),
        (giving(ExportResult(11)), DeliveryCounts(0, {"exporter_error": 10}, 0)),
        (giving(ExportResult(-1)), DeliveryCounts(0, {"exporter_error": 10}, 0)),
    ],
)
def test_every_sample_is_accounted_for_and_the_next_batch_is_tried(
    exporter: ScriptedExporter, answer: Answer, counts: DeliveryCounts
) -> None:
    exporter.answers = [answer]
    delivery = Delivery("otlp", exporter)
    delivery.put(batch(0))
    delivery.put(batch(1, samples=5))

    assert delivery.finish(PATIENCE_S)
    assert exporter.seen == [0, 1]
    assert delivery.counts() == DeliveryCounts(counts.exported + 5, counts.dropped, 0)


def test_the_accounts_balance_at_every_moment(exporter: ScriptedExporter) -> None:
    exporter.answers = [raising(ValueError("x")), giving(ExportResult(3))] * 1000
    delivery = Delivery("otlp", exporter, max_waiting_bytes=500)
    put = 0
    seen: Counter[bool] = Counter()
    for sequence in range(2000):
        delivery.put(batch(sequence))
        put += 10
        seen[total(delivery.counts()) == put] += 1

    assert seen == {True: 2000}
    assert delivery.finish(PATIENCE_S)
    assert total(delivery.counts()) == put


def test_an_outage_is_told_once_and_its_end_too(exporter: ScriptedExporter, caplog: pytest.LogCaptureFixture) -> None:
    exporter.answers = [raising(ExportError("no route", retryable=True))] * 3
    delivery = Delivery("otlp", exporter)
    for sequence in range(5):
        delivery.put(batch(sequence))

    assert delivery.finish(PATIENCE_S)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "exporter otlp cannot deliver, profiles are dropped until it can: no route",
        "exporter otlp delivers again",
    ]


def test_one_exporter_is_told_of_although_another_just_was(caplog: pytest.LogCaptureFixture) -> None:
    once = RepetitionFilter(3600)
    for name in ("otlp", "otlp", "files"):
        exporter = ScriptedExporter([raising(ExportError("no route", retryable=True))])
        exporter.open.set()
        delivery = Delivery(name, exporter)
        delivery.put(batch(0))
        assert delivery.finish(PATIENCE_S)

    told = [record.getMessage().split()[1] for record in caplog.records if once.filter(record)]
    assert told == ["otlp", "files"]


def test_finishing_waits_no_longer_than_it_may_and_what_is_left_stays_pending(exporter: ScriptedExporter) -> None:
    exporter.open.clear()
    delivery = Delivery("otlp", exporter)
    delivery.put(batch(0))
    delivery.put(batch(1))
    assert exporter.entered.acquire(timeout=PATIENCE_S)

    assert not delivery.finish(0.01)
    assert not exporter.closed
    assert delivery.counts() == DeliveryCounts(0, {}, 20)


def test_closing_may_hang_or_fail_as_well(exporter: ScriptedExporter, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    exporter.closing = lambda: cast("None", release.wait(PATIENCE_S))
    hanging = Delivery("otlp", exporter)
    assert not hanging.finish(0.01)
    release.set()
    assert hanging.finish(PATIENCE_S)

    def fail() -> None:
        raise OSError("no such channel")

    exporter.closing = fail
    assert Delivery("files", exporter).finish(PATIENCE_S)
    assert "exporter files cannot be closed: no such channel" in caplog.text
