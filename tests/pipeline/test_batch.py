"""Closed windows as exporters see them."""

from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest

from otelprof.model.builder import ProfilesBuilder
from otelprof.model.stack import CPU_SAMPLES, Frame, Resource
from otelprof.pipeline.batch import Batch


def make_batch() -> Batch:
    builder = ProfilesBuilder(start_ns=1, end_ns=9)
    builder.add(Resource((("service.name", "shop"),)), CPU_SAMPLES, (Frame("native", 16),), timestamps_ns=[3])
    return Batch(0, 1, 9, 1, builder.build().SerializeToString())


def test_each_reader_of_a_batch_has_a_message_of_its_own() -> None:
    batch = make_batch()

    mine = batch.message()
    mine.ClearField("resource_profiles")

    assert len(batch.message().resource_profiles) == 1


def test_the_payload_is_a_request() -> None:
    batch = make_batch()

    request = ExportProfilesServiceRequest.FromString(batch.payload)

    assert request.resource_profiles == batch.message().resource_profiles
    assert request.dictionary == batch.message().dictionary
