"""HTTP/1.1 towards clients: uvicorn's httptools protocol, made strict and bounded.

uvicorn parses and frames; what is added here is what a gateway that faces strangers
needs and a development server does not:

* malformed or ambiguous requests (both lengths, bad chunks, folded headers, no or two
  ``Host``, upgrades) get a JSON 400 and the connection ends, since what follows on it
  cannot be trusted; never in the middle of an earlier, still running reply,
* every phase of a connection has a deadline, and a reader that takes nothing is cut off,
* ``X-Forwarded-*`` is believed only from declared proxies,
* trailers never become headers.

Deadlines are looked at by one sweep a second over all connections instead of timers,
so that a call costs no timer at all.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import logging
import sys
import termios
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import httptools
import orjson
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.api.cycle import Cycle, answer
from gateway.api.errors import error_body
from gateway.core.errors import Code, Refusal
from gateway.core.values import Surface

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

    from gateway.settings import Network, Settings

log = logging.getLogger("gateway.http")

# Seconds in which the rest of a body is read and thrown away after an early answer, so
# that the client gets to read that answer; and to flush a connection that is closing.
_LINGER_S = 5.0

GONE = "borderpost.gone"
"""The ASGI extension ``scope["extensions"]["borderpost.gone"](callback)``: calls back once if the
client goes away before the reply is complete. Cheaper than a task that waits on ``receive``."""

# The phases of a connection; each but _BUSY has a deadline.
_IDLE, _HEAD, _BODY, _BUSY, _DISCARD, _CLOSING = range(6)

# These answer even when the worker is full, so that an orchestrator does not kill it for being busy.
_ALWAYS = frozenset({"/healthz", "/readyz"})


class Config(uvicorn.Config):
    """uvicorn's configuration, which carries our settings to every connection."""

    settings: Settings


class State(ServerState):
    """What the connections of one worker share; ``now`` is a clock of a tenth of a second."""

    def __init__(self) -> None:
        """Start with the clock at zero; the server's tick moves it."""
        super().__init__()
        self.now = 0.0
        self.draining = False
        self.date = b""


def _malformed(why: str) -> Refusal:
    return Refusal(code=Code.INVALID_REQUEST, message=f"Not a valid HTTP/1.1 request: {why}.")


_FULL = Refusal(
    code=Code.SHUTTING_DOWN, message="This node has no room for another call. Retry.", retry_after=1
)


async def _overloaded(scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    path = str(cast("dict[str, object]", scope).get("path", ""))
    surface = Surface.MESSAGES if path.startswith("/v1/messages") else None
    body = orjson.dumps(error_body(_FULL, surface, ""))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"1"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@lru_cache(maxsize=4096)
def _trusted(host: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks if network.version == address.version)


class Protocol(HttpToolsProtocol):
    """One client connection."""

    config: Config  # type: ignore[mutable-override]  # set once, by us
    server_state: State  # type: ignore[mutable-override]  # set once, by us
    cycle: Cycle  # type: ignore[mutable-override]  # set once, by us

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Make the protocol of one connection, as uvicorn's server calls it."""
        super().__init__(config, server_state, app_state, _loop)
        self.limits = config.settings.limits
        self.active: Cycle | None = None  # the cycle that runs; `cycle` is the one last parsed
        self.phase = _HEAD
        self.since = server_state.now
        self.head_bytes = 0
        self.in_head = True
        self.refused = False  # nothing more is read from this connection
        self.farewell: Refusal | None = None  # said after the running reply
        self.stalled: tuple[float, int] | None = None  # since when, and what waited then
        self.proxied = False

    # ----------------------------------------------------------- the connection

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self.since = self.server_state.now
        if len(self.connections) > self.limits.max_connections:
            self._refuse(_FULL)
        networks = self.config.settings.trusted_proxies
        self.proxied = bool(networks) and self.client is not None and _trusted(self.client[0], networks)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.active is not None:
            self.active.leave()
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        self.pipeline.clear()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if self.phase == _IDLE:
            self.phase = _HEAD
            self.since = self.server_state.now
        if self.in_head:
            self.head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            why = str(reason) if isinstance(reason, _Malformed) else "its head cannot be read"
            self._reject(_malformed(why))
            return
        except httptools.HttpParserError as error:
            self._reject(_malformed(str(error).lower()))
            return
        if self.in_head and self.head_bytes > self.limits.max_header_bytes:
            self._reject(_malformed(f"its head is over {self.limits.max_header_bytes} bytes"))

    def _reject(self, refusal: Refusal) -> None:
        """Refuse what was just parsed, but let a reply that runs for an earlier request finish."""
        active = self.active
        if active is None or active.response_complete:
            self._refuse(refusal)
        elif active is self.cycle and active.more_body and not active.response_started:
            self._refuse(refusal)  # the running request's own body is what is broken
        else:
            self.refused = True
            self.farewell = refusal
            self.pipeline.clear()
            if active.more_body:  # its reply has begun, and its body will never be whole
                active.keep_alive = False

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in place of the app and end the connection."""
        self.refused = True
        path = ""
        if self.active is not None:
            path = str(self.active.scope.get("path", ""))
            self.active.leave()
        if not self.transport.is_closing():
            self.transport.write(answer(refusal, path))
            self.transport.close()
        self._to(_CLOSING)

    def _to(self, phase: int) -> None:
        self.phase = phase
        self.since = self.server_state.now

    # ------------------------------------------------------------------ parsing

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.in_head = True

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer: read, and never taken for a header
        name = name.lower()
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise _Malformed("`transfer-encoding` may only be `chunked`")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    @override
    def on_headers_complete(self) -> None:
        self.in_head = False
        parser = self.parser
        if self.head_bytes > self.limits.max_header_bytes:
            # Much arrived at once: was it the head that was big, or the body behind it?
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.limits.max_header_bytes:
                raise _Malformed(f"its head is over {self.limits.max_header_bytes} bytes")
        self.head_bytes = 0
        version = parser.get_http_version()
        scope = self.scope
        scope["method"] = parser.get_method().decode("ascii")
        if parser.should_upgrade():
            # httptools would take the body for another protocol's bytes, so it cannot just be ignored.
            raise _Malformed("upgrades are not served; send HTTP/1.1 without `upgrade`")
        self._check_head(version)
        url = self.url
        if url[:1] == b"/" and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        if self.proxied:
            self._believe_proxy()
        state = self.server_state
        app = self.app
        if len(self.tasks) >= self.limits.max_concurrent and path not in _ALWAYS:
            app = _overloaded
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version == "1.1" and not state.draining and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {GONE: cycle.register_gone}  # type: ignore[dict-item]  # ours
        if self.active is None or self.active.response_complete:
            self._start(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def _check_head(self, version: str) -> None:
        hosts = 0
        for name, _ in self.headers:
            if name == b"host":
                hosts += 1
        if version == "1.1":
            if hosts != 1:
                raise _Malformed("it must name one `host`")
        elif version != "1.0" or hosts > 1:
            raise _Malformed("only HTTP/1.1 and HTTP/1.0 are served")
        else:
            self.scope["http_version"] = version

    def _believe_proxy(self) -> None:
        """Take client and scheme from the declared proxy: the last hop that is no proxy of ours."""
        networks = self.config.settings.trusted_proxies
        hops: list[str] = []
        for name, value in self.headers:
            if name == b"x-forwarded-for":
                hops += [hop.strip() for hop in value.decode("latin-1").split(",")]
            elif name == b"x-forwarded-proto" and value in {b"http", b"https"}:
                self.scope["scheme"] = value.decode("ascii")
        for hop in reversed(hops):
            if not _trusted(hop, networks):
                self.scope["client"] = (hop, 0)
                return

    def _start(self, cycle: Cycle, app: ASGI3Application) -> None:
        self.active = cycle
        self._to(_BODY if cycle.more_body else _BUSY)
        self._start_asgi_task(cycle, app)

    @override
    def on_message_complete(self) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            cycle.more_body = False
            self._to(_IDLE)
            return
        super().on_message_complete()
        if cycle is self.active:
            self.phase = _BUSY

    @override
    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._to(_CLOSING)
            return
        if self.farewell is not None:
            self._refuse(self.farewell)
            return
        done = self.active
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start(cast("Cycle", cycle), app)
        else:
            self._to(_DISCARD if done is not None and done.more_body else _IDLE)

    # ---------------------------------------------------------------- deadlines

    @override
    def shutdown(self) -> None:
        """End the connection now if it is idle, else after the reply that runs."""
        if self.active is None or self.active.response_complete:
            self.transport.close()
            self._to(_CLOSING)
        else:
            self.active.keep_alive = False

    def sweep(self) -> None:
        """Enforce the deadlines; called about once a second."""
        now = self.server_state.now
        waited = now - self.since
        limits = self.limits
        if self._reader_stalled(now):
            log.info("stalled reader cut off")
            self.transport.abort()
        elif self.phase == _HEAD and waited > limits.header_timeout_s:
            if self.head_bytes:
                self._refuse(_late("head", limits.header_timeout_s))
            else:
                self.transport.close()
                self._to(_CLOSING)
        elif self.phase == _BODY and waited > limits.body_timeout_s:
            if self.active is not None and self.active.response_started:
                self.transport.abort()
            else:
                self._refuse(_late("body", limits.body_timeout_s))
        elif waited > {_IDLE: limits.idle_timeout_s, _DISCARD: _LINGER_S}.get(self.phase, waited):
            self.transport.close()
            self._to(_CLOSING)
        elif self.phase == _CLOSING and waited > limits.write_timeout_s:
            self.transport.abort()

    def _reader_stalled(self, now: float) -> bool:
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self.stalled = None
            return False
        waiting += _in_kernel(self.transport)
        if self.stalled is None or waiting != self.stalled[1]:
            self.stalled = (now, waiting)
            return False
        return now - self.stalled[0] > self.limits.write_timeout_s


def _in_kernel(transport: asyncio.Transport) -> int:
    """Return the bytes that the kernel holds for the client, 0 if it does not say.

    Our own buffer moves only once the kernel's, of megabytes, has room; a slow reader would
    look like one that takes nothing.
    """
    sock = transport.get_extra_info("socket")
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)
    except OSError:
        return 0


class _Malformed(Exception):
    """Why a head is refused; raised inside a parser callback."""


def _late(part: str, seconds: int) -> Refusal:
    return Refusal(code=Code.REQUEST_TIMEOUT, message=f"The {part} did not arrive within {seconds} s.")
