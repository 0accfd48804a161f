"""Server-sent events, written: an event whose bytes nothing changed goes out as it came."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from gateway.core.values import Event

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def encode(events: Iterable[Event]) -> bytes:
    """Return the bytes of events, in order."""
    return b"".join([event.raw or encoded(event) for event in events])


def encoded(event: Event) -> bytes:
    """Return one event's bytes from its data."""
    if event.data is None:
        return DONE
    data = b"data: " + orjson.dumps(event.data) + b"\n\n"
    return data if event.name is None else b"event: " + event.name.encode("utf-8") + b"\n" + data
