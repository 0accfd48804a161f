# ruff: noqa: E501 (data and tables read better unbroken)
"""Weaves texts from templates and remembers where each planted value stands.

A template is text with slots: `{person}` plants a new value of that maker, `{person#1}` plants one and keeps it for
the rest of the document, so that a second `{person#1}` is the same value again. A maker returns a text and its label;
the label None marks something harmless. Offsets count Unicode characters.

Nothing under `gateway` is imported: the sets made with this measure detectors. Only `random.Random.random` is used,
whose sequence Python promises to keep for a seed, so that a set can be made again byte for byte.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Made = tuple[str, str | None]
SLOT = re.compile(r"\{([a-z_0-9]+)(#\d+)?\}")


class Chance:
    """The same picks for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def below(self, n: int) -> int:
        return int(self._random.random() * n)

    def between(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)

    def pick(self, of: Sequence[T]) -> T:
        return of[self.below(len(of))]

    def often(self, share: float) -> bool:
        return self._random.random() < share

    def digits(self, n: int) -> str:
        return "".join(str(self.below(10)) for _ in range(n))

    def letters(self, n: int, of: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ") -> str:
        return "".join(self.pick(of) for _ in range(n))

    def some(self, of: Sequence[T], n: int) -> list[T]:
        """`n` different ones, in a random order."""
        left = list(of)
        return [left.pop(self.below(len(left))) for _ in range(min(n, len(left)))]


Maker = Callable[[Chance], Made]


@dataclass(slots=True)
class Text:
    """A text that grows, with the spans of what was planted in it."""

    parts: list[str] = field(default_factory=list)
    spans: list[dict[str, object]] = field(default_factory=list)
    length: int = 0

    def add(self, text: str, label: str | None = None) -> Text:
        if label is not None and text:
            self.spans.append({"start": self.length, "end": self.length + len(text), "label": label})
        self.parts.append(text)
        self.length += len(text)
        return self

    def join(self, other: Text) -> Text:
        self.spans.extend(
            {
                **span,
                "start": int(str(span["start"])) + self.length,
                "end": int(str(span["end"])) + self.length,
            }
            for span in other.spans
        )
        self.parts.extend(other.parts)
        self.length += other.length
        return self

    def __str__(self) -> str:
        return "".join(self.parts)


class Weaver:
    """Fills templates from makers; one Weaver is one document, so that `#1` means one value in it."""

    def __init__(self, chance: Chance, makers: Mapping[str, Maker]) -> None:
        self.chance = chance
        self.makers = makers
        self._kept: dict[str, Made] = {}

    def make(self, slot: str, number: str | None = None) -> Made:
        if number is None:
            return self.makers[slot](self.chance)
        name = slot + number
        if name not in self._kept:
            self._kept[name] = self.makers[slot](self.chance)
        return self._kept[name]

    def fill(self, template: str) -> Text:
        text, at = Text(), 0
        for slot in SLOT.finditer(template):
            text.add(template[at : slot.start()])
            text.add(*self.make(slot[1], slot[2]))
            at = slot.end()
        return text.add(template[at:])

    def dump(self, value: object, **how: object) -> Text:
        """JSON whose string values are templates; a value is planted as JSON writes it, escapes included.

        A string `"#{sin}"` is planted bare, as a number.
        """
        made: list[Made] = []

        def mark(node: object) -> object:
            if isinstance(node, dict):
                return {key: mark(below) for key, below in node.items()}
            if isinstance(node, list):
                return [mark(below) for below in node]
            if not isinstance(node, str):
                return node
            bare = node.startswith("#")

            def one(slot: re.Match[str]) -> str:
                made.append(self.make(slot[1], slot[2]))
                return f"@@{'#' if bare else ''}{len(made) - 1}@@"

            return SLOT.sub(one, node[1:] if bare else node)

        dumped = json.dumps(mark(value), **how)  # type: ignore[arg-type]
        dumped = re.sub(r'"@@(#\d+)@@"', r"@@\1@@", dumped)
        text, at = Text(), 0
        ascii_only = bool(how.get("ensure_ascii", True))
        for found in re.finditer(r"@@#?(\d+)@@", dumped):
            text.add(dumped[at : found.start()])
            raw, label = made[int(found[1])]
            text.add(json.dumps(raw, ensure_ascii=ascii_only)[1:-1], label)
            at = found.end()
        return text.add(dumped[at:])


def line(name: str, group: str, text: Text) -> str:
    """One document as a line of JSON: `{id, group, text, spans}`."""
    spans = sorted(text.spans, key=lambda span: int(str(span["start"])))
    return json.dumps({"id": name, "group": group, "text": str(text), "spans": spans}, ensure_ascii=False)
