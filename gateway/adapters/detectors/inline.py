"""Patterns behind the Detector port: in this process, in bounded time.

A long text is scanned in overlapping windows, and the event loop gets its turn between
them, so that one megabyte of digits delays nobody's stream by more than a window.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from typing_extensions import override

from gateway.core import patterns, structure
from gateway.core.values import Span
from gateway.core.walk import FIXED_CONTEXT
from gateway.ports import Detector, Text

WINDOW = 8_192
_LEAD = 128
_VALUES = 64
_OVERLAP = 512
# A private key is longer than a window's overlap; these families cost little on any size.
_WHOLE = frozenset({"secret", "url_credential"})


KEPT_FROM = 256
"""Texts from this many characters on are scanned once: a keyed hash costs a tenth of a scan."""


class InlineDetector(Detector):
    """Finds identifiers by patterns, check digits and context words.

    Results of longer texts are kept by a keyed hash, for ``tenant`` only, since a chat resends its
    history; no text is kept. ``cached`` is how many.
    """

    def __init__(self, *, tenant: str = "", cached: int = 4_096) -> None:
        made_by = f"{tenant}\0{patterns.NAME}".encode("utf-8", "surrogatepass")
        self._key = hmac.digest(secrets.token_bytes(32), made_by, "sha256")
        self._cached = cached
        self._cache: OrderedDict[tuple[frozenset[str], bytes], tuple[Span, ...]] = OrderedDict()

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """Every kind that patterns know."""
        return patterns.KINDS

    @property
    @override
    def name(self) -> str:
        """The pattern set and its version."""
        return patterns.NAME

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Never raises DetectorUnavailable."""
        wanted = kinds & patterns.KINDS
        if not wanted:
            return [[] for _ in texts]
        found: list[list[Span]] = []
        since = 0
        for text in texts:
            context = None if text.context == FIXED_CONTEXT else text.context
            size = len(text.text)
            if size < KEPT_FROM:
                found.append(structure.scan(text.text, wanted, context=context))
            else:
                key = wanted, self._digest(text.text, context)
                known = self._cache.get(key)
                if known is None:
                    known = tuple(
                        structure.scan(text.text, wanted, context=context)
                        if size <= WINDOW
                        else await _scan_long(text.text, wanted, context)
                    )
                    self._cache[key] = known
                    if len(self._cache) > self._cached:
                        self._cache.popitem(last=False)
                else:
                    self._cache.move_to_end(key)
                    size = 0
                found.append(list(known))
            since += size
            if since > WINDOW:
                since = 0
                await asyncio.sleep(0)
        return found

    def _digest(self, text: str, context: str | None) -> bytes:
        """Return a keyed hash of what an answer depends on; without the key it tells nothing."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20, key=self._key)
        digest.update(b"\0" + (context or "").encode("utf-8", "surrogatepass"))
        return digest.digest()


async def _scan_long(text: str, kinds: frozenset[str], context: str | None) -> list[Span]:
    """Scan a long text window by window; a span belongs to the window it starts in."""
    spans = patterns.scan(text, kinds & _WHOLE, context=context) if kinds & _WHOLE else []
    rest = kinds - _WHOLE
    for start, shift, piece in _windows(text):
        await asyncio.sleep(0)
        end = start + WINDOW
        spans += [
            Span(
                kind=span.kind,
                start=span.start + shift,
                end=span.end + shift,
                score=span.score,
                detector=span.detector,
            )
            for span in patterns.scan(piece, rest, context=context)
            if start <= span.start + shift < end
        ]
    # Headings and values may stand windows apart, so structure is looked for in the whole text, on
    # another thread: it takes a tenth of a second for a megabyte.
    inner = await asyncio.to_thread(structure.segments, text)
    more: list[Span] = []
    for at in range(0, len(inner), _VALUES):
        await asyncio.sleep(0)
        more += structure.within(inner[at : at + _VALUES], kinds)
    return structure.joined(spans, more, inner)


def _windows(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield each window's start, the offset of its piece (which sees a little before it), the piece."""
    for start in range(0, len(text), WINDOW):
        shift = max(0, start - _LEAD)
        yield start, shift, text[shift : start + WINDOW + _OVERLAP]
