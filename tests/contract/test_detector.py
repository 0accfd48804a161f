"""The contract of the Detector port, run on the twin and on every real adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.detectors.inline import InlineDetector
from gateway.adapters.detectors.layered import LayeredDetector
from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.adapters.detectors.presidio import PresidioPool
from gateway.core.values import Span
from gateway.ports import Detector, Text

EMAIL = "jane.doe" + "@" + "example.com"
PHONE = "514-555-" + "0199"
WANTED = frozenset({"email"})


@pytest.fixture(scope="module", params=["scripted", "inline", "layered", "presidio"])
def kind_of_detector(request) -> str:
    return request.param


@pytest.fixture
async def detector(kind_of_detector) -> AsyncIterator[Detector]:
    words = {EMAIL: "email", PHONE: "phone"}
    if kind_of_detector == "presidio":
        pool = PresidioPool(frozenset({"email", "phone", "person"}), timeout_ms=60_000)
        await pool.start()
        yield pool
        await pool.close()
    else:
        made: dict[str, Detector] = {
            "scripted": ScriptedDetector(words),
            "inline": InlineDetector(),
            "layered": LayeredDetector(InlineDetector(), ScriptedDetector({"Jane": "person"})),
        }
        yield made[kind_of_detector]


def values(text: str, spans: list[Span]) -> set[tuple[str, str]]:
    return {(span.kind, text[span.start : span.end]) for span in spans}


async def test_the_promises(detector):
    """One start serves all promises, since a real model takes seconds to load.

    Spans come per text and in its order; positions are code points of the text as given
    (emoji, combining marks and lone surrogates included); only wanted kinds are reported;
    nothing wanted or nothing given costs nothing; concurrent requests do not mix.
    """
    assert detector.name
    assert detector.kinds >= WANTED
    texts = [f"write to {EMAIL} now", "nothing here", f"é😀\u0301 {EMAIL}", "", f"\ud800 {EMAIL}"]
    found = await detector.detect([Text(text=text) for text in texts], WANTED)
    assert [values(text, spans) for text, spans in zip(texts, found, strict=True)] == [
        {("email", EMAIL)},
        set(),
        {("email", EMAIL)},
        set(),
        {("email", EMAIL)},
    ]
    for spans in found:
        assert all(isinstance(span, Span) and 0 < span.score <= 100 and span.detector for span in spans)

    both = Text(text=f"{EMAIL} or call {PHONE}")
    assert {span.kind for span in (await detector.detect([both], frozenset({"phone"})))[0]} == {"phone"}
    assert {s.kind for s in (await detector.detect([both], frozenset({"phone", "email"})))[0]} == {
        "phone",
        "email",
    }

    assert await detector.detect([], WANTED) == []
    assert await detector.detect([both], frozenset()) == [[]]
    assert await detector.detect([both, both], frozenset({"no_such_kind"})) == [[], []]

    many = [f"number {n} is {'x' * n}{EMAIL}" for n in range(12)]
    answers = await asyncio.gather(*(detector.detect([Text(text=text)], WANTED) for text in many))
    for text, (spans,) in zip(many, answers, strict=True):
        assert len(spans) >= 1
        assert all(text[span.start : span.end].endswith(EMAIL) for span in spans)
