"""A chat request in Anthropic's words, checked against the official package's own types."""

from __future__ import annotations

import copy

import pytest
from anthropic.types import MessageCreateParams
from hypothesis import given
from pydantic import TypeAdapter

from gateway.core import translate
from gateway.core.errors import Code, Refusal
from gateway.core.translate.chat_to_messages import parse_arguments
from gateway.core.values import Dialect, Surface
from tests.golden.speech import JSON

TYPE = TypeAdapter(MessageCreateParams)
USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "d", "parameters": SCHEMA, "strict": True},
}


def say(cap: int | None = 100, *, stream: bool = False, **fields):
    body = {"model": "chat", "messages": [USER], **fields}
    before = copy.deepcopy(body)
    out = translate.request(
        body, Surface.CHAT, Dialect.MESSAGES, model="claude-x", output_cap=cap, stream=stream
    )
    assert body == before, "the input is not touched"
    if not isinstance(out, Refusal):
        TYPE.validate_python(out)
    return out


def test_a_plain_request():
    """Model, limit and text; the stream flag only where it streams."""
    assert say() == {"model": "claude-x", "max_tokens": 100, "messages": [USER]}
    assert say(stream=True)["stream"] is True
    assert say(None, max_completion_tokens=7)["max_tokens"] == 7
    assert say(None)["max_tokens"] > 0


def test_instructions_stand_apart_in_order():
    """Leading system and developer messages become `system`; a later one stays where it was."""
    out = say(
        messages=[
            {"role": "system", "content": "one"},
            {
                "role": "developer",
                "content": [{"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}],
            },
            USER,
            {"role": "system", "content": "three"},
        ]
    )
    assert out["system"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}},
    ]
    assert out["messages"] == [USER, {"role": "system", "content": "three"}]


def test_a_round_of_parallel_tools():
    """Calls become blocks with parsed input; all their results stand in one user turn, first."""
    calls = [
        {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Laval"}'}},
        {"id": "b", "type": "function", "function": {"name": "now", "arguments": ""}},
    ]
    out = say(
        tools=[TOOL],
        parallel_tool_calls=False,
        messages=[
            USER,
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "cold"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "noon"}]},
            {"role": "user", "content": "thanks"},
        ],
    )
    assert out["messages"][1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Laval"}},
        {"type": "tool_use", "id": "b", "name": "now", "input": {}},
    ]
    assert out["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "cold"},
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "noon"}]},
            {"type": "text", "text": "thanks"},
        ],
    }
    assert out["tools"] == [{"name": "weather", "description": "d", "input_schema": SCHEMA, "strict": True}]
    assert out["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choice(choice, wanted):
    """Each way of choosing has its word."""
    assert say(tools=[TOOL], tool_choice=choice)["tool_choice"] == wanted


def test_allowed_tools_narrow_the_tools():
    """A subset is said by sending the subset."""
    other = {"type": "function", "function": {"name": "other"}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "other"}}]}
    out = say(tools=[TOOL, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [tool["name"] for tool in out["tools"]] == ["other"]
    assert out["tool_choice"] == {"type": "any"}


def test_pictures_and_documents():
    """Inline and remote images, and PDFs, keep their bytes."""
    out = say(messages=[{"role": "user", "content": [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/i.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
    ]}])  # fmt: skip
    assert [block.get("source") for block in out["messages"][0]["content"]] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        {"type": "url", "url": "https://a.example/i.png"},
        {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
    ]
    assert out["messages"][0]["content"][3]["title"] == "a.pdf"


def test_sampling_reasoning_format_and_user():
    """Each option that has an equivalent is said in it; hints are left out."""
    out = say(
        temperature=0.2,
        top_p=0.9,
        stop="END",
        user="u1",
        reasoning_effort="high",
        service_tier="default",
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
        },
        seed=4,
        metadata={"a": "b"},
        prediction={"type": "content", "content": "x"},
        n=1,
        logprobs=False,
        frequency_penalty=0,
        stream_options={"include_usage": True},
        prompt_cache_key="k",
        store=False,
    )
    assert out == {
        "model": "claude-x", "max_tokens": 100, "messages": [USER], "temperature": 0.2, "top_p": 0.9,
        "stop_sequences": ["END"], "metadata": {"user_id": "u1"}, "service_tier": "standard_only",
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    }  # fmt: skip
    assert say(reasoning_effort="none")["thinking"] == {"type": "disabled"}
    assert say(thinking={"type": "enabled", "budget_tokens": 1024})["thinking"]["budget_tokens"] == 1024


def test_signed_thinking_goes_back_byte_exact():
    """Blocks that we handed out in `thinking_blocks` return first, without the index of a stream."""
    block = {"type": "thinking", "thinking": "hm", "signature": "c2ln=="}
    sealed = {"type": "redacted_thinking", "data": "x//y"}
    message = {
        "role": "assistant", "content": "ok", "reasoning_content": "hm",
        "thinking_blocks": [{"index": 0, **block}, {"index": 1, **sealed}],
    }  # fmt: skip
    assert say(messages=[USER, message, USER])["messages"][1]["content"] == [
        block,
        sealed,
        {"type": "text", "text": "ok"},
    ]


REFUSED = [
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"logit_bias": {"1": 5}}, "logit_bias"),
    ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"temperature": 1.5}, "temperature"),
    ({"verbosity": "low"}, "verbosity"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"web_search_options": {}}, "web_search_options"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"reasoning_effort": "turbo"}, "reasoning_effort"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "response_format.json_schema.schema",
    ),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
    ({"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
    ({"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}]}, "messages[1].audio"),
    ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "messages[0].function_call"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0]"),
    ({"messages": [{**USER, "name": "ann"}, {**USER, "name": "bob"}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
        "messages[0].content[0].file",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]},
        "messages[0].content[0].image_url.url",
    ),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_said_is_refused_by_name(fields, param):
    """Nothing that changes the answer is dropped in silence."""
    refusal = say(**fields)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (Code.UNSUPPORTED_FEATURE, param)


@pytest.mark.parametrize("arguments", ["{", "[1]", "3", "null", '{"a":' * 200 + "1" + "}" * 200])
def test_arguments_that_are_no_object_are_the_apps_mistake(arguments):
    """A history with half a call cannot be told to Anthropic, which takes objects."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    refusal = say(messages=[USER, {"role": "assistant", "tool_calls": [call]}])
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_REQUEST
    assert refusal.param == "messages[1].tool_calls[0].function.arguments"
    assert parse_arguments(arguments) is None


def test_empty_texts_are_left_out():
    """Anthropic refuses an empty text block; an assistant's empty turn says nothing."""
    out = say(messages=[USER, {"role": "assistant", "content": ""}, {"role": "user", "content": [
        {"type": "text", "text": ""}, {"type": "text", "text": "x"}]}])  # fmt: skip
    assert out["messages"] == [USER, {"role": "user", "content": "x"}]


def test_small_words():
    """Tier `auto`, format `text`, a cached tool, a refusal in the history: each is said."""
    cached = {"cache_control": {"type": "ephemeral"}}
    refused = {"role": "assistant", "content": None, "refusal": "not that"}
    out = say(
        service_tier="auto",
        response_format={"type": "text"},
        tools=[{**TOOL, **cached}],
        messages=[USER, refused, USER],
    )
    assert out["service_tier"] == "auto"
    assert "output_config" not in out
    assert out["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert out["messages"][1] == {"role": "assistant", "content": "not that"}


@given(JSON)
def test_no_history_breaks_the_translation(content):
    """Any content gives a request or a refusal, never a crash."""
    messages = [
        {"role": "user", "content": content, "name": content},
        {"role": "assistant", "tool_calls": content},
        {"role": "tool", "content": content},
    ]
    body = {"model": "m", "messages": messages, "tools": content, "tool_choice": content}
    out = translate.request(body, Surface.CHAT, Dialect.MESSAGES, model="x", output_cap=1, stream=False)
    assert isinstance(out, dict | Refusal)
