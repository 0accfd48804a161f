"""Frames: a length and JSON, whatever characters a text holds."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.detectors.frames import frame


@given(st.lists(st.text(st.characters(), max_size=20), max_size=5))
def test_positions_survive(texts):
    """A text arrives with as many code points as it had, lone surrogates as one character each."""
    raw = frame({"texts": [[text, None] for text in texts]})
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
    arrived = orjson.loads(raw[4:])["texts"]
    assert [len(text) for text, _ in arrived] == [len(text) for text in texts]
