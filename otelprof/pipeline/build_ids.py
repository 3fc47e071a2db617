"""Which binary a GNU build id alone may stand for."""

from collections.abc import Callable
from dataclasses import dataclass, field

from otelprof.artifacts.keys import FileKey

__all__ = ("BuildIdTable",)

_MAX_BUILD_IDS = 16384
"""Some 600 bytes each; the one noted longest ago is forgotten first."""
_MAX_UNREAD = 16
"""Files of one build id whose content is not known: as many are nobody's copies of a library."""


@dataclass(slots=True)
class _Files:
    """The files that were seen with one build id; ``number`` is that of the last."""

    number: int = 0
    unread: set[FileKey] = field(default_factory=set)
    contents: set[bytes] = field(default_factory=set)
    is_forged: bool = False


class BuildIdTable:
    """Finds binaries by build id, as long as all files that were seen with it have the same content.

    Anybody can write a program that carries the build id of another one. The same library in many containers, each
    with a file system of its own, is many files of one content.
    """

    def __init__(self, content: Callable[[FileKey], bytes | None]) -> None:
        """``content`` gives a hash of what is in a file, None while it is not known."""
        self._content = content
        self._files: dict[str, _Files] = {}

    def note(self, build_id: str, key: FileKey, number: int) -> None:
        """Note a file that carries a build id."""
        files = self._files.pop(build_id, None) or _Files()
        self._files[build_id] = files
        if len(self._files) > _MAX_BUILD_IDS:
            del self._files[next(iter(self._files))]
        files.number = number
        files.unread.add(key)
        if len(files.unread) > _MAX_UNREAD:
            self._read(files)

    def number(self, build_id: str) -> int:
        """Number of the file seen last with a build id, 0 for none, or when its name alone does not tell it."""
        files = self._files.get(build_id)
        if files is None:
            return 0
        if len(files.unread) + len(files.contents) > 1:
            self._read(files)
        is_one = len(files.unread) + len(files.contents) == 1
        return files.number if is_one and not files.is_forged else 0

    def _read(self, files: _Files) -> None:
        """Look which contents are known by now."""
        for key in tuple(files.unread):
            content = self._content(key)
            if content is not None:
                files.contents.add(content)
                files.unread.remove(key)
        files.is_forged |= len(files.contents) > 1 or len(files.unread) > _MAX_UNREAD
        if files.is_forged:
            files.unread.clear()
            files.contents.clear()
