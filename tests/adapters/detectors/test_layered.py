"""Layers: the expensive one is asked only for what the cheap one cannot find."""

from __future__ import annotations

import pytest

from gateway.adapters.detectors.layered import LayeredDetector, outside
from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.core.values import Span
from gateway.ports import DetectorUnavailable, Text


def layers():
    return ScriptedDetector({"a@b.ca": "email"}), ScriptedDetector(
        {"Jane": "person"}, extra=frozenset({"email"})
    )


async def test_each_kind_is_asked_of_one_layer():
    """Kinds of the first layer never reach the second; the finds come together."""
    cheap, dear = layers()
    both = LayeredDetector(cheap, dear)
    assert both.kinds == {"email", "person"}
    text = Text(text="Jane a@b.ca")
    (spans,) = await both.detect([text], frozenset({"email", "person"}))
    assert {span.kind for span in spans} == {"email", "person"}
    assert [kinds for _, kinds in dear.seen] == [frozenset({"person"})]


async def test_a_layer_that_is_not_needed_may_be_down():
    """Only a layer that must answer can make the whole unavailable."""
    cheap, dear = layers()
    dear.down = True
    both = LayeredDetector(cheap, dear)
    assert await both.detect([Text(text="a@b.ca")], frozenset({"email"})) != [[]]
    with pytest.raises(DetectorUnavailable):
        await both.detect([Text(text="a@b.ca")], frozenset({"email", "person"}))


def span(kind, start, end):
    return Span(kind=kind, start=start, end=end, score=80, detector="test")


def test_a_proven_identifier_is_cut_out_of_a_guessed_name():
    """`Guelph K7L 7R2` is a place and a postal code; what is left of a name keeps every letter."""
    text = "to Guelph K7L 7R2, Ann"
    assert outside([span("location", 3, 22)], [span("postal_code", 10, 17)], text) == [
        span("location", 3, 9),
        span("location", 19, 22),
    ]
    assert outside([span("person", 10, 17)], [span("postal_code", 10, 17)], text) == []
    assert outside([span("email", 3, 17)], [span("postal_code", 10, 17)], text) == [span("email", 3, 17)]


async def test_what_is_no_identifier_takes_no_name_away():
    """A sentence found to be an injection still holds its person."""
    cheap = ScriptedDetector({"ignore Jane": "prompt_injection"})
    both = LayeredDetector(cheap, ScriptedDetector({"Jane": "person"}))
    (spans,) = await both.detect([Text(text="ignore Jane")], both.kinds)
    assert {found.kind for found in spans} == {"prompt_injection", "person"}
