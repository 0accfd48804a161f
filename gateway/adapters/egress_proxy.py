"""The only way out of a confined child: CONNECT to a declared origin, and nothing else.

Owns the allow-list proxy that plug-ins and foreign libraries with a network stack of their own
are given. It looks no name up that is not on the list, speaks no plain HTTP, and keeps what was
tried: a refused try is counted and shown by name to whoever holds the proxy, never logged,
since the host's name may carry content.

It forwards bytes that it cannot read: the child speaks TLS with the destination itself. So it is
for children only; our own calls go through ``transport.py``, which sees what it sends. Written on
asyncio streams: the proxies that packages offer do far more than this (plain HTTP, upstream
chains, plug-ins), and each of those would be a way out.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter, deque
from collections.abc import Callable, Coroutine

from gateway.ports import Telemetry

_MOST_HEAD = 8 * 1024
_HEAD_S = 5.0
_DIAL_S = 5.0
_IDLE_S = 120.0
_CHUNK = 64 * 1024
_CONNECT = re.compile(rb"CONNECT ([\x21-\x7e]{1,300}) HTTP/1\.[01]\r\n")
_WHO = 64


class EgressProxy:
    """Serves confined children. ``allowed`` is asked at each try, so a reload counts at once.

    ``tried`` holds the latest authorities that were refused, newest last; ``refused`` counts
    refusals and ``opened`` tunnels.
    """

    def __init__(
        self,
        allowed: Callable[[], frozenset[str]],
        *,
        telemetry: Telemetry | None = None,
        most_tunnels: int = 64,
    ) -> None:
        """``allowed`` returns authorities, ``host:port`` in lower case."""
        self._allowed = allowed
        self._telemetry = telemetry
        self._most = most_tunnels
        self._servers: list[asyncio.Server] = []
        self._tunnels: set[asyncio.Task[None]] = set()
        self.tried: deque[str] = deque(maxlen=_WHO)
        self.refused: Counter[str] = Counter()
        self.opened = 0

    async def serve(self, listening: socket.socket) -> None:
        """Accept on a listening socket: a child's own, received from its namespace."""
        listening.setblocking(False)
        self._servers.append(await asyncio.start_server(self._accepted, sock=listening, limit=_MOST_HEAD))

    async def close(self) -> None:
        """Stop accepting and cut every tunnel."""
        for server in self._servers:
            server.close()
        for task in tuple(self._tunnels):
            task.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)
        self._servers.clear()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tunnels.add(task)
            task.add_done_callback(self._tunnels.discard)
        try:
            await self._one(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the child or the destination went away: their matter
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        asked = _CONNECT.match(head)
        if asked is None:
            await self._refuse(writer, "no_connect", head.split(b"\r\n", 1)[0].decode("latin-1")[:300])
            return
        authority = asked[1].decode("ascii").lower()
        # INVARIANT: compared as a whole with the list; nothing is resolved, unescaped or normalised first.
        if authority not in self._allowed():
            await self._refuse(writer, "not_listed", authority)
            return
        if len(self._tunnels) > self._most:
            await self._refuse(writer, "too_many", authority)
            return
        host, _, port = authority.rpartition(":")
        async with asyncio.timeout(_DIAL_S):
            there, back = await asyncio.open_connection(host.strip("[]"), int(port))
        self.opened += 1
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            await _both(_pump(reader, back), _pump(there, writer))
        finally:
            back.close()

    async def _refuse(self, writer: asyncio.StreamWriter, why: str, what: str) -> None:
        self.refused[why] += 1
        self.tried.append(what)
        if self._telemetry is not None:
            self._telemetry.count("egress_refused", reason=why, purpose="child")
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()


async def _both(*ways: Coroutine[None, None, None]) -> None:
    """Run both directions until one of them ends."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(_IDLE_S):
            data = await reader.read(_CHUNK)
        if not data:
            return
        writer.write(data)
        await writer.drain()
