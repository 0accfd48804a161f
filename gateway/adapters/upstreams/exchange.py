"""One exchange with a vendor that speaks JSON over HTTP: send, accept, read.

Owns what every such vendor has in common: the request on the guarded transport, the
check of status and content type, the plain body, the stream of events with its proper
end. INVARIANT: a stream that stops without the dialect's terminal event is a failure,
never a stop, and a truncation is never invented or lost.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

import orjson

from gateway.adapters.guard import Permit
from gateway.adapters.transport import Incoming, Outgoing, Transport, TransportFailed
from gateway.adapters.upstreams import errors
from gateway.adapters.upstreams.sse import Decoder, GarbledStream
from gateway.core.errors import UpstreamFailed
from gateway.core.values import Attempt, Dialect, Event

Kinds = frozenset[str]
JSON: Kinds = frozenset({"application/json", "application/problem+json", ""})
SSE: Kinds = frozenset({"text/event-stream"})

_ERROR_BYTES = 64 * 1024
_IDS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid")
_SAFE_ID = re.compile(r"[\w.:-]{1,128}")
_NEEDED: Mapping[Dialect, tuple[str, type]] = {
    Dialect.CHAT: ("choices", list),
    Dialect.EMBEDDINGS: ("data", list),
    Dialect.RESPONSES: ("output", list),
    Dialect.MESSAGES: ("content", list),
    Dialect.COUNT_TOKENS: ("input_tokens", int),
}
_ENDS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


def outgoing(attempt: Attempt, url: str, headers: Mapping[str, str], body: bytes) -> Outgoing:
    """Return the request with the connection's own times and authorities.

    The time of the whole try is the spine's to end, by leaving the exchange.
    """
    connection = attempt.connection
    return Outgoing(
        method="POST",
        url=url,
        headers=headers,
        body=body,
        connect_timeout_ms=connection.connect_timeout_ms,
        first_byte_timeout_ms=connection.first_byte_timeout_ms,
        idle_timeout_ms=connection.idle_timeout_ms,
        ca_bundle=connection.ca_bundle,
    )


class HttpExchange:
    """The context of one exchange; itself the :class:`~gateway.ports.Exchange` once entered."""

    __slots__ = ("_context", "_events", "_incoming", "_secret_words", "_stream", "dialect", "reported_place",
                 "vendor_request_id")  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        request: Outgoing,
        permit: Permit,
        *,
        dialect: Dialect,
        stream: bool,
        secret_words: tuple[str, ...],
    ) -> None:
        """Prepare; nothing is sent before it is entered."""
        self.dialect = dialect
        self.vendor_request_id: str | None = None
        self.reported_place: str | None = None
        self._context = transport.request(request, permit)
        self._events: Events | None = None
        self._incoming: Incoming | None = None
        self._stream = stream
        self._secret_words = secret_words

    async def __aenter__(self) -> Self:
        """Send, and accept a 2xx reply. Raises UpstreamFailed and EgressRefused."""
        try:
            incoming = await self._context.__aenter__()
        except TransportFailed as failure:
            raise errors.failed(failure) from None
        try:
            await accepted(incoming, SSE if self._stream else JSON, self._secret_words)
        except BaseException:
            # The caller's `async with` does not leave what it could not enter.
            await self._context.__aexit__(None, None, None)
            raise
        self.vendor_request_id = vendor_request_id(incoming)
        place = incoming.headers.get("x-ms-region")
        self.reported_place = place if place is not None and len(place) <= 64 else None
        self._incoming = incoming
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the exchange and the vendor's work."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None and self._events is not None and self._events.ended and kind is None:
            await incoming.drain()
        await self._context.__aexit__(kind, error, trace)

    async def body(self) -> dict[str, object]:
        """Return the whole plain reply. Raises UpstreamFailed."""
        try:
            data = await self._open().read()
        except TransportFailed as failure:
            raise errors.failed(failure) from None
        try:
            parsed = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise errors.garbled("The model's vendor sent no valid JSON.") from None
        name, kind = _NEEDED[self.dialect]
        if not isinstance(parsed, dict) or not isinstance(parsed.get(name), kind):
            raise errors.garbled("The model's vendor sent JSON that is no answer.")
        if self.dialect is Dialect.RESPONSES:
            return without_addresses(parsed, self._secret_words)
        return parsed

    def events(self) -> AsyncIterator[Event]:
        """Yield the events of a streamed reply, each whole. Raises UpstreamFailed."""
        self._events = Events(self._open(), self.dialect, self._secret_words)
        return self._events

    def _open(self) -> Incoming:
        if self._incoming is None:
            raise RuntimeError("an exchange is read inside its context")
        return self._incoming


async def accepted(incoming: Incoming, kinds: Kinds, secret_words: tuple[str, ...]) -> None:
    """Return if the reply is a 2xx of the right kind. Raises UpstreamFailed."""
    headers = incoming.headers
    if not 200 <= incoming.status < 300:
        try:
            said = await incoming.read(_ERROR_BYTES)
        except TransportFailed:
            said = b""  # the status says enough
        raise errors.rejected(incoming.status, headers, said, secret_words=secret_words)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds or headers.get("content-encoding", "identity") != "identity":
        raise errors.garbled("The model's vendor answered in another format than asked.")


def vendor_request_id(incoming: Incoming) -> str | None:
    """Return the vendor's id of the exchange, if it is a harmless one."""
    for name in _IDS:
        found = incoming.headers.get(name)
        if found is not None and _SAFE_ID.fullmatch(found):
            return found
    return None


def is_terminal(event: Event, dialect: Dialect) -> bool:
    """Whether an event ends a reply, or carries the finish reason that ends a choice of chat."""
    data = event.data
    if data is None:
        return True
    if dialect is not Dialect.CHAT:
        return data.get("type") in _ENDS
    choices = data.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )


class Events:
    """The events of a streamed reply up to and including its terminal one."""

    __slots__ = ("_begun", "_decoder", "_dialect", "_incoming", "_over", "_ready", "_secret_words", "ended")

    def __init__(self, incoming: Incoming, dialect: Dialect, secret_words: tuple[str, ...]) -> None:
        """Read from an accepted reply."""
        self._begun = False
        self._decoder = Decoder()
        self._dialect = dialect
        self.ended = False  # a terminal event was seen
        self._incoming = incoming
        self._over = False
        self._ready: deque[Event] = deque()
        self._secret_words = secret_words

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event. Raises UpstreamFailed; a stream without its end is garbled."""
        while not self._ready:
            if self.ended and self._over:
                raise StopAsyncIteration
            if self._over:
                raise errors.garbled("The model's vendor ended its answer in the middle.", begun=self._begun)
            await self._more()
        event = self._look(self._ready.popleft())
        self._begun = True
        return event

    async def _more(self) -> None:
        try:
            data = await self._incoming.chunk()
            if data:
                self._ready.extend(self._decoder.feed(data))
                return
            self._ready.extend(self._decoder.end())
        except TransportFailed as failure:
            if self.ended:  # it had said all, then closed badly
                self._over = True
                return
            raise errors.failed(failure, begun=self._begun) from None
        except GarbledStream:
            raise errors.garbled(
                "The model's vendor sent a stream that is none.", begun=self._begun
            ) from None
        self._over = True

    def _look(self, event: Event) -> Event:
        """Notice the end, and turn an error event into the failure that it is."""
        data = event.data
        if data is None:
            self._finish()
            return event
        if self._dialect is Dialect.CHAT:
            if "error" in data or not isinstance(data.get("choices"), list):
                raise self._bad(data)
            if not self.ended:
                self.ended = is_terminal(event, Dialect.CHAT)
            return event
        kind = data.get("type")
        if not isinstance(kind, str) or kind == "error":
            raise self._bad(data)
        if kind in _ENDS:
            self._finish()
            if kind == "response.failed":
                return Event(name=event.name, data=self._scrubbed(data))
        return event

    def _finish(self) -> None:
        """Nothing that comes after a terminal event is part of the answer."""
        self.ended = self._over = True
        self._ready.clear()

    def _scrubbed(self, data: Mapping[str, object]) -> dict[str, object]:
        response = data.get("response")
        if not isinstance(response, dict):
            return dict(data)
        return {**data, "response": without_addresses(response, self._secret_words)}

    def _bad(self, data: Mapping[str, object]) -> UpstreamFailed:
        """Return the failure for an error event, or for one that is no event of the dialect."""
        if "error" not in data and data.get("type") != "error":
            return errors.garbled("The model's vendor sent an event that is none.", begun=self._begun)
        error = data.get("error")
        said = error if isinstance(error, dict) else data
        return errors.said_mid_stream(said, begun=self._begun, secret_words=self._secret_words)


def without_addresses(response: dict[str, object], secret_words: tuple[str, ...]) -> dict[str, object]:
    """Return a response object (responses dialect) whose ``error`` is scrubbed."""
    match response.get("error"):
        case dict() as error:
            return {**response, "error": errors.identity(error, secret_words)}
        case _:
            return response
