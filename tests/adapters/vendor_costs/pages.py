"""A vendor's cost API on loopback: scripted replies, everything asked recorded. Real sockets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class CostApi:
    """``replies``: (status, headers, body) one after the other; the last one stays."""

    replies: list[tuple[int, dict[str, str], bytes]]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *rest = head.decode().split("\r\n")
                headers = dict(line.split(": ", 1) for line in rest if line)
                self.asked.append((first.split(" ")[1], {k.lower(): v for k, v in headers.items()}))
                status, more, body = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                lines = [
                    f"HTTP/1.1 {status} X",
                    f"content-length: {len(body)}",
                    "content-type: application/json",
                ]
                lines += [f"{name}: {value}" for name, value in more.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def cost_api(*replies):
    """Serve replies; yield the API."""
    api = CostApi(list(replies))
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield api
    finally:
        server.close()
