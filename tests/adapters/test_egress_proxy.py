"""The allow-list proxy: CONNECT to what is listed, 403 to everything else, and nothing looked up."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from gateway.adapters.egress_proxy import EgressProxy
from gateway.adapters.memory_telemetry import MemoryTelemetry


@pytest.fixture
async def echo():
    """A destination that sends back what it gets; yields its authority."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
async def proxied(echo):
    """A proxy that lets through to the echo, a way to talk to it, and its telemetry."""
    telemetry = MemoryTelemetry()
    listed = {echo}
    proxy = EgressProxy(lambda: frozenset(listed), telemetry=telemetry)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    await proxy.serve(listening)

    async def say(head: bytes, more: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head + more)
            said = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            if said.startswith(b"HTTP/1.1 200") and more:
                said += await asyncio.wait_for(reader.readexactly(len(more)), 5)
            return said
        finally:
            writer.close()

    proxy.say, proxy.listed, proxy.telemetry = say, listed, telemetry
    yield proxy
    await proxy.close()


async def test_a_listed_origin_is_reached_and_bytes_go_both_ways(proxied, echo):
    """The tunnel carries what the child says, unread."""
    said = await proxied.say(f"CONNECT {echo} HTTP/1.1\r\nhost: {echo}\r\n\r\n".encode(), b"\x16\x03 hello")
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b"\x16\x03 hello")
    assert (proxied.opened, dict(proxied.refused)) == (1, {})


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT evil.example:443 HTTP/1.1",
        "CONNECT {host}:1 HTTP/1.1",
        "CONNECT localhost:{port} HTTP/1.1",  # another name of a listed address is not listed
        "CONNECT 127.0.0.1.evil.example:{port} HTTP/1.1",
        "CONNECT user@{host}:{port} HTTP/1.1",
        "CONNECT http://{host}:{port} HTTP/1.1",
        "CONNECT {host}:0{port} HTTP/1.1",
        "CONNECT 2130706433:{port} HTTP/1.1",
        "CONNECT {host} HTTP/1.1",
        "GET http://{host}:{port}/ HTTP/1.1",
        "POST http://{host}:{port}/ HTTP/1.1",
        "CONNECT  {host}:{port} HTTP/1.1",
        "connect {host}:{port} HTTP/1.1",
        "CONNECT {host}:{port} HTTP/2",
        "",
    ],
)
async def test_everything_else_is_refused_and_kept(proxied, echo, line):
    """Another host, port, spelling or method: 403, counted, and what was tried can be shown."""
    host, _, port = echo.partition(":")
    said = await proxied.say(line.format(host=host, port=port).encode() + b"\r\nhost: x\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 403")
    assert sum(proxied.refused.values()) == 1
    assert len(proxied.tried) == 1
    assert proxied.opened == 0
    assert proxied.telemetry.counted("egress_refused") == 1


async def test_a_reload_counts_at_the_next_try(proxied, echo):
    """What is struck off the list is refused from then on."""
    head = f"CONNECT {echo} HTTP/1.1\r\n\r\n".encode()
    assert (await proxied.say(head)).startswith(b"HTTP/1.1 200")
    proxied.listed.clear()
    assert (await proxied.say(head)).startswith(b"HTTP/1.1 403")


async def test_a_head_without_end_is_cut(proxied):
    """Nobody makes the proxy hold more than a few kilobytes of a request."""
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await proxied.say(b"CONNECT " + b"a" * 100_000)
    assert proxied.opened == 0
