"""Calls as bare HTTP, per surface: what the fault suites vary, and nothing of an SDK in between.

``request(surface, text)`` is the smallest valid body; ``Caller`` posts it with a key and returns
what came back, plain or streamed, already taken apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx
import orjson

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "embeddings": "/v1/embeddings",
    "count_tokens": "/v1/messages/count_tokens",
}
ANTHROPIC = frozenset({"messages", "count_tokens"})
STREAMING = ("chat", "responses", "messages")


def request(surface: str, text: str = "hello", *, model: str = "chat", **more: object) -> dict[str, object]:
    """Return the smallest valid body of a surface. ``more`` are further top-level fields."""
    match surface:
        case "chat":
            body: dict[str, object] = {"messages": [{"role": "user", "content": text}]}
        case "responses" | "embeddings":
            body = {"input": text}
        case "messages":
            body = {"messages": [{"role": "user", "content": text}], "max_tokens": 100}
        case _:
            body = {"messages": [{"role": "user", "content": text}]}
    return {"model": model, **body, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: ``events`` of a stream (name, data; None for ``[DONE]``), else ``body``."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    whole: bool = True  # the reply was framed to its end

    @property
    def streamed(self) -> bool:
        """Whether it is a stream of events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def json(self) -> Any:
        """The body as parsed JSON."""
        return orjson.loads(self.raw)

    @property
    def events(self) -> list[tuple[str | None, Any]]:
        """The events; raises on bytes that are no well-formed stream."""
        found: list[tuple[str | None, Any]] = []
        assert self.raw.endswith(b"\n\n"), self.raw[-200:]
        for block in self.raw[:-2].split(b"\n\n"):
            if block.startswith(b":"):
                continue
            name, data = None, b""
            for line in block.split(b"\n"):
                field, _, value = line.partition(b": ")
                if field == b"event":
                    name = value.decode()
                else:
                    assert field == b"data", line
                    data = value
            found.append((name, None if data == b"[DONE]" else orjson.loads(data)))
        return found

    @property
    def error(self) -> dict[str, Any] | None:
        """The error object, of a plain error or inside a stream; None where there is none."""
        if not self.streamed:
            return self.json.get("error") if self.status >= 400 else None
        for _, data in self.events:
            if isinstance(data, dict) and isinstance(data.get("error"), dict):
                return data["error"]  # type: ignore[no-any-return]
            if isinstance(data, dict) and data.get("type") == "error":
                return data
        return None


class Caller:
    """A client of one gateway with one key."""

    def __init__(self, url: str, key: str | None, *, timeout: float = 30) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(
        self,
        surface: str,
        body: Mapping[str, object] | bytes,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Post a body and read the reply to its end, however it ends."""
        content = body if isinstance(body, bytes) else orjson.dumps(dict(body))
        said = {"content-type": "application/json", **(headers or {})}
        parts: list[bytes] = []
        whole = True
        with self.http.stream("POST", PATHS[surface], content=content, headers=said) as reply:
            try:
                parts.extend(reply.iter_raw())
            except httpx.RemoteProtocolError:
                whole = False
        return Answer(status=reply.status_code, headers=reply.headers, raw=b"".join(parts), whole=whole)


def said(answer: Answer) -> str:
    """Return the text of a stream, put together; of a plain answer all of it, as it came."""
    if not answer.streamed:
        return answer.raw.decode()
    pieces: list[str] = []
    for _, data in answer.events:
        match data:
            case {"choices": [{"delta": {"content": str(text)}}]}:
                pieces.append(text)
            case {"delta": {"text": str(text)}} | {"type": "response.output_text.delta", "delta": str(text)}:
                pieces.append(text)
            case _:
                pass
    return "".join(pieces)


def well_formed_error(surface: str, answer: Answer) -> dict[str, Any]:
    """Assert that a plain answer is an error in the surface's own shape, and return its object."""
    assert answer.whole
    assert answer.status >= 400
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    body = answer.json
    error = body["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    if surface in ANTHROPIC:
        assert body["type"] == "error", body
        assert isinstance(error["type"], str)
    else:
        assert set(error) >= {"message", "type", "param", "code"}, body
    assert_nothing_inside_out(answer.raw)
    return error  # type: ignore[no-any-return]


def assert_nothing_inside_out(raw: bytes) -> None:
    """Assert that an answer shows no traceback, no upstream key and no upstream address."""
    for forbidden in (b"Traceback", b'File "', b"127.0.0.1", b"localhost", b"vendor-key", b"site-packages"):
        assert forbidden not in raw, raw[:2000]


def well_ended(surface: str, answer: Answer) -> None:
    """Assert that a stream is well-formed and ends as its surface ends, well or by its error event."""
    assert answer.status == 200
    assert answer.streamed
    assert answer.whole
    events = answer.events
    assert events
    last_name, last = events[-1]
    if answer.error is None:
        match surface:
            case "chat":
                assert last is None, events[-3:]
            case "messages":
                assert last_name == "message_stop", events[-3:]
            case _:
                assert last_name in {"response.completed", "response.incomplete"}, events[-3:]
    assert_nothing_inside_out(answer.raw)
