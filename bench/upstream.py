"""A model server that costs next to nothing, so that the gateway is what is measured.

Written by hand on httptools: it answers `/v1/chat/completions` with fixed bytes, plain or
as a stream of `chunks` events, paced by `pause_ms` between writes of `burst` events.

    python bench/upstream.py --port 9100 --chunks 1000
"""

from __future__ import annotations

import argparse
import asyncio

import httptools
import orjson
import uvloop

REPLY = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "bench-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "All is well in the north today."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 8, "total_tokens": 48},
}


def _event(data: object) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _chunk(delta: dict[str, object], finish: str | None) -> dict[str, object]:
    return {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "bench-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


class Upstream(asyncio.Protocol):
    """One connection of the gateway."""

    def __init__(self, plain: bytes, events: list[bytes], burst: int, pause_s: float) -> None:
        self.plain = plain
        self.events = events
        self.burst = burst
        self.pause_s = pause_s
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""
        self.writable = asyncio.Event()
        self.writable.set()
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _exc):
        for task in self.tasks:
            task.cancel()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_begin(self):
        self.body = b""

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        if b'"stream":true' in self.body or b'"stream": true' in self.body:
            task = asyncio.ensure_future(self.stream())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.transport.write(self.plain)

    async def stream(self):
        write = self.transport.write
        write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(self.events), self.burst):
            await self.writable.wait()
            for event in self.events[start : start + self.burst]:
                write(b"%x\r\n%b\r\n" % (len(event), event))
            # One turn of the loop at least, so that each burst is a write of its own.
            await asyncio.sleep(self.pause_s)
        write(b"0\r\n\r\n")


async def serve(port: int, chunks: int, burst: int, pause_ms: float) -> None:
    """Serve for ever."""
    body = orjson.dumps(REPLY)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    events = [_event(_chunk({"role": "assistant", "content": ""}, None))]
    events += [_event(_chunk({"content": f" word{number}"}, None)) for number in range(chunks - 2)]
    events.append(_event(_chunk({}, "stop")))
    usage = _chunk({}, None) | {"choices": [], "usage": REPLY["usage"]}
    events += [_event(usage), b"data: [DONE]\n\n"]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Upstream(head + body, events, burst, pause_ms / 1000), "127.0.0.1", port
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--pause-ms", type=float, default=0)
    args = parser.parse_args()
    uvloop.run(serve(args.port, args.chunks, args.burst, args.pause_ms))
