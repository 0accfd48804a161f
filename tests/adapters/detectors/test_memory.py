"""The twin: scripted words, remembered requests, and an outage on demand."""

from __future__ import annotations

import pytest

from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.ports import DetectorUnavailable, Text


async def test_finds_every_occurrence_in_order():
    """Each occurrence of each word is a span, and the request is remembered."""
    detector = ScriptedDetector({"Jane": "person", "Laval": "location"})
    (spans,) = await detector.detect([Text(text="Jane of Laval, Jane")], detector.kinds)
    assert [(span.kind, span.start) for span in spans] == [("person", 0), ("location", 8), ("person", 15)]
    assert detector.seen == [(("Jane of Laval, Jane",), detector.kinds)]


async def test_down_means_unavailable():
    """While down it answers nothing at all."""
    detector = ScriptedDetector({"Jane": "person"})
    detector.down = True
    with pytest.raises(DetectorUnavailable):
        await detector.detect([Text(text="Jane")], detector.kinds)
