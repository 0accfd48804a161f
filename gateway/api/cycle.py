"""One request and its reply on a client connection: ASGI in, HTTP/1.1 bytes out.

uvicorn's cycle, with its sending rewritten: head and body of a plain reply leave in one
write, a header that holds a line break is refused as one whole (it would be a second
header), and whatever the app does, the client gets a whole answer or a closed connection,
never a traceback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from gateway.api.errors import error_body, status_of
from gateway.core.errors import Code, Refusal
from gateway.core.values import Surface

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent

log = logging.getLogger("gateway.http")

_CUT = Refusal(code=Code.SHUTTING_DOWN, message="This node shut down. Retry.", retry_after=1)
_FAILED = Refusal(code=Code.INTERNAL, message="The gateway failed on this call.")


def answer(refusal: Refusal, path: str = "") -> bytes:
    """Return a whole HTTP answer for a request that never reaches the app. Ends the connection."""
    surface = Surface.MESSAGES if path.startswith("/v1/messages") else None
    body = orjson.dumps(error_body(refusal, surface, ""))
    head = [
        STATUS_LINE[status_of(refusal)],
        b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body),
    ]
    if refusal.retry_after is not None:
        head.append(b"retry-after: %d\r\n" % refusal.retry_after)
    return b"".join([*head, b"\r\n", body])


class Cycle(RequestResponseCycle):
    """One request and its reply."""

    held: bytes = b""  # the head of a reply whose length is known, until its body is
    on_gone: Callable[[], object] | None = None

    def register_gone(self, callback: Callable[[], object]) -> None:
        """Call back once when the client leaves before the reply is complete."""
        if self.disconnected:
            callback()
        else:
            self.on_gone = callback

    def leave(self) -> None:
        """Note that the client is gone."""
        if not self.response_complete and not self.disconnected:
            self.disconnected = True
            if self.on_gone is not None:
                self.on_gone()
        self.message_event.set()

    @override
    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the app; whatever it raises, the client gets a whole answer or a closed connection."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:  # the drain's end cut it: nothing went out, say so
            self._give_up(_CUT)
            raise
        except Exception as failure:  # boundary: no traceback may reach a client, nor content the log
            log.error("app failed", extra={"error": type(failure).__name__})
            log.debug("traceback", exc_info=True)
            self._give_up(_FAILED)
        else:
            if not self.response_complete and not self.disconnected:
                log.error("app left a reply unfinished")
                self._give_up(_FAILED)
        finally:
            self.on_gone = None
            self.on_response = _nothing

    def _give_up(self, refusal: Refusal) -> None:
        if self.disconnected or self.transport.is_closing():
            return
        if not self.response_started or self.held:
            self.transport.write(answer(refusal, self.scope["path"]))
        self.response_complete = True
        self.transport.close()

    @override
    async def send(self, message: ASGISendEvent) -> None:
        """Take one ASGI event; waits while the client does not take what was sent before."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.body" and self.response_started and not self.response_complete:
            if self.scope["method"] != "HEAD":
                self._body(message.get("body", b""), more=message.get("more_body", False))
                return
        elif message["type"] == "http.response.start" and not self.response_started:
            status = message["status"]
            if self.scope["method"] != "HEAD" and status >= 200 and status not in {204, 304}:
                self._head(status, list(message.get("headers", ())))
                return
        await super().send(message)

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        parts = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            parts += (name, b": ", value, b"\r\n")
        lines = 1 + len(self.default_headers) + len(headers)
        length: int | None = None
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-length":
                length = int(value)
            elif lower == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                lines -= 1
                continue
            elif lower == b"transfer-encoding":
                lines -= 1
                continue
            parts += (lower, b": ", value, b"\r\n")
        if length is None:
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        else:
            self.chunked_encoding = False
            self.expected_content_length = length
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
            lines += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        # INVARIANT: one line per header. A line break within a value would be a second header.
        if head.count(b"\n") != lines + 1 or head.count(b"\r") != lines + 1 or b"\0" in head:
            self.response_started = False
            raise RuntimeError("a reply header holds a line break")
        if length is None:
            self.transport.write(head)
        else:
            self.held = head

    def _body(self, body: bytes, *, more: bool) -> None:
        if self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                chunk += b"0\r\n\r\n"
            if chunk:
                self.transport.write(chunk)
        else:
            left = self.expected_content_length - len(body)
            if left < 0 or (left and not more):
                raise RuntimeError("a reply's body is not as long as its content-length")
            self.expected_content_length = left
            if self.held:
                body = self.held + body
                self.held = b""
            self.transport.write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def _nothing() -> None:
    """Stand in for the callback of a connection that has moved on."""
