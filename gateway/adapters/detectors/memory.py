"""The twin of the Detector port: finds the words that a test tells it to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from typing_extensions import override

from gateway.core.values import Span
from gateway.ports import Detector, DetectorUnavailable, Text


class ScriptedDetector(Detector):
    """Finds every occurrence of given words; can be told to be down.

    ``seen`` keeps the texts of every request, so that a test can tell what was asked.
    """

    def __init__(
        self, words: Mapping[str, str] | None = None, *, extra: frozenset[str] = frozenset()
    ) -> None:
        """``words`` maps a text to its kind; ``extra`` are kinds it knows and never finds."""
        self._words = dict(words or {})
        self._kinds = frozenset(self._words.values()) | extra
        self.down = False
        self.seen: list[tuple[tuple[str, ...], frozenset[str]]] = []

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """The kinds of its words."""
        return self._kinds

    @property
    @override
    def name(self) -> str:
        """Its name."""
        return "scripted/1"

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Raises DetectorUnavailable while ``down``."""
        if self.down:
            raise DetectorUnavailable("the scripted detector is down")
        self.seen.append((tuple(text.text for text in texts), kinds))
        return [self._find(text.text, kinds) for text in texts]

    def _find(self, text: str, kinds: frozenset[str]) -> list[Span]:
        spans: list[Span] = []
        for word, kind in self._words.items():
            at = text.find(word) if kind in kinds else -1
            while at >= 0:
                spans.append(Span(kind=kind, start=at, end=at + len(word), score=90, detector=self.name))
                at = text.find(word, at + len(word))
        return sorted(spans, key=lambda span: (span.start, -span.end))
