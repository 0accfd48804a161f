"""The official packages' own stream helpers, fed with our events over no network at all."""

from __future__ import annotations

import json

import anthropic
import httpx
import httpx2
import openai
import pytest

from gateway.core import translate
from gateway.core.errors import Code, Refusal
from gateway.core.values import Dialect, Surface, Usage
from tests.golden import speech as lib

SPEECH = lib.Speech(
    (
        lib.Part("thinking", ("h", "m")),
        lib.Part("text", ("It is ", "cold.")),
        lib.Part("call", ('{"city"', ':"Laval"}'), "call_1", "weather"),
        lib.Part("call", ("{}",), "call_2", "now"),
    ),
    finish="tool_calls",
)
STREAMS = {
    Dialect.CHAT: lib.chat_stream,
    Dialect.MESSAGES: lib.messages_stream,
    Dialect.RESPONSES: lib.responses_stream,
}
WHY = Refusal(code=Code.UPSTREAM_TIMEOUT, message="the model took too long")
MAKERS = {
    openai.OpenAI: ("https://gateway.test/v1", httpx),
    anthropic.Anthropic: ("https://gateway.test", httpx2),
}


def wire(events):
    """Events as bytes, as an edge writes them."""
    out = b""
    for event in events:
        if event.raw is not None:
            out += event.raw
        else:
            head = f"event: {event.name}\n" if event.name else ""
            out += f"{head}data: {json.dumps(event.data)}\n\n".encode()
    return out


def client(maker, events):
    """An official client whose transport answers with these events."""
    url, http = MAKERS[maker]
    reply = http.Response(200, headers={"content-type": "text/event-stream"}, content=wire(events))
    session = http.Client(transport=http.MockTransport(lambda _: reply))
    return maker(api_key="unused", base_url=url, http_client=session, max_retries=0)


def told(surface, dialect, *, until=None, ending=None):
    """The events of the speech, whole or up to a point with an ending."""
    fold = translate.stream_fold(dialect, surface, asked_model="chat", app_wants_usage=True)
    events = [out for event in STREAMS[dialect](SPEECH)[:until] for out in fold.step(event)]
    if ending is None:
        return events + fold.end()
    return events + ending(fold)


def cut(fold):
    return fold.cut("budget", usage=Usage(input=1, output=2))


def fail(fold):
    return fold.fail(WHY)


@pytest.mark.parametrize("dialect", [Dialect.CHAT, Dialect.MESSAGES])
def test_the_openai_chat_helper(dialect):
    """`chat.completions.stream` gives text, calls and usage; a failure raises its APIError."""
    ask = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
    with client(openai.OpenAI, told(Surface.CHAT, dialect)).chat.completions.stream(**ask) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    assert message.content == "It is cold."
    assert [call.function.arguments for call in message.tool_calls] == ['{"city":"Laval"}', "{}"]
    assert final.usage.completion_tokens == 7
    with (
        client(openai.OpenAI, told(Surface.CHAT, dialect, until=5, ending=fail)).chat.completions.stream(
            **ask
        ) as stream,
        pytest.raises(openai.APIError, match="too long"),
    ):
        stream.until_done()
    with client(openai.OpenAI, told(Surface.CHAT, dialect, until=8, ending=cut)).chat.completions.create(
        stream=True, **ask
    ) as raw:
        assert [c.choices[0].finish_reason for c in raw if c.choices][-1] == "length"


@pytest.mark.parametrize("dialect", [Dialect.MESSAGES, Dialect.CHAT])
def test_the_anthropic_helper(dialect):
    """`messages.stream` gives blocks and usage; a failure raises its APIStatusError."""
    ask = {"model": "chat", "max_tokens": 99, "messages": [{"role": "user", "content": "hi"}]}
    with client(anthropic.Anthropic, told(Surface.MESSAGES, dialect)).messages.stream(**ask) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert final.content[2].input == {"city": "Laval"}
    assert final.stop_reason == "tool_use"
    assert final.usage.output_tokens == 7
    with (
        client(anthropic.Anthropic, told(Surface.MESSAGES, dialect, until=6, ending=fail)).messages.stream(
            **ask
        ) as stream,
        pytest.raises(anthropic.APIError, match="too long"),
    ):
        stream.get_final_message()
    with client(anthropic.Anthropic, told(Surface.MESSAGES, dialect, until=6, ending=cut)).messages.stream(
        **ask
    ) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


@pytest.mark.parametrize("dialect", [Dialect.RESPONSES, Dialect.CHAT, Dialect.MESSAGES])
def test_the_openai_responses_helper(dialect):
    """`responses.stream` gives items and usage; a cut ends as incomplete, a failure as failed."""
    ask = {"model": "chat", "input": "hi"}
    with client(openai.OpenAI, told(Surface.RESPONSES, dialect)).responses.stream(**ask) as stream:
        final = stream.get_final_response()
    assert final.output_text == "It is cold."
    assert [item.name for item in final.output if item.type == "function_call"] == ["weather", "now"]
    assert final.usage.output_tokens == 7
    for ending, kind in ((cut, "response.incomplete"), (fail, "response.failed")):
        events = told(Surface.RESPONSES, dialect, until=7, ending=ending)
        with client(openai.OpenAI, events).responses.create(stream=True, **ask) as raw:
            assert [event.type for event in raw][-1] == kind
