"""Several detectors as one: each is asked only for the kinds that the ones before cannot find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from gateway.core.patterns import KINDS
from gateway.core.values import Span
from gateway.ports import Detector, Text


class LayeredDetector(Detector):
    """Asks cheap detectors first; an expensive one only runs for kinds that need it."""

    def __init__(self, *layers: Detector) -> None:
        self._layers = layers
        self._first = layers[0].kinds if layers else frozenset()
        self._kinds = frozenset().union(*(layer.kinds for layer in layers))

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """The kinds of all layers."""
        return self._kinds

    @property
    @override
    def name(self) -> str:
        """The names of all layers."""
        return "+".join(layer.name for layer in self._layers)

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Raises DetectorUnavailable if a needed layer does."""
        if kinds and kinds <= self._first:  # nearly every call, where no language model runs
            return await self._layers[0].detect(texts, kinds)
        found: list[list[Span]] = [[] for _ in texts]
        left = kinds
        for layer in self._layers:
            wanted = left & layer.kinds
            if not wanted:
                continue
            left -= wanted
            for text, spans, more in zip(texts, found, await layer.detect(texts, wanted), strict=True):
                sure = [span for span in spans if span.kind in KINDS]
                spans.extend(outside(more, sure, text.text) if sure else more)
        return found


NAMES = frozenset({"person", "location", "organisation"})
"""The kinds that a model guesses; other kinds are left as they are."""


def outside(spans: Sequence[Span], taken: Sequence[Span], text: str) -> list[Span]:
    """Cut out of guessed names what patterns have proven to be something else.

    A model takes `Guelph K7L 7R2` for one name; the postal code is known, so the name is `Guelph`.
    INVARIANT: every letter and digit that was covered stays covered, by one or the other.
    """
    kept: list[Span] = []
    for span in spans:
        if span.kind not in NAMES:
            kept.append(span)
            continue
        parts = [(span.start, span.end)]
        for other in taken:
            parts = (
                [
                    piece
                    for start, end in parts
                    for piece in ((start, min(end, other.start)), (max(start, other.end), end))
                    if piece[0] < piece[1]
                ]
                if other.start < span.end and span.start < other.end
                else parts
            )
        kept += [
            span if (low, high) == (span.start, span.end) else replace(span, start=low, end=high)
            for start, end in parts
            for low, high in [_bare(text, start, end)]
            if low < high
        ]
    return kept


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return start, end
