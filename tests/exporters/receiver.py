"""An OTLP receiver that answers as a test wants: what a Collector cannot be made to do."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceResponse

__all__ = ("ACCEPT", "Answer", "Receiver", "accept_partly", "refuse", "running_receiver")

Answer = Callable[[grpc.ServicerContext], bytes]
"""Gives the serialised response, or aborts the call."""


def ACCEPT(context: grpc.ServicerContext) -> bytes:  # noqa: N802 - used as a constant
    """Accept everything, as a Collector says it: a partial success that restricts nothing."""
    return accept_partly(0, "")(context)


def accept_partly(rejected_profiles: int, error_message: str) -> Answer:
    """Answer OK with a partial success."""
    response = ExportProfilesServiceResponse()
    response.partial_success.SetInParent()
    response.partial_success.rejected_profiles = rejected_profiles
    response.partial_success.error_message = error_message

    def answer(context: grpc.ServicerContext) -> bytes:
        return response.SerializeToString()

    return answer


def refuse(code: grpc.StatusCode, details: str = "", status_details: bytes | None = None) -> Answer:
    """Refuse with a status, and a serialised ``google.rpc.Status`` where one is given."""

    def answer(context: grpc.ServicerContext) -> bytes:
        if status_details is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", status_details),))
        context.abort(code, details)

    return answer


@dataclass
class Receiver:
    """What was received until now, and the answers still to give; ACCEPT once they are used up."""

    endpoint: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    payloads: list[bytes] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)

    def export(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.payloads.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        return (self.answers.popleft() if self.answers else ACCEPT)(context)


@contextmanager
def running_receiver(
    *answers: Answer, credentials: grpc.ServerCredentials | None = None, max_bytes: int = 4 * 1024 * 1024
) -> Iterator[Receiver]:
    """Serve ProfilesService on a free loopback port; ``max_bytes`` is gRPC's own limit on a message."""
    receiver = Receiver(answers=deque(answers))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(receiver.export)
    service = "opentelemetry.proto.collector.profiles.v1development.ProfilesService"
    with ThreadPoolExecutor(2) as workers:
        server = grpc.server(workers, options=[("grpc.max_receive_message_length", max_bytes)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        if credentials:
            port = server.add_secure_port("localhost:0", credentials)
        else:
            port = server.add_insecure_port("localhost:0")
        receiver.endpoint = f"localhost:{port}"
        server.start()
        try:
            yield receiver
        finally:
            server.stop(None).wait()
