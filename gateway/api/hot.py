"""The hot path over HTTP: plain ASGI, one parse, one walk, no framework layer.

Reads and bounds the body, authenticates, makes the :class:`Call`, runs the spine
and writes the reply, plain or streamed. Whatever happens, the caller gets a
well-formed answer in the surface's shape and no traceback.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Protocol, cast

import orjson

from gateway.api.auth import authenticate, presented_key
from gateway.api.endpoints import Endpoint
from gateway.api.errors import INTERNAL, Headers, pace_headers, render
from gateway.api.health import Lifecycle
from gateway.api.protocol import GONE
from gateway.api.settling import Settler
from gateway.api.sse import PING, encode
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.features import features, invalid
from gateway.core.ids import RANDOM_BYTES, IdIssuer
from gateway.core.sticky import conversation_of
from gateway.core.values import Call, Caller
from gateway.pipeline import Pipeline, Reply
from gateway.ports import Clock, Idempotency, Keys, StoredReply

Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[MutableMapping[str, object]]]
Send = Callable[[MutableMapping[str, object]], Awaitable[None]]
Subscribe = Callable[[Callable[[], None]], None]
Keep = Callable[[Headers, bytes | None], Awaitable[None]]

log = logging.getLogger("gateway.hot")

NODE_STOPS = Refusal(
    code=Code.SHUTTING_DOWN, message="This node is stopping. Send the call again.", retry_after=1
)


class RandomSource(Protocol):
    """Draws random bytes (``os.urandom`` in the composition root)."""

    def __call__(self, size: int, /) -> bytes:
        """Return ``size`` random bytes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask of the process."""

    max_body_bytes: int
    body_timeout_s: float
    ping_s: float


class ClientGone(Exception):
    """The client went away while its body was read."""


class HotSurface:
    """Serves one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        pipeline: Pipeline,
        keys: Keys,
        idempotency: Idempotency,
        ids: IdIssuer,
        clock: Clock,
        random: RandomSource,
        place: str,
        limits: Limits,
        lifecycle: Lifecycle,
    ) -> None:
        """Wire the endpoint to what it needs."""
        self._endpoint = endpoint
        self._pipeline = pipeline
        self._keys = keys
        self._idempotency = idempotency
        self._ids = ids
        self._clock = clock
        self._random = random
        self._place = place
        self._limits = limits
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now = self._clock.now()
        request_id = self._ids.request(self._place, now=now, random=self._random(RANDOM_BYTES))
        started = False

        def tracked(message: MutableMapping[str, object]) -> Awaitable[None]:
            nonlocal started
            started = True
            return send(message)

        try:
            await self._answer(scope, receive, tracked, request_id, now)
        except ClientGone:
            return
        except GatewayError as stop:
            if not started:
                await self._refuse(stop.refusal, send, request_id)
        except asyncio.CancelledError:
            raise
        except Exception as failure:  # boundary: nothing of ours may reach a caller as a traceback
            log.error("call failed", extra={"request_id": request_id, "error": type(failure).__name__})
            log.debug("traceback", exc_info=True)
            if not started:
                await self._refuse(INTERNAL, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str, now: int) -> None:
        headers = header_map(scope)
        if scope["method"] != "POST":
            raise GatewayError(
                Refusal(
                    code=Code.METHOD_NOT_ALLOWED,
                    message=f"{self._endpoint.path} answers POST only.",
                )
            )
        if self._lifecycle.draining:
            raise GatewayError(NODE_STOPS)
        caller = authenticate(headers, self._keys, now)
        if isinstance(caller, Refusal):
            raise GatewayError(caller)
        raw = await self._read(headers, scope, receive)
        call = self._parse(raw, headers, caller, request_id, now)
        idempotency_key = headers.get(b"idempotency-key")
        if idempotency_key:
            await self._answer_once(call, raw, headers, idempotency_key, send)
        else:
            await self._answer_watched(call, scope, receive, send)

    async def _read(self, headers: Mapping[bytes, bytes], scope: Scope, receive: Receive) -> bytes:
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b""):
            raise GatewayError(
                Refusal(
                    code=Code.UNSUPPORTED_MEDIA_TYPE,
                    message="Compressed request bodies are not read. Send the body as plain JSON.",
                    param="content-encoding",
                )
            )
        kind = headers.get(b"content-type", b"application/json").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise GatewayError(
                Refusal(
                    code=Code.UNSUPPORTED_MEDIA_TYPE,
                    message="Send `content-type: application/json`.",
                    param="content-type",
                )
            )
        most = self._limits.max_body_bytes
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            raise GatewayError(too_large(most))
        if told_when_gone(scope) is not None:
            return await whole_body(receive, most)  # our own server ends a body that is late
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                return await whole_body(receive, most)
        except TimeoutError:
            raise GatewayError(
                Refusal(
                    code=Code.REQUEST_TIMEOUT,
                    message=f"The body did not arrive within {self._limits.body_timeout_s:g} s.",
                )
            ) from None

    def _parse(
        self, raw: bytes, headers: Mapping[bytes, bytes], caller: Caller, request_id: str, now: int
    ) -> Call:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise GatewayError(
                Refusal(
                    code=Code.INVALID_JSON,
                    message=f"The body is not valid JSON at line {error.lineno}, column {error.colno}.",
                )
            ) from None
        if not isinstance(body, dict):
            raise GatewayError(Refusal(code=Code.INVALID_JSON, message="The body must be a JSON object."))
        surface = self._endpoint.surface
        wrong = invalid(surface, body)
        if wrong is not None:
            raise GatewayError(wrong)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise GatewayError(
                Refusal(
                    code=Code.INVALID_REQUEST,
                    message="`model` must be a non-empty string; GET /v1/models lists yours.",
                    param="model",
                )
            )
        labels = headers.get(b"x-borderpost-data", b"").decode("latin-1")
        return Call(
            id=request_id,
            surface=surface,
            caller=caller,
            model=model,
            stream=self._endpoint.streams and body.get("stream") is True,
            body=body,
            size=len(raw),
            received=now,
            header_labels=tuple(name for part in labels.split(",") if (name := part.strip())),
            conversation=text_header(headers, b"x-borderpost-conversation") or conversation_of(surface, body),
            features=features(surface, body),
            forward_headers=forwarded(headers),
            trace=trace_headers(headers),
        )

    # ------------------------------------------------------------------ answering

    async def _answer_watched(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the call, and cancel it when the client goes away."""
        work = asyncio.current_task()
        left = False

        def on_gone() -> None:
            nonlocal left
            left = True
            if work is not None:
                work.cancel()

        stop = when_gone(scope, receive, on_gone)
        try:
            reply = await self._pipeline.handle(call)
            await self._write(reply, reply_headers(reply, call), send)
        except asyncio.CancelledError:
            if not left or work is None:
                raise
            work.uncancel()
        finally:
            stop()

    async def _answer_once(
        self, call: Call, raw: bytes, headers: Mapping[bytes, bytes], key: bytes, send: Send
    ) -> None:
        """Run an idempotent call to its end even if the client leaves; replay it to a retry."""
        secret = presented_key(headers) or ""
        name = key.decode("latin-1")
        digest = hashlib.sha256(self._endpoint.path.encode() + b"\0" + raw).hexdigest()
        stored = await self._idempotency.claim(call.caller, name, digest, secret)
        if isinstance(stored, Refusal):
            raise GatewayError(stored)
        if stored is not None:
            replayed = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in stored.headers]
            replayed.append((b"x-borderpost-replayed", b"true"))
            await send_plain(send, stored.status, replayed, stored.body)
            return
        work = asyncio.ensure_future(self._run_once(call, name, secret, send))
        self._pipeline.keep(work)
        await asyncio.shield(work)

    async def _run_once(self, call: Call, name: str, secret: str, send: Send) -> None:
        finished = False

        async def keep(headers: Headers, body: bytes | None) -> None:
            nonlocal finished
            if finished:
                return
            finished = True
            kept = None
            if body is not None:
                text = tuple((k.decode("latin-1"), v.decode("latin-1")) for k, v in headers)
                kept = StoredReply(status=200, headers=text, body=body)
            await self._idempotency.finish(call.caller, name, secret, kept)

        try:
            reply = await self._pipeline.handle(call)
            await self._write(reply, reply_headers(reply, call), send, keep)
        except GatewayError as stop:
            await keep([], None)
            await self._refuse(stop.refusal, send, call.id)
        finally:
            await keep([], None)

    async def _write(self, reply: Reply, headers: Headers, send: Send, keep: Keep | None = None) -> None:
        """Write a reply. ``keep`` is given it before its end is sent, so that a retry finds it.

        A stream that failed in its middle is no answer: ``keep`` is given None before the app can
        read of the failure, so that its retry never meets a call that is "still running".
        """
        if isinstance(reply.body, Mapping):
            body = orjson.dumps(reply.body)
            if keep is not None:
                await keep(headers, body)
            await send_plain(send, 200, headers, body)
            return
        parts: list[bytes] = []
        pinger = Pinger(send, self._limits.ping_s)
        settler: Settler | None = None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if reply.body.altered:
                settler = Settler(reply.body, send, kept=parts if keep is not None else None)
            async for events in reply.body:
                pinger.sent = True
                if keep is not None and reply.body.failing:
                    await keep(headers, None)
                if settler is not None:
                    await settler.write(events)
                    continue
                part = encode(events)
                if keep is not None:
                    parts.append(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
            if settler is not None:
                await settler.stop()
            if keep is not None:
                await keep(headers, b"".join(parts) if reply.body.ended_well else None)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            if self._lifecycle.cutting:
                last = encode(reply.body.interrupt(NODE_STOPS))
                await send({"type": "http.response.body", "body": last, "more_body": False})
            raise
        finally:
            pinger.stop()
            if settler is not None:
                settler.cancel()
            await reply.body.aclose()

    async def _refuse(self, refusal: Refusal, send: Send, request_id: str) -> None:
        status, headers, body = render(refusal, self._endpoint.surface, request_id)
        await send_plain(send, status, headers, body)


class Pinger:
    """Sends a comment when a stream has been silent for a while, so that no proxy cuts it."""

    def __init__(self, send: Send, every_s: float) -> None:
        """Start pinging."""
        self.sent = False
        self._send = send
        self._every = every_s
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(every_s, self._due)

    def _due(self) -> None:
        if not self.sent:
            self._task = asyncio.ensure_future(self._ping())
        self.sent = False
        self._timer = asyncio.get_running_loop().call_later(self._every, self._due)

    async def _ping(self) -> None:
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    def stop(self) -> None:
        """Stop pinging."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def reply_headers(reply: Reply, call: Call) -> Headers:
    """Return the headers of a served answer."""
    served = reply.served
    kind = b"application/json" if isinstance(reply.body, Mapping) else b"text/event-stream"
    name = call.id.encode("ascii")
    headers: Headers = [
        (b"content-type", kind),
        (b"x-request-id", name),
        (b"request-id", name),
        (b"x-borderpost-model", served.alias.encode("ascii", "replace")),
        (b"x-borderpost-place", served.place.encode("ascii")),
    ]
    if call.model.isascii() and call.model.isprintable():
        headers.append((b"x-borderpost-model-asked", call.model.encode("ascii")))
    if kind == b"text/event-stream":
        headers.append((b"cache-control", b"no-store"))
    if served.masked:
        masked = ",".join(f"{kind}={count}" for kind, count in sorted(served.masked.items()))
        headers.append((b"x-borderpost-masked", masked.encode("ascii")))
    if served.cost is not None:
        headers.append((b"x-borderpost-cost", served.cost.encode("ascii")))
    if served.clamped_to is not None:
        headers.append((b"x-borderpost-max-tokens", str(served.clamped_to).encode("ascii")))
    if served.pace is not None:
        headers += pace_headers(served.pace.limit, served.pace.left, served.pace.resets - call.received)
    if served.degraded is not None:
        headers.append((b"x-borderpost-degraded", served.degraded.encode("ascii", "replace")))
    if served.marks:
        headers.append((b"x-borderpost-mark", ",".join(served.marks).encode("ascii")))
    if served.disclose_ai:
        headers.append((b"x-borderpost-disclose", b"ai"))
    return headers


async def whole_body(receive: Receive, most: int) -> bytes:
    """Return the request body; raises GatewayError over ``most`` bytes, ClientGone."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = cast("bytes", message.get("body", b""))  # ASGI: a byte string
        size += len(part)
        if size > most:
            raise GatewayError(too_large(most))
        parts.append(part)
        more = bool(message.get("more_body"))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def told_when_gone(scope: Scope) -> Subscribe | None:
    """Return how our own server tells that the client left; None on any other ASGI server.

    Where it is there, our server also ends a body that is late (``gateway/api/protocol.py``).
    """
    extensions = cast("Mapping[str, Subscribe]", scope.get("extensions") or {})
    return extensions.get(GONE)


def when_gone(scope: Scope, receive: Receive, callback: Callable[[], None]) -> Callable[[], object]:
    """Call back if the client goes away from now on; returns what ends that.

    By our server's extension, or by ASGI.
    """
    subscribe = told_when_gone(scope)
    if subscribe is not None:
        subscribe(callback)
        return nothing

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        callback()

    return asyncio.ensure_future(watch()).cancel


def nothing() -> None:
    """End nothing: our server forgets the callback when the reply is complete."""


async def send_plain(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole reply."""
    length = (b"content-length", str(len(body)).encode("ascii"))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def header_map(scope: Scope) -> dict[bytes, bytes]:
    """Return the request headers by lower-case name; of a repeated one, the first counts."""
    raw = scope["headers"]
    found: dict[bytes, bytes] = {}
    for name, value in raw:  # type: ignore[attr-defined]  # ASGI: an iterable of pairs of bytes
        found.setdefault(name, value)
    return found


def trace_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the W3C trace context that came in, if any."""
    return {
        name.decode("ascii"): headers[name].decode("latin-1")
        for name in (b"traceparent", b"tracestate")
        if name in headers
    }


def forwarded(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the caller's headers that a vendor may be sent: Anthropic's opt-ins, bounded."""
    beta = text_header(headers, b"anthropic-beta")
    return {"anthropic-beta": beta} if beta else {}


def text_header(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Return a header's text, bounded, or None."""
    value = headers.get(name)
    return value.decode("latin-1")[:256] if value else None


def too_large(most: int) -> Refusal:
    """Return the refusal of a body over the declared limit."""
    return Refusal(
        code=Code.BODY_TOO_LARGE,
        message=f"The body is over {most} bytes, this gateway's limit (`max_body_bytes`).",
    )
