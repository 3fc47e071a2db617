import pytest

from otelprof.formats.groups import process_label, text_attribute, thread_label
from otelprof.model.stack import Attributes, Resource


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ((("service.name", "shop"), ("process.executable.name", "python3")), "python3"),
        ((("service.name", "shop"), ("process.executable.path", "/usr/bin/python3")), "python3"),
        ((("service.name", "shop"), ("process.executable.name", 7)), "shop"),
        ((("process.pid", 7),), ""),
    ],
)
def test_process_is_named_by_its_executable_then_its_service(attributes: Attributes, label: str) -> None:
    assert process_label(Resource(attributes)) == label


def test_thread_is_named_by_its_comm() -> None:
    assert thread_label((("thread.id", 1), ("thread.name", "worker"))) == "worker"
    assert thread_label(()) == ""


def test_attribute_of_another_type_is_no_text() -> None:
    assert text_attribute((("a", 1),), "a") == ""
