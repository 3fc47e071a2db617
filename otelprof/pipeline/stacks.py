"""Stack definitions of the current and the last epoch."""

from collections.abc import Callable

from otelprof.sampler.records import BuildIds, SpaceId, StackDefinition, StackId

__all__ = ("StackTable",)


class StackTable:
    """What the kernel side wrote of each stack id, bounded by epochs.

    The kernel side writes a definition once per epoch. A new epoch frees the definitions of the one before the last:
    whoever begins it knows that no sample names these any more.
    """

    def __init__(self, next_epoch: Callable[[], None], *, max_stacks: int = 4096) -> None:
        """``next_epoch`` makes the sampler define every stack once more; ``max_stacks`` fill the table."""
        self._next_epoch = next_epoch
        self._max_stacks = max_stacks
        self._current: dict[StackId, StackDefinition] = {}
        self._last: dict[StackId, StackDefinition] = {}
        self._build_ids: dict[StackId, BuildIds] = {}
        self._last_build_ids: dict[StackId, BuildIds] = {}

    def __len__(self) -> int:
        """Definitions held now."""
        return len(self._current) + len(self._last)

    @property
    def is_full(self) -> bool:
        """Whether it is time for a new epoch."""
        return len(self._current) > self._max_stacks

    def define(self, definition: StackDefinition) -> None:
        """Remember a definition."""
        self._current[definition.stack_id] = definition

    def explain(self, build_ids: BuildIds) -> None:
        """Remember what the kernel knew of a stack's frames."""
        self._build_ids[build_ids.stack_id] = build_ids

    def get(self, stack_id: StackId) -> StackDefinition | None:
        """The definition of a stack; None when it has not come."""
        return self._current.get(stack_id) or self._last.get(stack_id)

    def build_ids(self, stack_id: StackId, space: SpaceId) -> BuildIds | None:
        """What the kernel knew of the frames, if it was asked."""
        found = self._build_ids.get(stack_id) or self._last_build_ids.get(stack_id)
        return found if found and found.space == space else None

    def turn(self) -> None:
        """Begin a new epoch; the definitions of this one are kept as long as that lasts."""
        self._next_epoch()
        self._last, self._current = self._current, {}
        self._last_build_ids, self._build_ids = self._build_ids, {}
