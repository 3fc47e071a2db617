"""The messages of pprof's ``profile.proto``, in a descriptor pool of their own.

A program that uses otelprof as a library may have registered ``perftools.profiles`` itself; the
process-wide pool allows one registration only.
"""

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from otelprof.formats.pprof_descriptor import DESCRIPTOR_BYTES

__all__ = ("Function", "Label", "Line", "Location", "Mapping", "Profile", "Sample", "ValueType")

_pool = DescriptorPool()
_pool.AddSerializedFile(DESCRIPTOR_BYTES)


def _message(name: str) -> type:
    return GetMessageClass(_pool.FindMessageTypeByName(f"perftools.profiles.{name}"))


Function = _message("Function")
Label = _message("Label")
Line = _message("Line")
Location = _message("Location")
Mapping = _message("Mapping")
Profile = _message("Profile")
Sample = _message("Sample")
ValueType = _message("ValueType")
