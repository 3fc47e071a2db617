"""What a rule of the conformance checker is, and what it reports."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, TypeAlias

from otelprof.model.view import View

__all__ = ("WHOLE", "Breach", "Chapter", "Examination", "Found", "Level", "Needs", "Rule")

WHOLE = "message"
"""The place of a breach that concerns the message as a whole."""


class Level(StrEnum):
    """How much a breach matters."""

    ERROR = "error"
    """Something MUST be otherwise, or consumers break."""
    WARNING = "warning"
    """Something SHOULD be otherwise, or is bad style."""
    NOTICE = "notice"
    """Worth knowing, never a failure."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One place in a message that breaks one rule; ``str()`` is a line for the user."""

    rule: str
    level: Level
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.rule} {self.level} {self.where}: {self.message}"


class Found(NamedTuple):
    """One breach of a rule; ``level`` where it is not the rule's own."""

    where: str
    message: str
    level: Level | None = None


Needs: TypeAlias = Literal["bytes", "message", "dictionary"]
"""What must be there to judge a rule: nothing, a message that could be decoded, its dictionary too."""

Examination: TypeAlias = Callable[[View], Iterator[Found]]
"""Looks at a message for breaches of one rule; passes over what other rules report."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its number in the reference, how much it matters, and what it demands."""

    id: str
    level: Level
    sentence: str
    examine: Examination
    chapter: "Chapter"


class Chapter:
    """Rules of one theme, which need the same to be judged."""

    def __init__(self, title: str, needs: Needs) -> None:
        self.title = title
        self.needs = needs
        self.rules: list[Rule] = []

    def rule(self, rule_id: str, level: Level, sentence: str) -> Callable[[Examination], Examination]:
        """Enter the decorated function as the examination of a rule."""

        def enter(examine: Examination) -> Examination:
            self.rules.append(Rule(rule_id, level, sentence, examine, self))
            return examine

        return enter
