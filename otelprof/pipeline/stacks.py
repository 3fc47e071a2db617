"""Stack definitions of the current and the last epoch."""

from collections.abc import Callable

from otelprof.sampler.records import BuildIds, SpaceId, StackDefinition, StackId

__all__ = ("StackTable",)


class StackTable:
    """What the kernel side wrote of each stack id, bounded by epochs.

    The kernel side writes a definition once per epoch. When this table is full it asks for a new epoch and keeps
    the old one's definitions for as long as the new one lasts, for samples that are still on their way.
    """

    def __init__(self, next_epoch: Callable[[], None], *, max_stacks: int = 8192) -> None:
        """``next_epoch`` makes the sampler define every stack once more."""
        self._next_epoch = next_epoch
        self._max_stacks = max_stacks
        self._current: dict[StackId, StackDefinition] = {}
        self._last: dict[StackId, StackDefinition] = {}
        self._build_ids: dict[StackId, BuildIds] = {}
        self._last_build_ids: dict[StackId, BuildIds] = {}
        self.epoch = 0

    def __len__(self) -> int:
        """Definitions held now."""
        return len(self._current) + len(self._last)

    def define(self, definition: StackDefinition) -> None:
        """Remember a definition."""
        self._current[definition.stack_id] = definition

    def explain(self, build_ids: BuildIds) -> None:
        """Remember what the kernel knew of a stack's frames."""
        self._build_ids[build_ids.stack_id] = build_ids

    def get(self, stack_id: StackId) -> StackDefinition | None:
        """The definition of a stack; None when it never came."""
        return self._current.get(stack_id) or self._last.get(stack_id)

    def build_ids(self, stack_id: StackId, space: SpaceId) -> BuildIds | None:
        """What the kernel knew of the frames, if it was asked."""
        found = self._build_ids.get(stack_id) or self._last_build_ids.get(stack_id)
        return found if found and found.space == space else None

    def turn_when_full(self) -> bool:
        """Begin a new epoch if there are too many definitions; True when one began."""
        if len(self._current) <= self._max_stacks:
            return False
        self._last, self._current = self._current, {}
        self._last_build_ids, self._build_ids = self._build_ids, {}
        self.epoch += 1
        self._next_epoch()
        return True
