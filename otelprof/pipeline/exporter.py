"""What an exporter is, and how it is found."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from otelprof.errors import EnvironmentFailure, UsageError
from otelprof.pipeline.batch import Batch

__all__ = ("ENTRY_POINT_GROUP", "ExportResult", "Exporter", "ExporterFactory", "available_exporters", "load_exporter")

ENTRY_POINT_GROUP = "otelprof.exporters"
"""Packaging entry points of this group name exporter factories; ours look like anybody's."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of one batch: samples delivered, and samples dropped by the receiver's decision."""

    exported: int
    dropped: int = 0
    drop_reason: str = ""


class Exporter(Protocol):
    """Delivers batches to one destination."""

    def export(self, batch: Batch) -> ExportResult:
        """Deliver one batch; blocks until its outcome is known.

        Raises ExportError; ``retryable`` tells whether the same batch may be given again.
        """

    def close(self) -> None:
        """Release connections; no ``export`` follows."""


class ExporterFactory(Protocol):
    """What an entry point of the group ``otelprof.exporters`` resolves to, usually the exporter class."""

    def from_options(self, options: Mapping[str, object], environ: Mapping[str, str]) -> Exporter:
        """Make an exporter from configured options; raises ConfigError for a wrong one."""


def available_exporters() -> tuple[str, ...]:
    """Names of the installed exporters, sorted; none is imported."""
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))


def load_exporter(name: str) -> ExporterFactory:
    """Import the factory called ``name``.

    Raises UsageError naming those that exist, EnvironmentFailure when its package cannot be imported.
    """
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            factory: ExporterFactory = point.load()
        except (ImportError, AttributeError) as error:
            raise EnvironmentFailure(f"exporter {name} is installed but cannot be loaded: {error}") from error
        return factory
    known = ", ".join(available_exporters()) or "none installed"
    raise UsageError(f"there is no exporter called {name!r}; installed: {known}")
