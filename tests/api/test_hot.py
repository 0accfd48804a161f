"""The hot path over ASGI, on twins: what is read, what is refused before the spine, what is written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.adapters.memory_idempotency import MemoryIdempotency
from gateway.adapters.memory_upstream import Scripted
from gateway.api import anthropic_messages, openai_chat
from gateway.api.health import Lifecycle
from gateway.api.hot import HotSurface, Limits
from gateway.core.errors import Code, Refusal
from gateway.core.ids import IdIssuer
from gateway.core.values import Caller
from tests.spine import Spine, completion, snapshot, stream

KEY = "bp_test_" + "key"
HEADERS = ((b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/json"))
BODY = {"model": "chat", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}


class OneKey:
    """Knows one key, of the teller."""

    def find(self, presented: str, now: int) -> Caller | Refusal:
        """Return the teller for its key."""
        if presented == KEY:
            return Caller(tenant="maple-bank", team="branch", app="teller", key_id="k1")
        return Refusal(code=Code.INVALID_API_KEY, message="unknown", retry=False)


class Answer:
    """What a client got."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


@pytest.fixture
def spine(tmp_path: Path) -> Spine:
    """A fresh spine."""
    return Spine(snapshot(tmp_path))


def surface(spine: Spine, *, messages: bool = False, **limits: Any) -> HotSurface:
    """Return a hot surface over the spine."""
    return HotSurface(
        anthropic_messages.ENDPOINT if messages else openai_chat.ENDPOINT,
        pipeline=spine.pipeline,
        keys=OneKey(),
        idempotency=MemoryIdempotency(spine.clock),
        ids=IdIssuer(b"k" * 32),
        clock=spine.clock,
        random=os.urandom,
        place="CA-QC",
        limits=Limits(**{"max_body_bytes": 10_000, "body_timeout_s": 0.2, "ping_s": 15.0, **limits}),
        lifecycle=Lifecycle(),
    )


async def post(
    hot: HotSurface,
    body: object = BODY,
    *,
    method: str = "POST",
    headers: tuple[tuple[bytes, bytes], ...] = HEADERS,
    parts: list[bytes] | None = None,
    on_sent: Callable[[dict[str, Any]], None] | None = None,
    stall: bool = False,
) -> Answer:
    """Send one request over ASGI and return the answer."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    chunks = parts if parts is not None else [raw]
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for index, chunk in enumerate(chunks):
        more = stall or index < len(chunks) - 1
        queue.put_nowait({"type": "http.request", "body": chunk, "more_body": more})
    answer = Answer()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")
        if on_sent is not None:
            on_sent(message)

    scope: dict[str, object] = {
        "type": "http", "method": method, "path": "/v1/chat/completions", "headers": list(headers),
    }  # fmt: skip
    await hot(scope, queue.get, send)
    return answer


async def test_a_plain_call(spine: Spine) -> None:
    """A reply with its length, the place, the model and the cost in headers."""
    spine.upstream.script("ca", Scripted(reply=completion("fine")))
    got = await post(surface(spine))
    assert got.status == 200
    assert got.json["choices"][0]["message"]["content"] == "fine"
    assert int(got.headers["content-length"]) == len(got.body)
    assert got.headers["x-borderpost-place"] == "CA-QC"
    assert got.headers["x-borderpost-cost"].endswith(" USD")
    assert got.headers["x-request-id"].startswith("req_ca-qc_")


async def test_a_streamed_call(spine: Spine) -> None:
    """Events as server-sent events, ``[DONE]`` last."""
    spine.upstream.script("ca", Scripted(events=stream("Hel", "lo")))
    got = await post(surface(spine), {**BODY, "stream": True})
    assert got.headers["content-type"] == "text/event-stream"
    assert got.body.endswith(b"data: [DONE]\n\n")
    assert "content-length" not in got.headers


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b'{"model": NaN}', "invalid_json"),
        (b'{"model":"\\ud800","messages":[]}', "invalid_json"),
        (b"[" * 5000, "invalid_json"),
        (b'{"messages":[{"role":"user","content":"x"}]}', "invalid_request"),
        (b'{"model":7,"messages":[{"role":"user","content":"x"}]}', "invalid_request"),
        (b'{"model":"chat"}', "invalid_request"),
        (b'{"model":"chat","messages":[]}', "invalid_request"),
        (b'{"model":"chat","messages":[{"role":"user","content":"x"}],"max_tokens":-1}', "invalid_request"),
        (b'{"model":"chat","messages":[{"role":"user","content":"x"}],"stream":"yes"}', "invalid_request"),
    ],
)
async def test_bad_bodies_are_told_what_is_wrong(spine: Spine, body: bytes, code: str) -> None:
    """Each is a 400 with its code; nothing is sent and nothing recorded as served."""
    got = await post(surface(spine), body)
    assert got.status == 400
    assert got.json["error"]["code"] == code
    assert spine.upstream.sent == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ((), 401, "invalid_api_key"),
        (((b"authorization", b"Bearer nope"),), 401, "invalid_api_key"),
        ((*HEADERS, (b"content-encoding", b"gzip")), 415, "unsupported_media_type"),
        ((HEADERS[0], (b"content-type", b"text/plain")), 415, "unsupported_media_type"),
        ((*HEADERS, (b"content-length", b"99999999")), 413, "body_too_large"),
    ],
)
async def test_wrong_headers(
    spine: Spine, headers: tuple[tuple[bytes, bytes], ...], status: int, code: str
) -> None:
    """Key, encoding, type and size are checked before the body is parsed."""
    got = await post(surface(spine), headers=headers)
    assert (got.status, got.json["error"]["code"]) == (status, code)


async def test_a_body_that_grows_past_the_limit(spine: Spine) -> None:
    """Chunked bodies are counted as they come."""
    got = await post(surface(spine), parts=[b"x" * 6000, b"x" * 6000])
    assert got.status == 413


async def test_a_body_that_never_ends(spine: Spine) -> None:
    """A slow body is a 408."""
    got = await post(surface(spine), stall=True)
    assert (got.status, got.json["error"]["code"]) == (408, "request_timeout")


async def test_other_methods(spine: Spine) -> None:
    """GET on a hot surface is a 405 in its shape."""
    got = await post(surface(spine, messages=True), method="GET")
    assert got.status == 405
    assert got.json["type"] == "error"


async def test_a_fault_of_ours_shows_no_traceback(spine: Spine) -> None:
    """A bug in a step is a 500 with a generic text, recorded once as internal, hold returned."""
    secret = "a secret of the implementation"
    spine.upstream.script("ca", Scripted(failure=ZeroDivisionError(secret)))
    got = await post(surface(spine))
    assert got.status == 500
    assert got.json["error"]["code"] == "internal"
    assert secret.encode() not in got.body
    assert [r["outcome"] for r in spine.records()] == ["internal"]
    assert spine.budgets.held == 0


async def test_the_same_idempotency_key_is_answered_once(spine: Spine) -> None:
    """The second call is a replay: one try upstream; another body with the key is refused."""
    spine.upstream.script("ca", Scripted(reply=completion("once")), Scripted(reply=completion("twice")))
    hot = surface(spine)
    headers = (*HEADERS, (b"idempotency-key", b"abc"))
    first = await post(hot, headers=headers)
    again = await post(hot, headers=headers)
    assert first.json == again.json
    assert again.headers["x-borderpost-replayed"] == "true"
    assert len(spine.upstream.sent) == 1
    other = await post(hot, {**BODY, "max_tokens": 51}, headers=headers)
    assert other.status in (400, 409, 422)
    assert len(spine.upstream.sent) == 1


async def test_a_model_name_cannot_inject_a_header(spine: Spine) -> None:
    """What an app names as model is not echoed into headers unless it is plain."""
    got = await post(surface(spine), {**BODY, "model": "chat\r\nx-evil: 1"})
    assert got.status == 404
    assert "x-evil" not in got.headers
