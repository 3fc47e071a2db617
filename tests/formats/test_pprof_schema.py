import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from otelprof.formats import pprof_descriptor, pprof_schema

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    pytest.importorskip("grpc_tools")
    spec = importlib.util.spec_from_file_location("generate", ROOT / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_belong_to_the_schema(generate: ModuleType) -> None:
    formats = ROOT / "otelprof" / "formats"

    assert (formats / "pprof_descriptor.py").read_text() == generate.descriptor_module()
    assert (formats / "pprof_schema.pyi").read_text() == generate.schema_stub()


def test_schema_lives_beside_another_one_of_the_same_name() -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import Default
    from google.protobuf.message_factory import GetMessageClass

    theirs = FileDescriptorProto.FromString(pprof_descriptor.DESCRIPTOR_BYTES)
    theirs.message_type[0].field[0].number = 99
    pool = Default()
    pool.Add(theirs)
    other = GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))

    assert other is not pprof_schema.Profile
    assert other.DESCRIPTOR.fields_by_name["sample_type"].number == 99
    assert pprof_schema.Profile.DESCRIPTOR.fields_by_name["sample_type"].number == 1


def test_wire_form_is_that_of_pprof() -> None:
    profile = pprof_schema.Profile(string_table=["", "cpu"], period=7)
    profile.sample.add(location_id=[1, 300], value=[-1])

    assert profile.SerializeToString().hex(" ") == (
        "12 11 0a 03 01 ac 02 12 0a ff ff ff ff ff ff ff ff ff 01 "  # sample: location ids, values
        "32 00 32 03 63 70 75 60 07"  # string table, period
    )
