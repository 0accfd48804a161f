"""The demo model: a deterministic model server over real HTTP, one port per demo deployment.

Owns what the newcomer sees answering in the first five minutes: chat completions,
responses, messages and embeddings, plain and streamed. It says what it saw, so that a
masked number is visibly masked, and calls an offered tool when the prompt asks for it. It
keeps nothing and calls nobody.

``borderpost demo`` runs :func:`run` in a child process; :func:`app` is one server as ASGI.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import replace

import orjson

from gateway.demo import prompts, shapes

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

BYTES_PER_TOKEN = 4
MAX_BODY_BYTES = 16 * 1024 * 1024
PAUSE_S = 0.02
"""Between two pieces of a stream, so that streaming is seen."""

_ids = itertools.count(1)


def run(ports: Mapping[str, int], *, host: str = "127.0.0.1") -> None:
    """Serve each demo deployment on its port of loopback until interrupted. Blocks."""
    asyncio.run(serve(ports, host=host))


async def serve(ports: Mapping[str, int], *, host: str = "127.0.0.1") -> None:
    """Serve as :func:`run` does, inside a running loop."""
    import uvicorn  # noqa: PLC0415 (only the process that serves needs it)

    servers = [
        uvicorn.Server(
            uvicorn.Config(
                app(name), host=host, port=port, log_level="warning", access_log=False, lifespan="off"
            )
        )
        for name, port in ports.items()
    ]
    await asyncio.gather(*(server.serve() for server in servers))


def app(deployment: str, *, pause_s: float = PAUSE_S) -> App:
    """Return the ASGI app of one demo deployment; ``pause_s`` lies between pieces of a stream."""

    async def serve_one(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        path = str(scope["path"])
        if path.endswith("/models"):
            listed = {"object": "list", "data": [{"id": deployment, "object": "model"}]}
            await _plain(send, 200, listed)
            return
        dialect = _dialect(path)
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError:
            request = None
        if dialect is None or not isinstance(request, dict):
            error = {"message": "the demo model does not know this", "type": "invalid_request_error"}
            await _plain(send, 404 if dialect is None else 400, {"type": "error", "error": error})
            return
        if request.get("stream") is True and dialect in _STREAMS:
            answer = answer_to(dialect, request, deployment)
            await _stream(send, _STREAMS[dialect](answer, request), pause_s)
        else:
            await _plain(send, 200, reply_to(dialect, request, deployment))

    return serve_one


# ------------------------------------------------------------------ what it says


def reply_to(dialect: str, request: Mapping[str, object], deployment: str) -> dict[str, object]:
    """Return the plain reply to a request of a dialect."""
    if dialect == "embeddings":
        given = request.get("input")
        texts = given if isinstance(given, list) else [given]
        vectors = [shapes.embed(str(text), dimensions=_dimensions(request)) for text in texts]
        used = sum(_tokens(str(text)) for text in texts)
        return shapes.embeddings_body(str(request.get("model")), vectors, shapes.Tokens(input=used, output=0))
    if dialect == "count_tokens":
        return {"input_tokens": _tokens(prompts.everything(request))}
    answer = answer_to(dialect, request, deployment)
    match dialect:
        case "messages":
            return shapes.messages_body(answer)
        case "responses":
            return shapes.responses_body(answer)
        case _:
            return shapes.chat_body(answer)


def answer_to(dialect: str, request: Mapping[str, object], deployment: str) -> shapes.Answer:
    """Return what the model says to a request: what was said last, and all that it saw."""
    last, seen = prompts.said(request), prompts.everything(request)
    tools = prompts.tool_names(request)
    choices = request.get("n")
    answer = shapes.Answer(
        id=f"{_PREFIX.get(dialect, 'chatcmpl-')}demo{next(_ids)}x{time.time_ns()}",
        model=str(request.get("model") or deployment),
        created=int(time.time()),
        choices=choices if isinstance(choices, int) and 0 < choices < 9 else 1,
    )
    wanted = next((name for name in tools if name.lower() in last.lower() or "tool" in last.lower()), None)
    if wanted is not None and not prompts.is_tool_result(request):
        said = orjson.dumps({"text": last}).decode()
        use = shapes.ToolUse(name=wanted, arguments=said, id=f"call_demo{next(_ids)}")
        return _counted(replace(answer, tools=(use,)), seen, said)
    if prompts.is_tool_result(request):
        text = f"The tool said: {last}"
    elif _wants_json(request):
        text = orjson.dumps({"you_said": last, "deployment": deployment}).decode()
    else:
        text = f"You said: {last}; I saw: {seen} (I am {deployment}, a demo model.)"
    pieces = tuple(re.findall(r"\S*\s+|\S+", text))
    limit = prompts.output_limit(request)
    if limit is not None and len(pieces) > limit:
        answer = replace(answer, finish="length")
        pieces = pieces[:limit]
    return _counted(replace(answer, pieces=pieces), seen, "")


def _counted(answer: shapes.Answer, seen: str, tool: str) -> shapes.Answer:
    spoken = (len(answer.pieces) + _tokens(tool) * len(answer.tools)) * answer.choices
    return replace(answer, tokens=shapes.Tokens(input=_tokens(seen), output=spoken))


def _tokens(text: str) -> int:
    return 1 + len(text.encode()) // BYTES_PER_TOKEN


def _wants_json(request: Mapping[str, object]) -> bool:
    match request:
        case (
            {"response_format": {"type": "json_object" | "json_schema"}}
            | {"text": {"format": {"type": "json_object" | "json_schema"}}}
            | {"output_config": {"format": {"type": "json_schema"}}}
        ):
            return True
        case _:
            return False


def _dimensions(request: Mapping[str, object]) -> int:
    asked = request.get("dimensions")
    return asked if isinstance(asked, int) and 0 < asked <= 4096 else 8


# ------------------------------------------------------------------ how it is sent

_PREFIX = {"messages": "msg_", "responses": "resp_"}
_PATHS = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/messages": "messages",
    "/messages/count_tokens": "count_tokens",
}


def _dialect(path: str) -> str | None:
    return _PATHS.get(path.removeprefix("/v1"))


def _chat_frames(answer: shapes.Answer, request: Mapping[str, object]) -> Iterator[shapes.Frame]:
    options = request.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    return shapes.chat_events(answer, include_usage=usage)


_STREAMS: Mapping[str, Callable[[shapes.Answer, Mapping[str, object]], Iterator[shapes.Frame]]] = {
    "chat": _chat_frames,
    "responses": lambda answer, _: shapes.responses_events(answer),
    "messages": lambda answer, _: shapes.messages_events(answer),
}


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part = message.get("body", b"")
        body += part if isinstance(part, bytes) else b""
        if not message.get("more_body") or len(body) > MAX_BODY_BYTES:
            return body


async def _plain(send: Send, status: int, body: Mapping[str, object]) -> None:
    data = orjson.dumps(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _stream(send: Send, frames: Iterator[shapes.Frame], pause_s: float) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for frame in frames:
        await send({"type": "http.response.body", "body": shapes.encode(frame), "more_body": True})
        await asyncio.sleep(pause_s)
    await send({"type": "http.response.body", "body": b""})
