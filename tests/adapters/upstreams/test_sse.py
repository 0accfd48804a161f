"""The event decoder: whole events out of bytes that were split anywhere."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.upstreams.sse import Decoder, GarbledStream
from gateway.core.values import Event

STREAM = (
    'data: {"a":"é€😀"}\n\n'
    ": a comment\n\n"
    'event: message_start\ndata: {"type":"message_start"}\n\n'
    'data:{"tight":1}\n\n'
    'id: 7\nretry: 10\ndata: {"b":\ndata: 2}\n\n'
    "event: ping\n\n"
    "data: [DONE]\n\n"
).encode()
EXPECTED = [
    (None, {"a": "é€😀"}),
    ("message_start", {"type": "message_start"}),
    (None, {"tight": 1}),
    (None, {"b": 2}),
    (None, None),
]


def decode(parts: list[bytes]) -> list[Event]:
    decoder = Decoder()
    events = [event for part in parts for event in decoder.feed(part)]
    return events + decoder.end()


def shown(events: list[Event]) -> list[tuple[str | None, object]]:
    return [(event.name, event.data) for event in events]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


@given(
    st.lists(st.integers(0, 10_000), max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.booleans(),
)
def test_any_split_gives_the_same_events(places, line_end, with_bom):
    """Inside a character, a line end, the byte order mark: it does not matter where."""
    data = (b"\xef\xbb\xbf" if with_bom else b"") + STREAM.replace(b"\n", line_end)
    assert shown(decode(cut(data, places))) == EXPECTED


def test_every_byte_alone():
    """The slowest of drips."""
    assert shown(decode([bytes([byte]) for byte in STREAM])) == EXPECTED


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers(-9, 9)), max_size=8), st.data())
def test_raw_is_what_came(objects, data):
    """The bytes of unaltered events, put together, are the bytes received."""
    sent = b"".join(b"data: " + orjson.dumps(o) + b"\n\n" for o in objects)
    places = data.draw(st.lists(st.integers(0, len(sent) or 1), max_size=9))
    events = decode(cut(sent, places))
    assert [event.data for event in events] == objects
    assert b"".join(event.raw or b"" for event in events) == sent


def test_what_is_more_than_data_loses_its_bytes():
    """Comments, ids and retry times of a vendor are not passed on unseen."""
    (event,) = decode([b": spy\nid: 1\ndata: {}\n\n"])
    assert event.raw is None


def test_last_event_without_its_blank_line():
    """Some servers close right after the last line."""
    assert shown(decode([b'data: {"a":1}\n\ndata: [DONE]'])) == [(None, {"a": 1}), (None, None)]


@pytest.mark.parametrize(
    "data",
    [
        b"data: {not json}\n\n",
        b"data: [1, 2]\n\n",
        b'data: {"a":"\xff"}\n\n',
        b'data: {"torn": ',
        b"event: \xff\xfe\ndata: {}\n\n",
        b"data: <html>\n\n",
    ],
)
def test_garbage_is_garbled(data):
    """What is no JSON object in UTF-8 is refused, not guessed at."""
    with pytest.raises(GarbledStream):
        decode([data])


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_an_event_has_a_limit(size):
    """A line without end does not fill the memory."""
    decoder = Decoder(limit=5_000)

    def feed() -> None:
        for _ in range(6_000):
            decoder.feed(b"x" * size)

    with pytest.raises(GarbledStream):
        feed()


def test_a_whole_event_over_the_limit_is_refused_too():
    """The limit holds however the bytes arrive."""
    data = b'data: {"a":"' + b"x" * 6_000 + b'"}\n\n'

    def feed(parts: list[bytes]) -> None:
        decoder = Decoder(limit=5_000)
        for part in parts:
            decoder.feed(part)

    for line_end in (b"\n", b"\r\n"):
        for parts in ([data], [data[:100], data[100:]], [b"data: {}\n\n" + data]):
            with pytest.raises(GarbledStream):
                feed([part.replace(b"\n", line_end) for part in parts])
