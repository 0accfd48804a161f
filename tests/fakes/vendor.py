"""Scripted fake vendors on loopback. Real sockets, every byte recorded, a meter of what they bill.

How to use it::

    from tests.fakes.vendor import FakeVendor, Script


    def test_something(
        vendors,
    ):  # the fixture: tests/fakes/plugin.py, `from tests.fakes.plugin import vendors`
        canada = vendors.start("openai", place="CA-QC")
        us = vendors.start("messages", place="US")
        canada.url  # put this in the connection: http://127.0.0.1:<port>/v1
        us.url  # for messages without /v1, as Anthropic's base URL is written
        canada.script(Script(status=503, retry_after=2), Script(text="bonjour"))  # the next two calls
        canada.default = Script(endless=True)  # every call after the queue is empty
        ...
        canada.seen[0].json["messages"]  # what the vendor saw
        canada.seen[0].headers["authorization"]
        assert b"secret" not in canada.raw  # every byte ever received, all connections
        canada.billed.output  # tokens that it would bill, partial streams included
        canada.seen[0].gone.wait(5)  # the gateway hung up before the end

Or without the fixture: ``with FakeVendor("openai") as vendor: ...``.

``speaks`` is one of ``openai`` (chat, responses, embeddings), ``chat``, ``responses``,
``embeddings``, ``messages`` (with count_tokens), ``bedrock`` (converse), ``gemini``, or
``any``. A path outside it answers 404, so that a call in the wrong dialect shows.

Without a script a vendor echoes: ``You said: <last turn>``. One token is one piece of
streamed text (a word and its space), four bytes of prompt text are one input token. The
vendor obeys ``max_tokens`` and then finishes with ``length``. ``seen[i].billed`` is what
call ``i`` costs at the moment; it grows while a stream runs, and stops when it is aborted.

The thread of a vendor is its own; reading ``seen``, ``raw`` and ``billed`` is safe anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import orjson

from gateway.demo import prompts, shapes
from tests.fakes import says

_ROUTES: tuple[tuple[str, str], ...] = (
    (r"(?:/openai)?/v1/chat/completions", "chat"),
    (r"(?:/openai)?/v1/responses", "responses"),
    (r"(?:/openai)?/v1/embeddings", "embeddings"),
    (r"/v1/messages/count_tokens", "count_tokens"),
    (r"/v1/messages", "messages"),
    (r"/model/(?P<model>[^/]+)/converse(?P<stream>-stream)?", "bedrock"),
    (r"/v1(?:beta)?/models/(?P<model>[^/:]+):(?P<stream>stream)?[gG]enerateContent", "gemini"),
)
_SPEAKS: Mapping[str, frozenset[str]] = {
    "openai": frozenset({"chat", "responses", "embeddings"}),
    "messages": frozenset({"messages", "count_tokens"}),
    "any": frozenset(dialect for _, dialect in _ROUTES),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the vendor treats one call. Every field has a harmless default."""

    # what it says
    text: str | None = None  # None echoes the prompt
    pieces: tuple[str, ...] | None = None  # exact pieces of the stream, instead of words
    reasoning: str | None = None
    tools: tuple[tuple[str, str], ...] = ()  # (name, arguments as JSON text)
    finish: str = "stop"  # stop | length | refusal | content_filter
    model: str | None = None  # the model that the vendor says answered
    usage: Literal["given", "omitted", "zero", "garbage"] | dict[str, object] = "given"
    # errors and garbage
    status: int = 200
    error: dict[str, object] | None = None  # the body of an error; None is the dialect's usual one
    retry_after: int | str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None  # these very bytes as body, plain or streamed
    content_type: str | None = None
    redirect: str | None = None  # 307 to there
    # time
    delay_ms: int = 0  # before the headers
    pause_ms: int = 0  # before each event of a stream (slow drip), or before each part of a plain body
    stall_at: int | None = None  # stream: after k events say nothing more, keep the socket open
    endless: bool = False  # stream: repeats its text for ever
    # faults
    reset: Literal["before_headers", "after_headers"] | None = None
    die_at: int | None = None  # stream: reset after k events
    close_at: int | None = None  # stream: close in good order after k events, no terminal event
    error_at: int | None = None  # stream: the dialect's error event after k events, then close
    split: int | None = None  # write in parts of so many bytes, each in its own packet
    crlf: bool = False  # stream: lines end in CRLF
    length_off_by: int = 0  # content-length says so much more than there is
    chunked: bool = True  # stream: chunked; False: ended by closing the connection


@dataclass(slots=True, kw_only=True)
class Billed:
    """A vendor's meter, in tokens."""

    calls: int = 0
    input: int = 0
    output: int = 0


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str  # with the query
    headers: dict[str, str]  # lower-case names; the last one wins
    header_list: list[tuple[str, str]]
    body: bytes
    dialect: str | None
    at: float  # time.monotonic when the request was whole
    number: str = ""  # what the vendor calls this exchange (its x-request-id is vendor-<number>)
    billed: Billed = field(default_factory=Billed)
    answered: int | None = None  # the status sent
    finished: bool = False  # the whole reply was written
    gone: threading.Event = field(default_factory=threading.Event)  # the client left before the end
    gone_at: float | None = None

    @property
    def json(self) -> Any:
        """The body as parsed JSON."""
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        """All prompt text of the body."""
        return prompts.everything(self.json)


class FakeVendor:
    """One vendor on one loopback port. See the module's docstring."""

    def __init__(self, speaks: str = "openai", *, place: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.speaks = _SPEAKS.get(speaks, frozenset({speaks}))
        self.place = place
        self.default = Script()
        self.seen: list[Seen] = []
        self.connections = 0
        self._kind = speaks
        self._tls = tls
        self._raw = bytearray()
        self._scripts: deque[Script] = deque()
        self._ids = itertools.count(1)
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------ for tests

    def start(self) -> Self:
        """Listen on a free port of loopback."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake vendor did not start")
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def script(self, *scripts: Script) -> None:
        """Queue how the next calls are treated, one script per call."""
        self._scripts.extend(scripts)

    def forget(self) -> None:
        """Drop what was seen, the queue and the meter (between the parts of a test)."""
        self.seen = []
        self._raw = bytearray()
        self._scripts.clear()

    @property
    def port(self) -> int:
        """The port that it listens on (kept after ``stop``)."""
        return self._port

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:port`` (``https`` with ``tls``)."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL as a connection names it."""
        bare = self._kind in {"messages", "bedrock", "gemini", "count_tokens"}
        return self.origin if bare else f"{self.origin}/v1"

    @property
    def raw(self) -> bytes:
        """Every byte received on any connection."""
        return bytes(self._raw)

    @property
    def billed(self) -> Billed:
        """The meter over all calls."""
        total = Billed()
        for seen in list(self.seen):
            total.calls += seen.billed.calls
            total.input += seen.billed.input
            total.output += seen.billed.output
        return total

    def wait_for(self, count: int, *, seconds: float = 10) -> list[Seen]:
        """Wait until so many calls were seen, and return them. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while len(self.seen) < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{len(self.seen)} of {count} calls seen")
            time.sleep(0.002)
        return list(self.seen)

    # ----------------------------------------------------------- the server

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        # The port is kept over stop and start, so that "the vendor comes back" can be played.
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, ssl=self._tls, limit=1 << 24
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        await asyncio.sleep(0.005)  # what was accepted in this very moment gets its handler
        server.close()
        until = time.monotonic() + 5
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) and time.monotonic() < until:
            for writer in list(self._writers):
                writer.transport.abort()  # its handler sees the end, and leaves by itself
            await asyncio.wait(others, timeout=0.01)
        self._ready.clear()
        await asyncio.sleep(0.002)  # transports close one turn later

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            early = b""  # what the watch for a leaving client read of the next request
            while (ahead := await self._one(reader, writer, early)) is not None:
                early = ahead
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await writer.wait_closed()
            self._writers.discard(writer)

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes
    ) -> bytes | None:
        """Serve one request; None when the connection is over, else bytes read too early."""
        head = early + await reader.readuntil(b"\r\n\r\n")
        self._raw += head
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ", 2)
        pairs = [(n.strip().lower(), v.strip()) for n, _, v in (ln.partition(":") for ln in lines)]
        headers = dict(pairs)
        if "chunked" in headers.get("transfer-encoding", ""):
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self._raw += body
        dialect, named = self._route(path)
        seen = Seen(
            method=method,
            path=path,
            headers=headers,
            header_list=pairs,
            body=body,
            dialect=dialect,
            at=time.monotonic(),
            number=f"{self._port}-{len(self.seen) + 1}",
        )
        script = self._scripts.popleft() if self._scripts else self.default
        self.seen.append(seen)
        reply = asyncio.ensure_future(self._reply(writer, seen, script, named))
        # A vendor notices a client that leaves: reading ends while the reply is being made.
        leaves = asyncio.ensure_future(_next_byte(reader))
        await asyncio.wait({reply, leaves}, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done() and leaves.result() != b"":
            await asyncio.wait({reply})  # the next request came early
        if not reply.done() or isinstance(reply.exception(), ConnectionError):
            seen.gone_at = time.monotonic()
            seen.gone.set()
            reply.cancel()
            leaves.cancel()
            await asyncio.wait({reply, leaves})
            return None
        leaves.cancel()
        await asyncio.wait({leaves})
        early = b"" if leaves.cancelled() else leaves.result()
        over = not reply.result() or (not leaves.cancelled() and early == b"")
        return None if over else early

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            line = await reader.readline()
            part = await reader.readexactly(int(line, 16) + 2)
            self._raw += line + part
            if len(part) == 2:
                return body
            body += part[:-2]

    def _route(self, path: str) -> tuple[str | None, dict[str, str | None]]:
        bare = path.partition("?")[0]
        for pattern, dialect in _ROUTES:
            found = re.fullmatch(pattern, bare)
            if found and dialect in self.speaks:
                return dialect, found.groupdict()
        return None, {}

    async def _reply(
        self,
        writer: asyncio.StreamWriter,
        seen: Seen,
        script: Script,
        named: dict[str, str | None],
    ) -> bool:
        if script.delay_ms:
            await asyncio.sleep(script.delay_ms / 1000)
        if script.reset == "before_headers":
            _reset(writer)
            return False
        if seen.dialect is None:
            script = replace(script, status=404, error={"error": {"message": "no such path"}})
        if script.redirect is not None:
            script = replace(script, status=307, body=b"", headers=(("location", script.redirect),))
        sender = _Sender(writer, seen, script)
        if script.status >= 300 or script.body is not None:
            return await sender.plain(
                script.body
                if script.body is not None
                else orjson.dumps(script.error or says.error_body(seen.dialect, script.status)),
                script.content_type or "application/json",
            )
        assert seen.dialect is not None
        request = seen.json
        answer, text_in, spent = self._answer(seen, script, request, named)
        seen.billed.calls, seen.billed.input = 1, text_in
        wants = named.get("stream") or (isinstance(request, dict) and request.get("stream") is True)
        if wants and seen.dialect not in {"embeddings", "count_tokens"}:
            said = says.frames(seen.dialect, answer, request, endless=script.endless)
            keep = await sender.stream(said)
            if seen.finished:
                seen.billed.output = max(seen.billed.output, spent)
            return keep
        seen.billed.output = spent
        body = says.plain_body(seen.dialect, answer, request, text_in)
        return await sender.plain(orjson.dumps(body), script.content_type or "application/json")

    def _answer(
        self, seen: Seen, script: Script, request: dict[str, Any], named: Mapping[str, str | None]
    ) -> tuple[shapes.Answer, int, int]:
        text = script.text if script.text is not None else f"You said: {prompts.said(request)}"
        pieces = script.pieces or tuple(re.findall(r"\S*\s+|\S+", text))
        if script.tools and script.text is None:
            pieces = ()
        limit, finish = prompts.output_limit(request), script.finish
        if limit is not None and len(pieces) > limit and not script.endless:
            pieces, finish = pieces[:limit], "length"
        tools = tuple(
            shapes.ToolUse(name=name, arguments=arguments, id=f"call_{i}")
            for i, (name, arguments) in enumerate(script.tools, 1)
        )
        spoken = sum(len(tool.arguments) // 4 + 4 for tool in tools)
        thought = len(script.reasoning.split()) if script.reasoning else 0
        asked = request.get("n")
        choices = asked if isinstance(asked, int) else 1
        text_in = 3 + len(prompts.everything(request).encode()) // 4
        tokens = shapes.Tokens(
            input=text_in, output=(len(pieces) + spoken + thought) * choices, reasoning=thought
        )
        prefix = {"responses": "resp", "messages": "msg"}.get(seen.dialect or "", "chatcmpl")
        said_model = request.get("model") or named.get("model") or "fake"
        answer = shapes.Answer(
            id=f"{prefix}_{self._port}_{next(self._ids)}",
            model=script.model or str(said_model),
            created=1_790_000_000,
            pieces=pieces,
            reasoning=script.reasoning,
            tools=tools,
            finish=finish,
            choices=choices,
            tokens=tokens,
        )
        match script.usage:
            case "omitted":
                return replace(answer, tokens=None), text_in, tokens.output
            case "zero":
                return replace(answer, tokens=shapes.Tokens(input=0, output=0)), text_in, tokens.output
            case "garbage":
                garbage = {"prompt_tokens": -1, "completion_tokens": "many", "input_tokens": 1.5}
                return replace(answer, usage={**garbage, "output_tokens": [3]}), text_in, tokens.output
            case dict() as usage:
                return replace(answer, usage=usage), text_in, tokens.output
            case _:
                return answer, text_in, tokens.output


class _Sender:
    """Writes one reply the way the script says."""

    def __init__(self, writer: asyncio.StreamWriter, seen: Seen, script: Script) -> None:
        self._writer = writer
        self._seen = seen
        self._script = script

    async def _write(self, data: bytes) -> None:
        size = self._script.split
        if size is None:
            self._writer.write(data)
            await self._writer.drain()
            return
        for start in range(0, len(data), size):
            self._writer.write(data[start : start + size])
            await self._writer.drain()
            await asyncio.sleep(0)

    def _head(self, content_type: str, more: tuple[tuple[str, str], ...]) -> bytes:
        script = self._script
        self._seen.answered = script.status
        lines = [f"HTTP/1.1 {script.status} Fake", f"content-type: {content_type}"]
        if script.retry_after is not None:
            lines.append(f"retry-after: {script.retry_after}")
        lines += [f"x-request-id: vendor-{self._seen.number}", "openai-organization: org-hidden"]
        lines += [f"{name}: {value}" for name, value in (*script.headers, *more)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def plain(self, body: bytes, content_type: str) -> bool:
        """Write a plain reply."""
        script = self._script
        length = (("content-length", str(len(body) + script.length_off_by)),)
        self._writer.write(self._head(content_type, length))
        if script.reset == "after_headers":
            await self._writer.drain()
            _reset(self._writer)
            return False
        if script.pause_ms:
            for start in range(0, len(body), 16):
                await asyncio.sleep(script.pause_ms / 1000)
                await self._write(body[start : start + 16])
        else:
            await self._write(body)
        self._seen.finished = True
        return script.length_off_by == 0

    async def stream(self, frames: Iterator[tuple[bytes, int]]) -> bool:
        """Write a streamed reply; each frame says how many tokens it bills."""
        script = self._script
        how = (("transfer-encoding", "chunked"),) if script.chunked else (("connection", "close"),)
        kind = "application/vnd.amazon.eventstream" if self._seen.dialect == "bedrock" else None
        head = self._head(script.content_type or kind or "text/event-stream", how)
        self._writer.write(head)
        await self._writer.drain()
        if script.reset == "after_headers":
            _reset(self._writer)
            return False
        for at, (frame, tokens) in enumerate(frames):
            if at == script.die_at:
                # Let what was written arrive before the reset, which may overtake it.
                await asyncio.sleep(0.05)
                _reset(self._writer)
                return False
            if at == script.close_at:
                break
            if at == script.stall_at:
                await asyncio.Event().wait()
            if at == script.error_at:
                await self._send(says.error_frame(self._seen.dialect))
                break
            if script.pause_ms:
                await asyncio.sleep(script.pause_ms / 1000)
            self._seen.billed.output += tokens
            await self._send(frame.replace(b"\n", b"\r\n") if script.crlf else frame)
            if script.endless:
                await asyncio.sleep(0.001)
        if script.chunked:
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
        self._seen.finished = script.close_at is None and script.error_at is None
        return script.chunked

    async def _send(self, frame: bytes) -> None:
        if self._script.chunked:
            size = self._script.split or len(frame)
            parts = [frame[i : i + size] for i in range(0, len(frame), size)]
            for part in parts:
                self._writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await self._writer.drain()
                if self._script.split:
                    await asyncio.sleep(0)
        else:
            await self._write(frame)


async def _next_byte(reader: asyncio.StreamReader) -> bytes:
    """Return the next byte of a connection, nothing when the client closed or reset it."""
    try:
        return await reader.read(1)
    except (ConnectionError, ssl.SSLError):
        return b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset, as a crashed vendor does."""
    import socket

    sock = writer.get_extra_info("socket")
    if sock is not None:
        linger = struct.pack("ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
