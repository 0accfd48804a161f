"""How well a detector finds what people marked: precision, recall, F1, F2 and leaks, per kind.

The matching rule, on characters that are no white space: a marked span is *found* when at
least half of its characters are covered by finds of the same kind, and a find is *right*
when at least half of its characters lie in marked spans of the same kind. So a name found
in two halves counts, and a find that swallows a sentence does not. *Leaked* characters
are marked ones that no find of any kind covers: they would have left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

ENOUGH = 0.5
"""The share of a span's characters that must agree."""


class Marked(NamedTuple):
    """A span of one kind in one text: code points ``start``..``end``, half-open."""

    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Count:
    """What was counted for one kind, or for all."""

    marked: int = 0  # spans that people marked
    found: int = 0  # of these, found
    finds: int = 0  # spans that the detector reported
    right: int = 0  # of these, right

    @property
    def precision(self) -> float:
        """The share of finds that are right; 1 where nothing was found."""
        return self.right / self.finds if self.finds else 1.0

    @property
    def recall(self) -> float:
        """The share of marked spans that are found; 1 where nothing was marked."""
        return self.found / self.marked if self.marked else 1.0

    def f(self, beta: float) -> float:
        """Return the F score; beta 2 counts recall four times as much as precision."""
        weight, both = beta * beta, self.precision * beta * beta + self.recall
        return (1 + weight) * self.precision * self.recall / both if both else 0.0


@dataclass(slots=True)
class Score:
    """The counts of a whole set."""

    by_kind: dict[str, Count] = field(default_factory=dict)
    texts: int = 0
    characters: int = 0
    marked_characters: int = 0
    leaked_characters: int = 0
    touched_harmless: int = 0  # texts without a marked span in which something was found
    harmless: int = 0

    @property
    def overall(self) -> Count:
        """The sum over all kinds."""
        counts = self.by_kind.values()
        return Count(
            marked=sum(count.marked for count in counts),
            found=sum(count.found for count in counts),
            finds=sum(count.finds for count in counts),
            right=sum(count.right for count in counts),
        )

    @property
    def leak_rate(self) -> float:
        """The share of marked characters that nothing covers."""
        return self.leaked_characters / self.marked_characters if self.marked_characters else 0.0

    def add(self, text: str, marked: Sequence[Marked], finds: Sequence[Marked]) -> None:
        """Count one text."""
        self.texts += 1
        self.characters += len(text)
        if not marked:
            self.harmless += 1
            self.touched_harmless += bool(finds)
        solid = [not char.isspace() for char in text]
        for kind in {span.kind for span in (*marked, *finds)}:
            count = self.by_kind.setdefault(kind, Count())
            truth = [span for span in marked if span.kind == kind]
            told = [span for span in finds if span.kind == kind]
            count.marked += len(truth)
            count.finds += len(told)
            count.found += _agreeing(truth, told, solid)
            count.right += _agreeing(told, truth, solid)
        covered = _cover(finds, len(text))
        for position in range(len(text)):
            if solid[position] and any(span.start <= position < span.end for span in marked):
                self.marked_characters += 1
                self.leaked_characters += not covered[position]


def only(spans: Iterable[Marked], kinds: frozenset[str], same: Mapping[str, str]) -> list[Marked]:
    """Keep spans of the asked kinds, renaming kinds that count as the same (address → location)."""
    named = (Marked(same.get(span.kind, span.kind), span.start, span.end) for span in spans)
    return [span for span in named if span.kind in kinds]


def _cover(spans: Sequence[Marked], size: int) -> bytearray:
    covered = bytearray(size)
    for span in spans:
        covered[span.start : span.end] = b"\1" * (min(span.end, size) - span.start)
    return covered


def _agreeing(spans: Sequence[Marked], others: Sequence[Marked], solid: Sequence[bool]) -> int:
    """Return how many spans have at least half of their characters under the others."""
    if not spans or not others:
        return 0
    covered = _cover(others, len(solid))
    count = 0
    for span in spans:
        inside = [position for position in range(span.start, span.end) if solid[position]]
        count += bool(inside) and sum(covered[p] for p in inside) >= ENOUGH * len(inside)
    return count
