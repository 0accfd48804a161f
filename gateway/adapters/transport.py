"""The transport: the only opener of outgoing sockets.

Every vendor call and every telemetry export leaves through :meth:`Transport.request`
with a :class:`~gateway.adapters.guard.Permit`. It follows no redirect, reads no proxy
variable, keeps no cookie, retries nothing, decompresses nothing, and sends only
headers of an allow-list. It says of every failure whether bytes may have left, since
the ledger must know. Leaving an exchange early closes its connection at once, so that
the vendor's work ends too.

aiohttp's pool and parser carry it (decisions 0006, 0008): its connections, its TLS, its reading of
replies. Its session is left out: what that adds per call (redirects, cookies, proxies, retries) is
what this module must not do, and costs more than sending.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any  # aiohttp's traces, of which there are none

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader
from multidict import CIMultiDictProxy
from typing_extensions import override
from yarl import URL

from gateway.adapters.guard import EgressRefused, Permit, check
from gateway.core.frozen import quick
from gateway.ports import Telemetry

ALLOWED_HEADERS = frozenset({
    "accept", "accept-encoding", "anthropic-beta", "anthropic-version", "api-key", "authorization",
    "content-encoding", "content-type", "idempotency-key", "openai-organization", "openai-project",
    "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp",
    "x-amz-content-sha256", "x-amz-date", "x-amz-security-token", "x-api-key",
    "x-goog-api-key",
})  # fmt: skip
"""Lower-case names of the headers that may leave."""

MAX_REPLY_BYTES = 64 * 1024 * 1024
_DRAIN_S = 0.1
_TLS_GOODBYE_S = 0.05
_HEADER_BYTES = 16 * 1024
_READ_BYTES = 64 * 1024
_ONE_WRITE = 64 * 1024  # up to here, head and body are put together and leave in one packet
_MOST_ORIGINS = 1_024


class Failure(StrEnum):
    """How an exchange fails."""

    CONNECT = "connect"  # no connection: nothing was sent
    TIMEOUT = "timeout"
    BROKEN = "broken"  # reset, or closed too early
    TOO_LARGE = "too_large"
    PROTOCOL = "protocol"  # not HTTP, or not what was agreed


class TransportFailed(Exception):
    """An exchange failed. ``sent`` says that bytes of the request may have left."""

    def __init__(self, failure: Failure, *, sent: bool) -> None:
        """Keep what happened; the text names no host."""
        super().__init__(failure.value)
        self.failure = failure
        self.sent = sent


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One request. ``url``, ``headers`` and ``body`` are never shown by ``repr``.

    Times in milliseconds: ``first_byte`` from the request's start to the reply's headers,
    ``idle`` between two parts of the reply.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    connect_timeout_ms: int = 5_000
    first_byte_timeout_ms: int = 60_000
    idle_timeout_ms: int = 60_000
    ca_bundle: str | None = None
    max_bytes: int = MAX_REPLY_BYTES


class Incoming:
    """The reply to one request: its status, its headers, and its bytes as they come."""

    __slots__ = ("_connection", "_content", "_left", "headers", "status")

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        status: int,
        headers: CIMultiDictProxy[str],
        content: StreamReader,
        max_bytes: int,
    ) -> None:
        """Take an open connection on which a reply begins; at most ``max_bytes`` of it are read."""
        self._connection: aiohttp.connector.Connection | None = connection
        self._content = content
        self._left = max_bytes
        self.status = status
        self.headers = headers
        content.on_eof(self._ended)

    def _ended(self) -> None:
        """Give the connection back: the reply is there to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # A vendor that answered before it took the whole request leaves the rest in our buffer,
            # where it would stand before the next request.
            if _unsent(connection.protocol):
                hang_up(connection)
            else:
                connection.release()

    def close(self) -> None:
        """End the exchange: hang up unless the reply was there to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            hang_up(connection)

    async def read(self, limit: int | None = None) -> bytes:
        """Return the whole rest. Raises TransportFailed; TOO_LARGE beyond ``limit`` bytes."""
        if limit is not None:
            self._left = min(self._left, limit)
        first = await self.chunk()
        second = await self.chunk() if first else b""
        if not second:
            return first
        parts = [first, second]
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    async def chunk(self) -> bytes:
        """Return the next bytes as they arrive, or nothing at the end. Raises TransportFailed."""
        try:
            data = await self._content.readany()
        except aiohttp.SocketTimeoutError:
            raise TransportFailed(Failure.TIMEOUT, sent=True) from None
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError):
            raise TransportFailed(Failure.BROKEN, sent=True) from None
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError):
            raise TransportFailed(Failure.PROTOCOL, sent=True) from None
        self._left -= len(data)
        if self._left < 0:
            raise TransportFailed(Failure.TOO_LARGE, sent=True)
        return data

    async def drain(self) -> None:
        """Let the end of a reply that has said all arrive, so that its connection is reused.

        Waits a tenth of a second at most: a vendor that says more is hung up on.
        """
        if self._content.at_eof():
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                while await self.chunk():
                    pass
        except (TimeoutError, TransportFailed):
            return


def _unsent(protocol: ResponseHandler | None) -> bool:
    transport = protocol.transport if protocol is not None else None
    return transport is not None and transport.get_write_buffer_size() > 0


def hang_up(connection: aiohttp.connector.Connection) -> None:
    """Close a connection now, whatever is still to be written on it."""
    protocol = connection.protocol
    if protocol is not None and _unsent(protocol):
        protocol.abort()
    connection.close()


class _Exchange:
    """The context of one exchange: entering sends, leaving ends it and the vendor's work."""

    __slots__ = ("_incoming", "_outgoing", "_permit", "_transport")

    def __init__(self, transport: Transport, outgoing: Outgoing, permit: Permit) -> None:
        self._transport = transport
        self._outgoing = outgoing
        self._permit = permit
        self._incoming: Incoming | None = None

    async def __aenter__(self) -> Incoming:
        self._incoming = incoming = await self._transport.send(self._outgoing, self._permit)
        return incoming

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closes the connection unless the reply was read to its end: then it is pooled already.
        if self._incoming is not None:
            self._incoming.close()


class _Connector(aiohttp.TCPConnector):
    """A pool that hands out no connection on which bytes are waiting.

    INVARIANT: a reply is never taken for the answer to a later request. aiohttp looks at a
    connection when it comes back to the pool, not when it goes out; a vendor that sends more
    than it declared would answer the next call, of whoever.
    """

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                return connection
            connection.close()


class Transport:
    """Pooled HTTPS to permitted origins. One per process; made once, closed once.

    ``user_agent`` is what vendors see. ``telemetry`` counts ``egress_refused``.
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry | None = None,
        user_agent: str = "borderpost",
        ca_bundle: str | None = None,
    ) -> None:
        """Make a transport. ``ca_bundle`` is a PEM file trusted instead of the system's authorities."""
        self._telemetry = telemetry
        self._defaults = {"user-agent": user_agent, "accept-encoding": "identity"}
        self._ca_bundle = ca_bundle
        self._connector: _Connector | None = None
        self._trust: dict[str | None, ssl.SSLContext] = {}
        self._doors: dict[tuple[str, str | None], aiohttp.ClientRequest] = {}
        self._timeouts: dict[int, aiohttp.ClientTimeout] = {}
        self.refused = 0

    def request(self, outgoing: Outgoing, permit: Permit) -> _Exchange:
        """Return the context of one exchange.

        Entering it sends. Raises EgressRefused (nothing was sent) and TransportFailed.
        """
        return _Exchange(self, outgoing, permit)

    async def send(self, outgoing: Outgoing, permit: Permit) -> Incoming:
        """Send and return the open reply; :meth:`request` is the way to call it."""
        try:
            url = check(permit, outgoing.url)
            if not outgoing.headers.keys() <= ALLOWED_HEADERS:
                raise EgressRefused("header")  # noqa: TRY301 (counted below like the others)
        except EgressRefused as refused:
            self.refused += 1
            if self._telemetry is not None:
                self._telemetry.count("egress_refused", reason=refused.reason, purpose=permit.purpose)
            raise
        head = self._head(outgoing, url)
        connection = await self._connect(outgoing, permit, url)
        try:
            return await self._exchange(connection, outgoing, head)
        except BaseException:
            hang_up(connection)
            raise

    async def _connect(self, outgoing: Outgoing, permit: Permit, url: URL) -> aiohttp.connector.Connection:
        """Return a connection to the permitted origin. Nothing is sent when this fails."""
        door = self._doors.get((permit.origin, outgoing.ca_bundle)) or self._door(outgoing, permit, url)
        connector = self._connector or self._open()
        try:
            return await connector.connect(door, [], self._timeout(outgoing.connect_timeout_ms))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            raise TransportFailed(Failure.CONNECT, sent=False) from None

    async def _exchange(
        self, connection: aiohttp.connector.Connection, outgoing: Outgoing, head: bytes
    ) -> Incoming:
        """Send on an open connection and wait for the reply's headers."""
        protocol = connection.protocol
        if protocol is None or protocol.transport is None:
            raise TransportFailed(Failure.CONNECT, sent=False)
        protocol.set_response_params(
            skip_payload=outgoing.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=outgoing.first_byte_timeout_ms / 1000,
            read_bufsize=_READ_BYTES,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )
        body = outgoing.body
        if len(body) <= _ONE_WRITE:
            protocol.transport.write(head + body)
        else:
            protocol.transport.writelines((head, body))
        protocol.start_timeout()
        try:
            message, content = await protocol.read()
            while message.code < 200 and message.code != 101:  # 100 Continue, 103 Early Hints
                message, content = await protocol.read()
        except aiohttp.ServerTimeoutError:
            raise TransportFailed(Failure.TIMEOUT, sent=True) from None
        except (aiohttp.ClientConnectionError, OSError):
            raise TransportFailed(Failure.BROKEN, sent=True) from None
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError):
            raise TransportFailed(Failure.PROTOCOL, sent=True) from None
        if outgoing.idle_timeout_ms != outgoing.first_byte_timeout_ms and not content.is_eof():
            protocol.read_timeout = outgoing.idle_timeout_ms / 1000
            protocol.start_timeout()
        return Incoming(connection, message.code, message.headers, content, outgoing.max_bytes)

    async def close(self) -> None:
        """Close every connection."""
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()
            if self._trust:
                await asyncio.sleep(_TLS_GOODBYE_S)  # TLS says goodbye on its own; let it

    def _head(self, outgoing: Outgoing, url: URL) -> bytes:
        """Return the request's line and headers. Raises TransportFailed for what is no header.

        INVARIANT: one line per header. A line break within a value would be a second header.
        """
        headers = {**self._defaults, **outgoing.headers}
        lines = [f"{outgoing.method} {url.raw_path_qs} HTTP/1.1", f"host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"content-length: {len(outgoing.body)}\r\n\r\n")
        try:
            head = "\r\n".join(lines).encode()
        except UnicodeEncodeError:
            raise TransportFailed(Failure.PROTOCOL, sent=False) from None
        breaks = len(lines) + 1
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
            raise TransportFailed(Failure.PROTOCOL, sent=False)
        return head

    def _open(self) -> _Connector:
        # Opened at the first request, since a pool belongs to a running loop. It has no limit:
        # admission, budgets and the vendors' own limits are the limits.
        self._connector = _Connector(limit=0, keepalive_timeout=30, ttl_dns_cache=10)
        return self._connector

    def _door(self, outgoing: Outgoing, permit: Permit, url: URL) -> aiohttp.ClientRequest:
        """Return what tells aiohttp's pool where to connect and whom to trust; never sent itself."""
        trust = self._trusted(outgoing.ca_bundle) if url.scheme == "https" else True
        door = aiohttp.ClientRequest("POST", url, loop=asyncio.get_running_loop(), ssl=trust)
        if len(self._doors) >= _MOST_ORIGINS:
            self._doors.clear()
        self._doors[permit.origin, outgoing.ca_bundle] = door
        return door

    def _timeout(self, connect_ms: int) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(connect_ms)
        if found is None:
            found = self._timeouts[connect_ms] = aiohttp.ClientTimeout(
                total=None, sock_connect=connect_ms / 1000
            )
        return found

    def _trusted(self, ca_bundle: str | None) -> ssl.SSLContext:
        """Return the context that trusts the declared authorities, or the system's if none are."""
        found = self._trust.get(ca_bundle)
        if found is None:
            declared = [bundle for bundle in (self._ca_bundle, ca_bundle) if bundle is not None]
            try:
                found = ssl.create_default_context(cafile=declared[0] if declared else None)
                for bundle in declared[1:]:
                    found.load_verify_locations(cafile=bundle)
            except (OSError, ssl.SSLError):  # the file is gone or is no certificate
                raise TransportFailed(Failure.CONNECT, sent=False) from None
            found.minimum_version = ssl.TLSVersion.TLSv1_2
            self._trust[ca_bundle] = found
        return found
