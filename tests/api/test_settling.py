"""The clock of held-back text: it shows what is safe, in order, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping

from gateway.api.settling import Settler
from gateway.core.values import Event

TICK = 0.005


def event(text: str) -> Event:
    """A chunk that carries a text."""
    return Event(name=None, data={"t": text})


class Stream:
    """A stream with words that settle one by one."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.asked = asyncio.Event()
        self.empty = asyncio.Event()

    def settle(self) -> list[Event]:
        """Give the next word."""
        self.asked.set()
        if not self.words:
            self.empty.set()
            return []
        return [event(self.words.pop(0))]


class Wire:
    """What was sent; ``gate`` makes the client slow."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message: MutableMapping[str, object]) -> None:
        """Wait for the client, then write, as a server with flow control may."""
        await self.gate.wait()
        body = message["body"]
        assert isinstance(body, bytes)
        self.sent.append(body)

    def text(self) -> str:
        """The texts in the order in which they arrived."""
        return b"".join(self.sent).decode().replace('data: {"t":"', "").replace('"}\n\n', "")


async def test_a_stalled_stream_shows_what_settled() -> None:
    """Nothing was sent for a moment: the word that waited arrives, and is kept for a retry too."""
    stream, wire, kept = Stream("a", "b"), Wire(), list[bytes]()
    settler = Settler(stream, wire.send, every_s=TICK, kept=kept)
    async with asyncio.timeout(5):
        await stream.empty.wait()
    await settler.write([event("c")])
    await settler.stop()
    assert wire.text() == "abc"
    assert kept == wire.sent


async def test_nothing_overtakes_a_part_that_a_slow_client_has_not_taken() -> None:
    """Neither the settled word the stream's part, nor the other way round."""
    stream, wire = Stream("never"), Wire()
    settler = Settler(stream, wire.send, every_s=TICK)
    wire.gate.clear()
    writing = asyncio.ensure_future(settler.write([event("1")]))
    await asyncio.sleep(6 * TICK)
    assert stream.words == ["never"], "not asked while a part is on its way"
    wire.gate.set()
    await writing
    async with asyncio.timeout(5):
        await stream.asked.wait()
    wire.gate.clear()
    later = asyncio.ensure_future(settler.write([event("2")]))
    await asyncio.sleep(2 * TICK)
    wire.gate.set()
    await later
    await settler.stop()
    assert wire.text() in {"1never2", "12"}
    assert wire.text().index("1") < wire.text().index("2")


async def test_a_stopped_clock_asks_no_more() -> None:
    """The stream is over."""
    stream, wire = Stream("x"), Wire()
    settler = Settler(stream, wire.send, every_s=TICK)
    await settler.stop()
    await asyncio.sleep(6 * TICK)
    assert wire.sent == []
