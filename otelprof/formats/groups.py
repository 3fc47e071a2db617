"""What samples are grouped by on display: names of processes and threads."""

from otelprof.formats.frames import base_name
from otelprof.model.stack import Attributes, Resource

__all__ = ("process_label", "text_attribute", "thread_label")


def process_label(resource: Resource) -> str:
    """Name a process: its executable's name, else its path's last part, else its service; "" when unknown."""
    attributes = resource.attributes
    return (
        text_attribute(attributes, "process.executable.name")
        or base_name(text_attribute(attributes, "process.executable.path"))
        or text_attribute(attributes, "service.name")
    )


def thread_label(attributes: Attributes) -> str:
    """Name the thread of a sample by its sample attributes; "" when unknown."""
    return text_attribute(attributes, "thread.name")


def text_attribute(attributes: Attributes, key: str) -> str:
    """Give the value of a text attribute, "" when it is absent or of another type."""
    for name, value in attributes:
        if name == key:
            return value if isinstance(value, str) else ""
    return ""
