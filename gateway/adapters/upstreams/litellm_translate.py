"""Vendors that speak neither OpenAI's nor Anthropic's API: Bedrock and Gemini.

litellm only translates, in its own process without a network (:mod:`.litellm_process`);
our transport sends what it wrote, and only to the permitted origin: a URL that litellm
made up for somewhere else is refused like any other. Replies come back as chat
completions, streams as chat chunks.

The secret of ``api: bedrock`` is JSON: ``{"access_key": …, "secret_key": …,
"session_token": …}`` or ``{"api_key": …}``; that of ``api: gemini`` is its key. Options of a
connection: ``aws_region``.
"""

from __future__ import annotations

import base64
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import Self

import orjson

from gateway.adapters.guard import Permit
from gateway.adapters.transport import Incoming, Transport, TransportFailed
from gateway.adapters.upstreams import errors
from gateway.adapters.upstreams.exchange import JSON, SSE, accepted, outgoing, vendor_request_id
from gateway.adapters.upstreams.litellm_process import Process, TranslatorDown
from gateway.adapters.upstreams.sse import Decoder, GarbledStream
from gateway.core import translate
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.values import Attempt, Dialect, Event

_FRAMES = frozenset({"application/vnd.amazon.eventstream"})
_streams = itertools.count(1)


class LitellmUpstream:
    """Opens exchanges with vendors that litellm can translate for."""

    def __init__(self, transport: Transport, process: Process | None = None) -> None:
        """Send by ``transport``; translate in ``process``."""
        self._transport = transport
        self._process = process or Process()

    def open(
        self, attempt: Attempt, permit: Permit, secret: str | None, secret_words: tuple[str, ...]
    ) -> TranslatedExchange:
        """Return the context of one exchange."""
        return TranslatedExchange(
            self._transport, self._process, attempt, permit=permit, secret=secret, secret_words=secret_words
        )

    async def start(self) -> None:
        """Start the translator ahead of the first call; one that does not start fails that call."""
        with suppress(TranslatorDown):
            await self._process.ask("close", stream=0)

    async def close(self) -> None:
        """End the translator."""
        await self._process.close()


class TranslatedExchange:
    """One exchange: translated, sent, and its reply translated back."""

    dialect = Dialect.CHAT

    def __init__(
        self,
        transport: Transport,
        process: Process,
        attempt: Attempt,
        *,
        permit: Permit,
        secret: str | None,
        secret_words: tuple[str, ...],
    ) -> None:
        """Prepare; nothing is translated or sent before it is entered."""
        self.vendor_request_id: str | None = None
        self.reported_place: str | None = None
        self._attempt = attempt
        self._context: AbstractAsyncContextManager[Incoming] | None = None
        self._incoming: Incoming | None = None
        self._events: TranslatedEvents | None = None
        self._memo: object = {}
        self._permit = permit
        self._process = process
        self._secret = secret
        self._secret_words = secret_words
        self._stream = attempt.cleared.labelled.call.stream
        self._transport = transport

    async def __aenter__(self) -> Self:
        """Translate, send, accept. Raises UpstreamFailed and EgressRefused."""
        said = await self._translated()
        headers = said["headers"]
        if not isinstance(headers, dict):
            raise _down()
        request = outgoing(self._attempt, str(said["url"]), headers, base64.b64decode(str(said["body"])))
        self._memo = said["memo"]
        context = self._transport.request(request, self._permit)
        try:
            incoming = await context.__aenter__()
        except TransportFailed as failure:
            raise errors.failed(failure) from None
        try:
            bedrock = self._attempt.connection.api == "bedrock"
            streamed = _FRAMES if bedrock else SSE
            await accepted(incoming, streamed if self._stream else JSON, self._secret_words)
        except BaseException:
            await context.__aexit__(None, None, None)
            raise
        self.vendor_request_id = vendor_request_id(incoming)
        self._context, self._incoming = context, incoming
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the exchange and the vendor's work."""
        context, self._context, self._incoming = self._context, None, None
        if self._events is not None and self._events.stream:
            self._process.tell("close", stream=self._events.stream)
        if context is not None:
            await context.__aexit__(kind, error, trace)

    async def body(self) -> dict[str, object]:
        """Return the whole plain reply as a chat completion. Raises UpstreamFailed."""
        incoming = self._open()
        try:
            data = await incoming.read()
        except TransportFailed as failure:
            raise errors.failed(failure) from None
        connection = self._attempt.connection
        said = await self.ask(
            "reply",
            api=connection.api,
            model=connection.model,
            memo=self._memo,
            data=base64.b64encode(data).decode(),
        )
        body = said.get("body")
        if not isinstance(body, dict):
            raise errors.garbled("The model's vendor sent JSON that is no answer.")
        return body

    def events(self) -> AsyncIterator[Event]:
        """Yield the reply as chat chunks, ``[DONE]`` included. Raises UpstreamFailed."""
        self._events = TranslatedEvents(self, self._open(), self._attempt, self._process, self._memo)
        return self._events

    async def ask(self, op: str, /, *, begun: bool = False, **asked: object) -> dict[str, object]:
        """Ask the translator about the reply. Raises UpstreamFailed."""
        try:
            said = await self._process.ask(op, **asked)
        except TranslatorDown:
            raise _down(begun=begun, sent=True) from None
        match said:
            case {"ok": dict() as ok}:
                return ok
            case {"vendor": dict() as error}:
                raise errors.said_mid_stream(error, begun=begun, secret_words=self._secret_words)
            case _:
                raise errors.garbled("The model's vendor sent an answer that is none.", begun=begun)

    def _open(self) -> Incoming:
        if self._incoming is None:
            raise RuntimeError("an exchange is read inside its context")
        return self._incoming

    async def _translated(self) -> Mapping[str, object]:
        attempt, connection = self._attempt, self._attempt.connection
        call = attempt.cleared.labelled.call
        body = translate.request(
            attempt.cleared.body,
            call.surface,
            Dialect.CHAT,
            model=connection.model,
            output_cap=attempt.output_cap or None,
            stream=call.stream,
        )
        if isinstance(body, Refusal):
            raise UpstreamFailed(body, retryable=True, sent=False)
        try:
            said = await self._process.ask(
                "request",
                api=connection.api,
                model=connection.model,
                url=connection.url,
                secret=self._secret,
                options=dict(connection.options),
                stream=call.stream,
                body=body,
            )
        except TranslatorDown:
            raise _down() from None
        ok = said.get("ok")
        if isinstance(ok, dict):
            return ok
        unsayable = said.get("unsayable")
        param = unsayable if isinstance(unsayable, str) else None
        what = f"with `{param}`" if param else "this"
        refusal = Refusal(
            code=Code.UNSUPPORTED_FEATURE,
            message=f"The model '{call.model}' cannot be asked {what}. Leave it out or use another model.",
            param=param,
        )
        raise UpstreamFailed(refusal, retryable=True, sent=False)


class TranslatedEvents:
    """A streamed reply as chat chunks."""

    def __init__(
        self,
        exchange: TranslatedExchange,
        incoming: Incoming,
        attempt: Attempt,
        process: Process,
        memo: object,
    ) -> None:
        """Read from an accepted reply."""
        connection = attempt.connection
        self._api = connection.api
        self._begun = False
        self._decoder = Decoder()
        self._exchange = exchange
        self._finished = False  # a finish reason was seen
        self._generation = 0
        self._head: dict[str, object] = {
            "id": f"chatcmpl-{exchange.vendor_request_id or attempt.id.replace('#', '-')}",
            "object": "chat.completion.chunk",
            "created": attempt.started // 1_000_000_000,
            "model": connection.model,
        }
        self._incoming = incoming
        self._memo = memo
        self._over = False
        self._process = process
        self._ready: deque[Event] = deque()
        self.stream = 0

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event. Raises UpstreamFailed; a stream without its end is garbled."""
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            await self._more()
        self._begun = True
        return self._ready.popleft()

    async def _more(self) -> None:
        if not self.stream:
            self.stream = next(_streams)
            await self._ask("open", api=self._api, model=self._head["model"], memo=self._memo)
            self._generation = self._process.generation
        try:
            data = await self._incoming.chunk()
            fed = self._fed(data)
        except TransportFailed as failure:
            if self._finished:
                return self._end()
            raise errors.failed(failure, begun=self._begun) from None
        except GarbledStream:
            raise errors.garbled(
                "The model's vendor sent a stream that is none.", begun=self._begun
            ) from None
        if fed:
            if self._generation != self._process.generation:
                raise _down(begun=self._begun, sent=True)
            said = await self._ask("feed", data=fed)
            chunks = said.get("chunks")
            for chunk in chunks if isinstance(chunks, list) else []:
                self._take(chunk)
        if not data:
            if not self._finished:
                raise errors.garbled("The model's vendor ended its answer in the middle.", begun=self._begun)
            self._end()
        return None

    def _fed(self, data: bytes) -> str | list[object]:
        """Return what the translator is fed: frames as they are, Gemini's events parsed."""
        if self._api == "bedrock":
            return base64.b64encode(data).decode()
        events = self._decoder.feed(data) if data else self._decoder.end()
        return [event.data for event in events if event.data is not None]

    def _take(self, chunk: object) -> None:
        if not isinstance(chunk, dict):
            return
        whole = {**self._head, **chunk}
        choices = whole.get("choices")
        if isinstance(choices, list) and any(choice.get("finish_reason") for choice in choices):
            self._finished = True
        self._ready.append(Event(name=None, data=whole, raw=b"data: " + orjson.dumps(whole) + b"\n\n"))

    def _end(self) -> None:
        self._over = True
        self._ready.append(Event(name=None, data=None, raw=b"data: [DONE]\n\n"))

    async def _ask(self, op: str, **asked: object) -> dict[str, object]:
        return await self._exchange.ask(op, begun=self._begun, stream=self.stream, **asked)


def _down(*, begun: bool = False, sent: bool = False) -> UpstreamFailed:
    refusal = Refusal(
        code=Code.UPSTREAM_UNAVAILABLE,
        message="The gateway's translator for this model is not available just now.",
    )
    return UpstreamFailed(refusal, retryable=not begun, sent=sent)
