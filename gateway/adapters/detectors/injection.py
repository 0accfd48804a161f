"""The detectors of prompt injection: the heuristic one in this process, and a self-hosted classifier.

A classifier is any HTTP service that answers ``POST`` of ``{"texts": ["…"]}`` with
``{"results": [[{"kind": "prompt_injection", "score": 93, "start": 0, "end": 20}]]}``: one
list per text, scores in percent; without ``start`` and ``end`` the whole text is meant. It
is reached over our one transport, by declaration, and must stand where this node stands:
it sees prompts before anything is decided about them.

INVARIANT: whatever is odd about its answer makes it no answer, never "nothing found".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import orjson
from typing_extensions import override

from gateway.adapters.guard import permit_declared
from gateway.adapters.transport import Outgoing, Transport, TransportFailed
from gateway.core import injection
from gateway.core.errors import UpstreamFailed
from gateway.core.shape import is_array, is_object
from gateway.core.values import Span
from gateway.core.walk import FIXED_CONTEXT
from gateway.ports import Detector, DetectorUnavailable, Text

MOST_TEXT = 100_000
"""Characters of one text that are read; instructions that follow so much text are found by no reader."""

MOST_REPLY = 4 << 20
_PIECE = 8_192
_OVERLAP = 512
_LEAST_SCORE = 50


class InjectionDetector(Detector):
    """Finds prompt injection and tool abuse by their words."""

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """The two kinds."""
        return injection.KINDS

    @property
    @override
    def name(self) -> str:
        """The heuristic and its version."""
        return injection.NAME

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Never raises DetectorUnavailable."""
        wanted = kinds & injection.KINDS
        found: list[list[Span]] = []
        since = 0
        for text in texts:
            if not wanted or text.context == FIXED_CONTEXT:
                found.append([])
                continue
            if len(text.text) <= _PIECE:
                found.append(injection.scan(text.text, wanted))
            else:
                found.append(await _scan_long(text.text[:MOST_TEXT], wanted))
            since += len(text.text)
            if since > _PIECE:
                since = 0
                await asyncio.sleep(0)
        return found


async def _scan_long(text: str, kinds: frozenset[str]) -> list[Span]:
    """Scan a long text piece by piece, others getting their turn between; a span is its start's piece's."""
    spans: list[Span] = []
    for start in range(0, len(text), _PIECE):
        await asyncio.sleep(0)
        for span in injection.scan(text[start : start + _PIECE + _OVERLAP], kinds):
            if span.start < _PIECE and (not spans or spans[-1].end <= span.start + start):
                spans.append(replace(span, start=span.start + start, end=span.end + start))
    return spans


class InjectionClassifier(Detector):
    """Asks a self-hosted classifier, and adds what the heuristic finds."""

    def __init__(self, transport: Transport, url: str, *, timeout_ms: int, plain: bool = False) -> None:
        """``url`` is the declared destination; ``plain`` allows http beyond this machine."""
        self._transport = transport
        self._url = url
        self._permit = permit_declared(url, purpose="injection_classifier", plain=plain)
        self._timeout_ms = timeout_ms
        self._words = InjectionDetector()

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """The two kinds."""
        return injection.KINDS

    @property
    @override
    def name(self) -> str:
        """The heuristic's name and the classifier's."""
        return f"{injection.NAME}+classifier"

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Raises DetectorUnavailable."""
        found = await self._words.detect(texts, kinds)
        asked = [at for at, text in enumerate(texts) if text.context != FIXED_CONTEXT and text.text.strip()]
        wanted = kinds & injection.KINDS
        if not asked or not wanted:
            return found
        answers = await self._ask([texts[at].text[:MOST_TEXT] for at in asked])
        for at, spans in zip(asked, answers, strict=True):
            found[at] += [span for span in spans if span.kind in wanted]
        return found

    async def _ask(self, texts: list[str]) -> list[list[Span]]:
        outgoing = Outgoing(
            method="POST",
            url=self._url,
            headers={"content-type": "application/json"},
            body=orjson.dumps({"texts": texts}),
            connect_timeout_ms=self._timeout_ms,
            first_byte_timeout_ms=self._timeout_ms,
            max_bytes=MOST_REPLY,
        )
        try:
            async with (
                asyncio.timeout(self._timeout_ms / 1000),
                self._transport.request(outgoing, self._permit) as incoming,
            ):
                if incoming.status != 200:
                    raise DetectorUnavailable
                answer: object = orjson.loads(await incoming.read())
        except (TimeoutError, TransportFailed, UpstreamFailed, ValueError):
            raise DetectorUnavailable from None
        return read(answer, texts)


def read(answer: object, texts: Sequence[str]) -> list[list[Span]]:
    """Read a classifier's answer to some texts. Raises DetectorUnavailable unless it is whole and sane."""
    results = answer.get("results") if is_object(answer) else None
    if not is_array(results) or len(results) != len(texts):
        raise DetectorUnavailable
    return [_spans(result, text) for result, text in zip(results, texts, strict=True)]


def _spans(result: object, text: str) -> list[Span]:
    if not is_array(result):
        raise DetectorUnavailable
    spans: list[Span] = []
    for one in result:
        if not is_object(one):
            raise DetectorUnavailable
        kind, score = one.get("kind"), one.get("score")
        start, end = one.get("start", 0), one.get("end", len(text))
        if not (isinstance(score, int) and isinstance(start, int) and isinstance(end, int)):
            raise DetectorUnavailable
        if kind not in injection.KINDS or not 0 <= score <= 100 or not 0 <= start < end <= len(text):
            raise DetectorUnavailable
        if score >= _LEAST_SCORE:
            spans.append(Span(kind=str(kind), start=start, end=end, score=score, detector="classifier"))
    return spans
