"""A wire between the gateway and its database that a test can cut, silence and heal."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Self

from sqlalchemy.engine import make_url

from tests.acceptance.running import free_port


class Wire:
    """Forwards one port of loopback to a database.

    ``cut`` resets every connection and refuses new ones, as a server that was stopped does.
    ``silence`` keeps them open and forwards nothing, as a server that hangs does. ``heal`` ends
    both; what was held back in silence goes on its way then.
    """

    def __init__(self, url: str) -> None:
        """Lead to the database of a SQLAlchemy URL."""
        self._target = make_url(url)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """The database's URL over this wire."""
        through = self._target.set(host="127.0.0.1", port=self.port)
        return through.render_as_string(hide_password=False)

    def __enter__(self) -> Self:
        """Start, healed."""
        self._thread.start()
        self.heal()
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection and end."""
        self.cut()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset what is open and refuse what comes."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def silence(self) -> None:
        """Forward nothing any more, and say nothing about it."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """Forward again."""
        asyncio.run_coroutine_threadsafe(self._heal(), self._loop).result(10)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _heal(self) -> None:
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(self._target.host, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            ways = (self._forward(reader, back), self._forward(there, writer))
            await asyncio.wait([asyncio.ensure_future(w) for w in ways], return_when="FIRST_COMPLETED")
        finally:
            for each in (writer, back):
                self._writers.discard(each)
                each.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
