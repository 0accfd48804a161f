"""Server-sent events, decoded from bytes as they arrive.

Pure. A network may split a stream anywhere: inside a UTF-8 character, between CR
and LF, within a field name. Events come out whole, parsed, with the bytes they came
in, so that a reply that nobody alters is passed on byte for byte.

No library does this: the ones at hand decode text lines of their own HTTP client and
drop the bytes.
"""

from __future__ import annotations

import re

import orjson

from gateway.core.values import Event

LIMIT = 1024 * 1024
"""Bytes of one event beyond which a stream is garbled."""

_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_ENDS_IN_PART = 3  # bytes of a separator that may still wait for its last one


class GarbledStream(Exception):
    """The bytes are no stream of JSON events."""


class Decoder:
    """An incremental decoder: feed it bytes, get the events that are whole."""

    __slots__ = ("_buffer", "_carriage", "_limit", "_looked", "_started")

    def __init__(self, *, limit: int = LIMIT) -> None:
        """Start at the head of a stream. ``limit`` is in bytes per event."""
        self._buffer = bytearray()
        self._carriage = False  # a CR was seen: lines may end in CR or CRLF
        self._limit = limit
        self._looked = 0  # how far the buffer was searched
        self._started = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes. Raises GarbledStream."""
        if not self._started:
            return self._start(data)
        if not self._carriage and b"\r" in data:
            self._carriage = True
        if self._carriage:
            self._buffer += data
            return self._search()
        buffer = self._buffer
        if not buffer and data.endswith(b"\n\n"):
            if data.count(b"\n\n") == 1:  # the usual case: one packet is one event
                self._check(len(data))
                event = _parse(data)
                return [] if event is None else [event]
            return self._events(data[:-2])
        buffer += data
        at = buffer.rfind(b"\n\n", max(0, self._looked - 1))
        if at < 0:
            self._looked = len(buffer)
            self._check(len(buffer))
            return []
        whole = bytes(buffer[:at])
        del buffer[: at + 2]
        self._looked = len(buffer)
        self._check(len(buffer))
        return self._events(whole)

    def end(self) -> list[Event]:
        """Return the event that lacked only its blank line. Raises GarbledStream on a torso."""
        rest = bytes(self._buffer).strip(b"\r\n")
        self._buffer.clear()
        if not self._started or not rest:
            return []
        event = _parse(rest + b"\n\n")
        return [] if event is None else [event]

    def _start(self, data: bytes) -> list[Event]:
        """Skip the byte order mark, which may come in parts."""
        self._buffer += data
        head = bytes(self._buffer[:3])
        if len(head) < len(_BOM) and _BOM.startswith(head):
            return []
        self._started = True
        whole = bytes(self._buffer)
        self._buffer.clear()
        return self.feed(whole.removeprefix(_BOM))

    def _search(self) -> list[Event]:
        buffer = self._buffer
        events: list[Event] = []
        start = 0
        look = max(0, self._looked - _ENDS_IN_PART)
        while found := _END.search(buffer, look):
            self._check(found.end() - start)
            event = _parse(bytes(buffer[start : found.end()]))
            if event is not None:
                events.append(event)
            start = look = found.end()
        del buffer[:start]
        self._looked = len(buffer)
        self._check(len(buffer))
        return events

    def _events(self, whole: bytes) -> list[Event]:
        """Parse several events, the last of which lost its blank line."""
        events = []
        for block in whole.split(b"\n\n"):
            self._check(len(block))
            event = _parse(block + b"\n\n")
            if event is not None:
                events.append(event)
        return events

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise GarbledStream("an event is larger than the limit")


def _parse(raw: bytes) -> Event | None:
    """Parse one event, its blank line included; None for comments and empty blocks."""
    last = len(raw) - 2
    if raw.startswith(b"data: ") and raw.find(b"\n") == last:
        return _event(None, raw[6:last], raw)
    if raw.startswith(b"event: "):
        first = raw.find(b"\n")
        if raw.startswith(b"data: ", first + 1) and raw.find(b"\n", first + 1) == last:
            return _event(_name(raw[7:first]), raw[first + 7 : last], raw)
    return _parse_lines(raw)


def _parse_lines(raw: bytes) -> Event | None:
    """Parse an event of any shape. Its bytes are kept only if nothing but data and event is there."""
    name: str | None = None
    parts: list[bytes] = []
    plain = True
    for line in raw.splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            parts.append(value)
        elif field == b"event":
            name = _name(value)
        elif line:
            plain = False
    if not parts:
        return None
    return _event(name, b"\n".join(parts), raw if plain and b"\r" not in raw else None)


def _event(name: str | None, data: bytes, raw: bytes | None) -> Event:
    if data == b"[DONE]":
        return Event(name=name, data=None, raw=raw)
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise GarbledStream("an event is no json") from None
    if not isinstance(parsed, dict):
        raise GarbledStream("an event is no json object")
    return Event(name=name, data=parsed, raw=raw)


def _name(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise GarbledStream("an event's name is no utf-8") from None
