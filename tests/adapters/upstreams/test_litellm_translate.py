"""Bedrock and Gemini through litellm, over sockets, against golden replies from the vendors' docs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

import openai.types.chat
import orjson
import pytest
import pytest_asyncio

from gateway.adapters.guard import EgressRefused
from gateway.adapters.transport import Transport
from gateway.adapters.upstreams import Upstreams
from gateway.adapters.upstreams.litellm_process import Process
from gateway.adapters.upstreams.litellm_translate import LitellmUpstream
from gateway.adapters.upstreams.secrets import Secrets
from gateway.core.errors import Code, UpstreamFailed
from gateway.core.meter import Meter
from gateway.core.snapshot import Connection
from gateway.core.values import Dialect, Event, Surface
from tests.fakes.attempts import attempt, connection
from tests.fakes.says import event_frame
from tests.fakes.vendor import FakeVendor, Script

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ACCESS, SECRET = "AK" + "IA" + "EXAMPLEEXAMPLE12", "made-up/" + "secret+" * 4
AWS = orjson.dumps({"access_key": ACCESS, "secret_key": SECRET, "session_token": "tok"}).decode()
GOOGLE = "AI" + "za" + "-made-up-key"
MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": PARAMETERS}}]
TURNS: list[object] = [{"role": "system", "content": "Soyez bref."}, {"role": "user", "content": "Météo?"}]
CHAT: dict[str, object] = {"model": "chat", "messages": TURNS}


@dataclass
class Line:
    """A way to one fake vendor that speaks both."""

    vendor: FakeVendor
    upstream: Upstreams

    @property
    def bedrock(self) -> Connection:
        options = {"aws_region": "ca-central-1"}
        return connection(self.vendor.origin, api="bedrock", model=MODEL, secret="env:AWS", options=options)

    @property
    def gemini(self) -> Connection:
        return connection(self.vendor.origin, api="gemini", model="gemini-2.5-flash", secret="env:GOOGLE")

    async def body(self, to: Connection, body=CHAT, **how) -> dict:
        async with self.upstream.open(attempt(to, body, **how)) as exchange:
            assert exchange.dialect is Dialect.CHAT
            return await exchange.body()

    async def events(self, to: Connection, body=CHAT, **how) -> list[Event]:
        async with self.upstream.open(attempt(to, {**body, "stream": True}, **how)) as exchange:
            return [event async for event in exchange.events()]

    async def failure(self, to: Connection, body=CHAT, *, stream=False, **how) -> UpstreamFailed:
        with pytest.raises(UpstreamFailed) as failed:
            await (self.events(to, body, **how) if stream else self.body(to, body, **how))
        return failed.value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Line]:
    """One translator process for the whole module: starting it takes seconds."""
    transport = Transport()
    upstream = Upstreams(transport, Secrets({"AWS": AWS, "GOOGLE": GOOGLE}))
    upstream._litellm = LitellmUpstream(transport, Process(answer_timeout_s=30))
    with FakeVendor("any") as vendor:
        yield Line(vendor, upstream)
    await upstream.close()
    await transport.close()


@pytest.fixture
def line(running):
    running.vendor.forget()
    running.vendor.default = Script()
    return running


def usage(body: dict | None = None, events: list[Event] = ()) -> tuple[int, int, int, int] | None:
    meter = Meter(Dialect.CHAT)
    if body is not None:
        meter.see_body(body)
    for event in events:
        meter.see(event)
    seen = meter.usage
    return seen and (seen.input, seen.cache_read, seen.output, seen.reasoning)


def text(events: list[Event]) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if event.data
        for choice in event.data["choices"]
    )


def finishes(events: list[Event]) -> list[str]:
    every = [c.get("finish_reason") for e in events if e.data for c in e.data["choices"]]
    return [finish for finish in every if finish]


# ---------------------------------------------------------------------- Bedrock

CONVERSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "Je regarde."},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Québec"}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {
        "inputTokens": 30,
        "outputTokens": 28,
        "totalTokens": 168,
        "cacheReadInputTokens": 100,
        "cacheWriteInputTokens": 10,
    },
    "metrics": {"latencyMs": 1551},
}


async def test_bedrock_request(line):
    """Converse's shape, the cleared limit, and a signature over the bytes that arrived."""
    await line.body(
        line.bedrock, {**CHAT, "tools": TOOLS, "temperature": 0.5, "stop": ["fin"]}, output_cap=77
    )
    (seen,) = line.vendor.seen
    assert seen.path == f"/model/{quote(MODEL, safe='')}/converse"
    assert seen.json["system"] == [{"text": "Soyez bref."}]
    assert seen.json["messages"] == [{"role": "user", "content": [{"text": "Météo?"}]}]
    assert seen.json["inferenceConfig"] == {"maxTokens": 77, "temperature": 0.5, "stopSequences": ["fin"]}
    assert seen.json["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": PARAMETERS}
    assert seen.headers["x-amz-security-token"] == "tok"
    assert seen.headers["authorization"] == _signature(seen)
    assert SECRET.encode() not in line.vendor.raw


def _signature(seen) -> str:
    """AWS's Signature Version 4, worked out by hand over what the vendor received."""
    day = seen.headers["x-amz-date"][:8]
    names = sorted({"content-type", "host", "x-amz-date", "x-amz-security-token"})
    path = quote(seen.path, safe="/~")
    canonical = "\n".join(
        [
            "POST", path, "", *(f"{name}:{seen.headers[name]}" for name in names), "",
            ";".join(names), hashlib.sha256(seen.body).hexdigest(),
        ]
    )  # fmt: skip
    scope = f"{day}/ca-central-1/bedrock/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{seen.headers['x-amz-date']}\n{scope}\n{hashed}"
    key = b"AWS4" + SECRET.encode()
    for part in (day, "ca-central-1", "bedrock", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return (
        f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={';'.join(names)}, Signature={signed}"
    )


async def test_bedrock_reply(line):
    """Text, tool call, finish reason and every token bucket."""
    line.vendor.script(Script(body=orjson.dumps(CONVERSE)))
    body = await line.body(line.bedrock, {**CHAT, "tools": TOOLS})
    whole = openai.types.chat.ChatCompletion.model_validate(body)
    (choice,) = whole.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Je regarde."
    (call,) = choice.message.tool_calls
    assert (call.id, call.function.name) == ("tooluse_1", "weather")
    assert orjson.loads(call.function.arguments) == {"city": "Québec"}
    meter = Meter(Dialect.CHAT)
    meter.see_body(body)
    assert meter.usage is not None
    assert (meter.usage.total_input, meter.usage.cache_read, meter.usage.output) == (140, 100, 28)


async def test_bedrock_stream(line):
    """The same call streamed: chunks that OpenAI's SDK accepts, in whatever packets."""
    for split in (None, 1, 50):
        script = Script(text="Je regarde.", tools=(("weather", '{"city": "Québec"}'),), split=split)
        line.vendor.script(script)
        events = await line.events(line.bedrock, {**CHAT, "tools": TOOLS})
        assert events[-1].data is None
        chunks = [openai.types.chat.ChatCompletionChunk.model_validate(e.data) for e in events[:-1]]
        calls = [c for chunk in chunks for ch in chunk.choices for c in ch.delta.tool_calls or []]
        assert text(events) == "Je regarde."
        assert "".join(call.function.arguments or "" for call in calls) == '{"city": "Québec"}'
        assert [call.id for call in calls if call.id] == ["call_1"]
        assert finishes(events) == ["tool_calls"]
        assert usage(events=events) is not None
        assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("something_new", None),
    ],
)
async def test_bedrock_finish_reasons(line, reason, finish):
    """Each keeps its meaning; one that is not known fails rather than reads as a stop."""
    message = {"role": "assistant", "content": [{"text": "oui"}]}
    reply = {**CONVERSE, "output": {"message": message}, "stopReason": reason}
    frames = [
        event_frame("messageStart", {"role": "assistant"}),
        event_frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "oui"}}),
        event_frame("contentBlockStop", {"contentBlockIndex": 0}),
        event_frame("messageStop", {"stopReason": reason}),
        event_frame("metadata", {"usage": CONVERSE["usage"], "metrics": {"latencyMs": 1}}),
    ]
    plain = Script(body=orjson.dumps(reply))
    streamed = Script(body=b"".join(frames), content_type="application/vnd.amazon.eventstream")
    line.vendor.script(plain, streamed)
    if finish is None:
        for stream in (False, True):
            failed = await line.failure(line.bedrock, stream=stream)
            assert failed.refusal.code is Code.UPSTREAM_GARBLED
        return
    assert (await line.body(line.bedrock))["choices"][0]["finish_reason"] == finish
    assert finishes(await line.events(line.bedrock)) == [finish]


async def test_bedrock_usage_that_did_not_come(line):
    """No zeros are made up."""
    reply = {key: value for key, value in CONVERSE.items() if key != "usage"}
    line.vendor.script(Script(body=orjson.dumps(reply)))
    body = await line.body(line.bedrock)
    assert body["choices"][0]["message"]["content"] == "Je regarde."
    assert usage(body) is None


async def test_bedrock_error_status(line):
    """AWS's type and message, scrubbed; throttling may be tried elsewhere."""
    named = (("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/"),)
    said = b'{"message":"Too many requests for arn:aws:bedrock:ca-central-1:123456789012:x"}'
    line.vendor.script(Script(status=429, body=said, headers=named))
    failed = await line.failure(line.bedrock)
    assert failed.refusal.vendor == {
        "type": "ThrottlingException",
        "message": "Too many requests for [resource]",
    }
    assert (failed.retryable, failed.sent) == (True, False)


async def test_bedrock_error_in_the_stream(line):
    """An exception frame is the failure that it is, not an end."""
    frames = [
        event_frame("messageStart", {"role": "assistant"}),
        event_frame("modelStreamErrorException", {"message": "boom"}, message="exception"),
    ]
    kind = "application/vnd.amazon.eventstream"
    line.vendor.script(Script(body=b"".join(frames), content_type=kind))
    failed = await line.failure(line.bedrock, stream=True)
    assert failed.refusal.vendor == {"type": "modelStreamErrorException", "message": "boom"}


@pytest.mark.parametrize(
    "script",
    [
        Script(body=b"<html>", content_type="text/html"),
        Script(body=b'{"unexpected":1}'),
        Script(body=b"{"),
        Script(close_at=3),
        Script(body=b"\x00\x00\x00\x10garbage" * 9, content_type="application/vnd.amazon.eventstream"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_bedrock_garbage(line, script, stream):
    """Garbled, and the translator goes on for the next call."""
    if script.close_at and not stream:
        return
    line.vendor.script(script)
    assert (await line.failure(line.bedrock, stream=stream)).refusal.code is Code.UPSTREAM_GARBLED
    assert await line.body(line.bedrock)


# ----------------------------------------------------------------------- Gemini

GENERATED = {
    "candidates": [
        {
            "content": {
                "parts": [
                    {"text": "Je regarde."},
                    {"functionCall": {"name": "weather", "args": {"city": "Québec"}}},
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 140,
        "cachedContentTokenCount": 100,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 8,
        "totalTokenCount": 168,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r1",
}


async def test_gemini_request(line):
    """Generate content's shape, the cleared limit, the key in its header and not in the URL."""
    await line.body(line.gemini, {**CHAT, "tools": TOOLS, "temperature": 0.5}, output_cap=77)
    (seen,) = line.vendor.seen
    assert seen.path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert seen.json["contents"] == [{"role": "user", "parts": [{"text": "Météo?"}]}]
    assert seen.json["system_instruction"] == {"parts": [{"text": "Soyez bref."}]}
    assert seen.json["generationConfig"] == {"temperature": 0.5, "max_output_tokens": 77}
    assert seen.json["tools"][0]["function_declarations"][0]["name"] == "weather"
    assert seen.headers["x-goog-api-key"] == GOOGLE


async def test_gemini_reply(line):
    """Text, tool call, finish reason, cached and thinking tokens."""
    line.vendor.script(Script(body=orjson.dumps(GENERATED)))
    body = await line.body(line.gemini, {**CHAT, "tools": TOOLS})
    (choice,) = openai.types.chat.ChatCompletion.model_validate(body).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Je regarde."
    assert orjson.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Québec"}
    assert usage(body) == (40, 100, 28, 8)


async def test_gemini_stream(line):
    """The same call streamed; no chunk but the last says an end."""
    for split in (None, 3):
        line.vendor.script(Script(text="Je regarde.", tools=(("weather", '{"city":"Québec"}'),), split=split))
        events = await line.events(line.gemini, {**CHAT, "tools": TOOLS})
        chunks = [openai.types.chat.ChatCompletionChunk.model_validate(e.data) for e in events[:-1]]
        assert text(events) == "Je regarde."
        assert finishes(events) == ["tool_calls"]
        assert [ch.delta.role for chunk in chunks for ch in chunk.choices if ch.delta.role] == ["assistant"]
        assert usage(events=events) is not None
    assert line.vendor.seen[0].path.endswith(":streamGenerateContent?alt=sse")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", None),
        ("NEW", None),
    ],
)
async def test_gemini_finish_reasons(line, reason, finish):
    """A malformed call is no stop."""
    candidate = {"content": {"parts": [{"text": "oui"}], "role": "model"}, "finishReason": reason, "index": 0}
    reply = orjson.dumps({**GENERATED, "candidates": [candidate]})
    streamed = Script(body=b"data: " + reply + b"\r\n\r\n", content_type="text/event-stream")
    line.vendor.script(Script(body=reply), streamed)
    if finish is None:
        for stream in (False, True):
            assert (await line.failure(line.gemini, stream=stream)).refusal.code is Code.UPSTREAM_GARBLED
        return
    assert (await line.body(line.gemini))["choices"][0]["finish_reason"] == finish
    assert finishes(await line.events(line.gemini)) == [finish]


async def test_gemini_blocked_prompt(line):
    """No candidate came: a content filter's finish, as chat says it."""
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
    }
    reply = orjson.dumps({**blocked, "modelVersion": "gemini-2.5-flash"})
    streamed = Script(body=b"data: " + reply + b"\n\n", content_type="text/event-stream")
    line.vendor.script(Script(body=reply), streamed)
    assert (await line.body(line.gemini))["choices"][0]["finish_reason"] == "content_filter"
    assert finishes(await line.events(line.gemini)) == ["content_filter"]


async def test_gemini_error_in_the_stream(line):
    """Gemini may say an error inside a 200."""
    said = {"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}
    line.vendor.script(
        Script(body=b"data: " + orjson.dumps(said) + b"\n\n", content_type="text/event-stream")
    )
    failed = await line.failure(line.gemini, stream=True)
    assert failed.refusal.vendor == {"type": "RESOURCE_EXHAUSTED", "message": "Resource exhausted"}


async def test_truncated_streams(line):
    """No finish reason, no end."""
    for to in (line.bedrock, line.gemini):
        line.vendor.script(Script(text="un deux trois quatre", close_at=2))
        failed = await line.failure(to, stream=True)
        assert failed.refusal.code is Code.UPSTREAM_GARBLED
        assert (failed.retryable, failed.sent) == (False, True)


# --------------------------------------------------------------------- both


async def test_other_surfaces_come_by_way_of_chat(line):
    """An app on messages reaches Bedrock, one on responses Gemini."""
    messages = {"model": "chat", "max_tokens": 9, "messages": [{"role": "user", "content": "allô"}]}
    assert await line.body(line.bedrock, messages, surface=Surface.MESSAGES)
    assert await line.body(line.gemini, {"model": "chat", "input": "allô"}, surface=Surface.RESPONSES)
    assert [seen.text for seen in line.vendor.seen] == ["allô", "allô"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"unheard_of": True}, "unheard_of"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a"}}]}
                ]
            },
            "messages",
        ),
    ],
)
async def test_what_cannot_be_said_is_refused(line, more, param):
    """By name, before a byte leaves."""
    for to in (line.bedrock, line.gemini):
        failed = await line.failure(to, {**CHAT, **more})
        assert (failed.refusal.code, failed.refusal.param) == (Code.UNSUPPORTED_FEATURE, param)
        assert (failed.retryable, failed.sent) == (True, False)
    assert line.vendor.seen == []


async def test_a_translator_that_dies_costs_one_try(line):
    """The next call has another."""
    process = line.upstream._litellm._process
    await line.body(line.bedrock)
    process._process.kill()
    await process._process.wait()
    assert await line.body(line.bedrock)
    assert process.generation >= 2


async def test_no_clearance_no_egress(line):
    """The guard stands before the translator as before any other."""
    with pytest.raises(EgressRefused):
        line.upstream.open(attempt(line.bedrock, CHAT, permitted=("elsewhere",)))
