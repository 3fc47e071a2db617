"""Labels of pprof samples and the OTLP attributes that they stand for.

The keys of process and thread are those that the Datadog Agent's users search by; all other sample
attributes keep their names.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import TypeAlias

from otelprof.formats.groups import process_label
from otelprof.model.stack import Attributes, AttributeValue, Resource

__all__ = ("Label", "labels_to_attributes", "resource_to_labels", "sample_to_labels")

Label: TypeAlias = tuple[str, str | int]
"""Key and value of a label; a number is a numeric label."""

_PID = "process_id"
_PROCESS_NAME = "process name"

_LABEL_OF_KEY = {"thread.id": "thread id", "thread.name": "thread name"}
_KEY_OF_LABEL = {label: key for key, label in _LABEL_OF_KEY.items()}

_DECIMAL_TEXT = frozenset({"thread.id", "cpu.logical_number"})
"""Integer attributes whose labels are text, as the backend's tags are."""


def resource_to_labels(resource: Resource) -> tuple[Label, ...]:
    """Give the labels that name the process of a resource."""
    pid = next((value for key, value in resource.attributes if key == "process.pid"), 0)
    name = process_label(resource)
    return (*(((_PID, str(pid)),) if pid else ()), *(((_PROCESS_NAME, name),) if name else ()))


def sample_to_labels(attributes: Attributes) -> tuple[Label, ...]:
    """Give the labels of a sample, ordered by key; an empty text and thread 0 have none."""
    labels = [
        (_LABEL_OF_KEY.get(key, key), _label_value(key, value))
        for key, value in attributes
        if value != "" and not (key == "thread.id" and value == 0)
    ]
    return tuple(sorted(labels, key=itemgetter(0)))


def labels_to_attributes(labels: Iterable[Label]) -> tuple[Resource, Attributes]:
    """Give the process and the attributes of a sample; values of a repeated key become one array."""
    resource: dict[str, AttributeValue] = {}
    values: dict[str, list[str | int]] = {}
    for label, value in labels:
        if label == _PROCESS_NAME:
            resource["process.executable.name"] = str(value)
        elif label == _PID and _is_decimal(value):
            resource["process.pid"] = int(value)
        else:
            key = _KEY_OF_LABEL.get(label, label)
            values.setdefault(key, []).append(int(value) if key in _DECIMAL_TEXT and _is_decimal(value) else value)
    attributes = [(key, given[0] if len(given) == 1 else tuple(given)) for key, given in values.items()]
    return Resource(tuple(resource.items())), tuple(attributes)


def _label_value(key: str, value: AttributeValue) -> str | int:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and key not in _DECIMAL_TEXT:
        return value
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _is_decimal(value: str | int) -> bool:
    """Tell whether a label is a natural number that fits 63 bits with room to spare."""
    text = str(value)
    return len(text) < 19 and text.isascii() and text.isdigit()
