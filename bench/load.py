"""A load generator on httptools and uvloop: fixed connections, each one call after another.

Prints one JSON object: calls, failures, calls per second, latencies in milliseconds, and
for streams the events seen and the time to the first one.

    python bench/load.py --url http://127.0.0.1:8080/v1/chat/completions --key bp_…
"""

from __future__ import annotations

import argparse
import asyncio
import time
from urllib.parse import urlsplit

import httptools
import orjson
import uvloop


def request(url: str, key: str, model: str, size: int, *, stream: bool, text: str | None) -> bytes:
    """Return one whole request whose body has about `size` bytes."""
    parts = urlsplit(url)
    body = {"model": model, "messages": [{"role": "user", "content": ""}], "max_tokens": 64}
    if stream:
        body |= {"stream": True, "max_tokens": 4096}
    filler = text or "Please sum up what the branch wrote about opening hours this week. "
    room = max(1, size - len(orjson.dumps(body)))
    body["messages"][0]["content"] = (filler * (room // len(filler) + 1))[:room]
    raw = orjson.dumps(body)
    return (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\naccept: */*\r\nuser-agent: bench\r\n"
        f"content-length: {len(raw)}\r\n\r\n"
    ).encode() + raw


class Stats:
    """What all connections saw together."""

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0
        self.events = 0
        self.latencies: list[float] = []
        self.first: list[float] = []
        self.statuses: dict[int, int] = {}


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, raw: bytes, stats: Stats, deadline: float, most: int, *, interval_s: float) -> None:
        self.raw = raw
        self.stats = stats
        self.deadline = deadline
        self.most = most
        self.interval_s = interval_s
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.fire()

    def fire(self):
        self.parser = httptools.HttpResponseParser(self)
        self.began = time.perf_counter()
        self.seen_first = False
        self.transport.write(self.raw)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_body(self, body):
        if not self.seen_first:
            self.seen_first = True
            self.stats.first.append(time.perf_counter() - self.began)
        self.stats.events += body.count(b"\n\n")

    def on_message_complete(self):
        now = time.perf_counter()
        stats = self.stats
        stats.calls += 1
        status = self.parser.get_status_code()
        stats.statuses[status] = stats.statuses.get(status, 0) + 1
        if status != 200:
            stats.failed += 1
        stats.latencies.append(now - self.began)
        if now >= self.deadline or (self.most and stats.calls >= self.most):
            self.transport.close()
        elif self.interval_s:
            wait = max(0.0, self.interval_s - (now - self.began))
            asyncio.get_running_loop().call_later(wait, self.fire)
        else:
            # Not within the parser's callback: it still reads this reply.
            asyncio.get_running_loop().call_soon(self.fire)

    def connection_lost(self, exc):
        if not self.done.done():
            self.done.set_result(None)
        if exc is not None:
            self.stats.failed += 1


def _at(sorted_values: list[float], share: float) -> float | None:
    if not sorted_values:
        return None
    return round(sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] * 1000, 3)


async def load(args: argparse.Namespace) -> dict[str, object]:
    """Run the load and return what was seen."""
    parts = urlsplit(args.url)
    raw = request(args.url, args.key, args.model, args.bytes, stream=args.stream, text=args.text)
    stats = Stats()
    began = time.perf_counter()
    deadline = began + args.seconds
    interval_s = args.connections / args.rate if args.rate else 0.0
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(args.connections):
        _, client = await loop.create_connection(
            lambda: Client(raw, stats, deadline, args.calls, interval_s=interval_s),
            parts.hostname,
            parts.port,
        )
        clients.append(client)
    await asyncio.wait([client.done for client in clients], timeout=args.seconds + 60)
    took = time.perf_counter() - began
    latencies, first = sorted(stats.latencies), sorted(stats.first)
    return {
        "calls": stats.calls,
        "failed": stats.failed,
        "statuses": {str(status): times for status, times in sorted(stats.statuses.items())},
        "seconds": round(took, 3),
        "per_second": round(stats.calls / took, 1),
        "events": stats.events,
        "p50_ms": _at(latencies, 0.50),
        "p99_ms": _at(latencies, 0.99),
        "first_p50_ms": _at(first, 0.50),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", default="none")
    parser.add_argument("--model", default="chat")
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument(
        "--calls", type=int, default=0, help="stop after so many calls, before the time is over"
    )
    parser.add_argument("--rate", type=float, default=0, help="calls per second over all connections")
    parser.add_argument("--text", help="what the prompt repeats")
    parser.add_argument("--stream", action="store_true")
    print(orjson.dumps(uvloop.run(load(parser.parse_args()))).decode())
