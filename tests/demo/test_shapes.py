"""The demo model's reply shapes, held against the official SDKs' own types."""

from __future__ import annotations

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses
import pytest
from pydantic import TypeAdapter

from gateway.demo import shapes

TOOL = shapes.ToolUse(name="weather", arguments='{"city": "Québec"}')
BASE = shapes.Answer(
    id="x1", model="m", created=1, pieces=("one ", "two"), tokens=shapes.Tokens(input=9, output=4, cached=2)
)
ANSWERS = [
    BASE,
    shapes.Answer(id="x", model="m", created=1, tools=(TOOL,), tokens=shapes.Tokens(input=1, output=1)),
    shapes.Answer(
        id="x", model="m", created=1, pieces=("a",), tools=(TOOL, TOOL), reasoning="hm",
        tokens=shapes.Tokens(input=1, output=3, reasoning=1),
    ),
    shapes.Answer(id="x", model="m", created=1, pieces=("no",), finish="refusal"),
    shapes.Answer(id="x", model="m", created=1, pieces=("cut",), finish="length", choices=2),
    shapes.Answer(id="x", model="m", created=1, pieces=("cut",), finish="content_filter"),
]  # fmt: skip
MESSAGE_EVENT: TypeAdapter[object] = TypeAdapter(anthropic.types.RawMessageStreamEvent)
RESPONSE_EVENT: TypeAdapter[object] = TypeAdapter(openai.types.responses.ResponseStreamEvent)


@pytest.mark.parametrize("answer", ANSWERS)
def test_chat(answer):
    """Plain and streamed chat are OpenAI's."""
    whole = openai.types.chat.ChatCompletion.model_validate(shapes.chat_body(answer), strict=False)
    chunks = [
        openai.types.chat.ChatCompletionChunk.model_validate(data)
        for _, data in shapes.chat_events(answer, include_usage=True)
        if data is not None
    ]
    said = "".join(
        choice.delta.content or choice.delta.refusal or ""
        for chunk in chunks
        for choice in chunk.choices
        if choice.index == 0
    )
    assert said == answer.text
    assert len(whole.choices) == answer.choices
    arguments = "".join(
        call.function.arguments or ""
        for chunk in chunks
        for choice in chunk.choices
        for call in choice.delta.tool_calls or []
        if choice.index == 0 and call.function
    )
    assert arguments == "".join(tool.arguments for tool in answer.tools)


@pytest.mark.parametrize("answer", ANSWERS)
def test_messages(answer):
    """Plain and streamed messages are Anthropic's."""
    if answer.tokens:  # the SDK's type demands usage
        assert anthropic.types.Message.model_validate(shapes.messages_body(answer))
        events = [MESSAGE_EVENT.validate_python(d) for n, d in shapes.messages_events(answer) if n != "ping"]
        assert events
    names = [name for name, _ in shapes.messages_events(answer)]
    assert names[0] == "message_start"
    assert names[-1] == "message_stop"
    assert names.count("content_block_start") == names.count("content_block_stop")


@pytest.mark.parametrize("answer", ANSWERS)
def test_responses(answer):
    """Plain and streamed responses are OpenAI's, numbered without a gap."""
    assert openai.types.responses.Response.model_validate(shapes.responses_body(answer))
    events = list(shapes.responses_events(answer))
    for _, data in events:
        RESPONSE_EVENT.validate_python(data)
    assert [data["sequence_number"] for _, data in events if data] == list(range(len(events)))


def test_usage_in_both_conventions():
    """Cached tokens are inside OpenAI's input and beside Anthropic's."""
    assert shapes.chat_usage(BASE)["prompt_tokens"] == 9
    assert shapes.messages_usage(BASE)["input_tokens"] == 7
    assert shapes.messages_usage(BASE)["cache_read_input_tokens"] == 2
    assert shapes.responses_usage(BASE)["total_tokens"] == 13


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_embeddings(encoding):
    """The reply is OpenAI's, and a text always has the same vector."""
    vectors = [shapes.embed("one"), shapes.embed("two")]
    body = shapes.embeddings_body("m", vectors, shapes.Tokens(input=2, output=0), encoding=encoding)
    assert isinstance(body["data"][0]["embedding"], str) == (encoding == "base64")
    if encoding != "base64":
        assert openai.types.CreateEmbeddingResponse.model_validate(body).data[0].embedding == vectors[0]
    assert shapes.embed("one") == vectors[0] != vectors[1]


def test_encode():
    """Events as they stand on the wire."""
    assert shapes.encode((None, None)) == b"data: [DONE]\n\n"
    assert shapes.encode(("ping", {"a": 1})) == b'event: ping\ndata: {"a":1}\n\n'
