"""The memory file that a parser writes its artifact, or the reason for none, into."""

import os

from otelprof.artifacts import wire
from otelprof.artifacts.memory import MAPPED_FROM_BYTES, create_memory_file, map_file, seal
from otelprof.errors import BadArtifact

__all__ = ("OutputFile",)


class OutputFile:
    """A file that can hold so many bytes and not one more; nobody can change it any more once it is read."""

    def __init__(self, max_bytes: int) -> None:
        self.descriptor = create_memory_file("otelprof-output")
        self._max_bytes = max_bytes
        os.ftruncate(self.descriptor, max_bytes)
        seal(self.descriptor, size_only=True)

    def close(self) -> None:
        """Close the file; what was read from it stays valid."""
        os.close(self.descriptor)

    def payload(self) -> memoryview:
        """Return what the parser wrote, aligned to 8 bytes; raises BadArtifact when that is impossible."""
        try:
            seal(self.descriptor)
            size = self._size_bytes()
            if size >= MAPPED_FROM_BYTES:
                return map_file(self.descriptor, wire.OUTPUT.size + size)[wire.OUTPUT.size :]
            return memoryview(os.pread(self.descriptor, size, wire.OUTPUT.size))
        except OSError as error:
            raise BadArtifact(f"the output of the parser cannot be read ({error.strerror})") from error

    def reason(self) -> str:
        """Return the message of a parser that refused, one printable line."""
        size = min(self._size_bytes(), wire.MAX_MESSAGE_BYTES)
        text = os.pread(self.descriptor, size, wire.OUTPUT.size).decode(errors="replace")
        return "".join(letter if letter.isprintable() else "?" for letter in text)

    def _size_bytes(self) -> int:
        (size,) = wire.OUTPUT.unpack(os.pread(self.descriptor, wire.OUTPUT.size, 0))
        if size > self._max_bytes - wire.OUTPUT.size:
            raise BadArtifact("the parser claims to have written more than it could")
        return int(size)
