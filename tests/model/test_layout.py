import subprocess
import sys

import pytest
from opentelemetry.proto.profiles.v1development import profiles_pb2

from otelprof.errors import MissingFeature
from otelprof.model.layout import LAYOUT, assert_layout


def test_table_names_every_field_of_every_message() -> None:
    installed = {
        name: {field.name: field.number for field in message.fields}
        for name, message in profiles_pb2.DESCRIPTOR.message_types_by_name.items()
    }

    assert installed == LAYOUT


def test_layout_of_version_1_9_is_refused() -> None:
    sample = {"stack_index": 1, "values": 2, "attribute_indices": 3, "link_index": 4, "timestamps_unix_nano": 5}

    with pytest.raises(MissingFeature, match=r"Sample\.values is not field 2.*install opentelemetry-proto>=1\.43"):
        assert_layout({**LAYOUT, "Sample": sample})


@pytest.mark.parametrize("message", ["Stack", "Nothing"])
def test_missing_fields_and_messages_are_refused(message: str) -> None:
    with pytest.raises(MissingFeature, match=f"{message}.location_list is not field 1"):
        assert_layout({message: {"location_list": 1}})


def test_missing_package_is_named() -> None:
    code = (
        "import sys\n"
        "sys.modules['opentelemetry.proto.profiles.v1development'] = None\n"
        "from otelprof.errors import MissingFeature\n"
        "try:\n"
        "    import otelprof.model.layout\n"
        "except MissingFeature as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "need opentelemetry-proto>=1.43,<2" in result.stdout
