"""A messages request in chat's words, checked against the official package's own types."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from openai.types.chat import CompletionCreateParams
from pydantic import TypeAdapter

from gateway.core import translate
from gateway.core.errors import Code, Refusal
from gateway.core.values import Dialect, Surface
from tests.golden.speech import JSON

TYPE = TypeAdapter(CompletionCreateParams)
USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {}}
TOOL = {"name": "weather", "description": "d", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}


def say(cap: int | None = 100, *, stream: bool = False, max_field: str | None = None, **fields):
    body = {"model": "chat", "max_tokens": 50, "messages": [USER], **fields}
    before = copy.deepcopy(body)
    out = translate.request(
        body,
        Surface.MESSAGES,
        Dialect.CHAT,
        model="gpt-x",
        output_cap=cap,
        stream=stream,
        max_field=max_field,
    )
    assert body == before, "the input is not touched"
    if not isinstance(out, Refusal):
        TYPE.validate_python(out)
    return out


def turn(*blocks, role="user"):
    return {"role": role, "content": list(blocks)}


def test_a_plain_request():
    """Model, limit under the vendor's field, text; a stream always asks for usage."""
    assert say() == {"model": "gpt-x", "max_tokens": 100, "messages": [USER]}
    assert say(None)["max_tokens"] == 50
    out = say(stream=True, max_field="max_completion_tokens")
    assert out["stream_options"] == {"include_usage": True}
    assert out["max_completion_tokens"] == 100
    assert "max_tokens" not in out


def test_system_prompts():
    """Blocks of the system prompt become one text; one in the middle stays there."""
    out = say(
        system=[
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "b"},
        ],
        messages=[USER, {"role": "system", "content": "c"}],
    )
    assert out["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        USER,
        {"role": "system", "content": "c"},
    ]
    assert say(system="a")["messages"][0] == {"role": "system", "content": "a"}


def test_a_round_of_parallel_tools():
    """Blocks become calls with packed arguments, results become tool messages, the rest follows."""
    out = say(
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        messages=[
            USER,
            turn(
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Lévis"}},
                {"type": "tool_use", "id": "b", "name": "now", "input": {}},
                role="assistant",
            ),
            turn(
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "cold"}]},
                {"type": "tool_result", "tool_use_id": "b", "is_error": True},
                {"type": "text", "text": "well?"},
            ),
        ],
    )
    assert out["messages"][1:] == [
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Lévis"}'},
                },
                {"id": "b", "type": "function", "function": {"name": "now", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "cold"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "user", "content": "well?"},
    ]
    assert out["tools"] == [
        {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "description": "d"}}
    ]
    assert out["tool_choice"] == "required"
    assert out["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_tool_choice(choice, wanted):
    """Each way of choosing has its word."""
    assert say(tools=[TOOL], tool_choice=choice)["tool_choice"] == wanted


def test_pictures_and_documents():
    """Images and PDFs keep their bytes; documents of text become text under their title."""
    out = say(
        messages=[
            turn(
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://a.example/i.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"},
                },
                {
                    "type": "document",
                    "title": "T",
                    "source": {"type": "text", "media_type": "text/plain", "data": "words"},
                },
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "inner"}]},
                },
                {"type": "document", "source": {"type": "content", "content": "flat"}},
            )
        ]
    )
    assert out["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/i.png"}},
        {
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,BBBB"},
        },
        {"type": "text", "text": "T"},
        {"type": "text", "text": "words"},
        {"type": "text", "text": "inner"},
        {"type": "text", "text": "flat"},
    ]


def test_options():
    """Stops, user, tier, format and effort are said; hints are left out, unknown fields pass."""
    out = say(
        stop_sequences=["END"],
        metadata={"user_id": "u1"},
        service_tier="standard_only",
        temperature=0.1,
        top_k=5,
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        cache_control={"type": "ephemeral"},
        speed="standard",
    )
    assert out == {
        "model": "gpt-x", "max_tokens": 100, "messages": [USER], "stop": ["END"], "user": "u1",
        "service_tier": "default", "temperature": 0.1, "top_k": 5, "reasoning_effort": "low",
        "response_format": {"type": "json_schema",
                            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, "low"),
        ({"type": "enabled", "budget_tokens": 8_000}, "medium"),
        ({"type": "enabled", "budget_tokens": 32_000}, "high"),
        ({"type": "adaptive"}, None),
        ({"type": "disabled"}, None),
    ],
)
def test_thinking_budgets_become_efforts(thinking, effort):
    """A budget is said as the nearest effort; adaptive thinking leaves it to the model."""
    assert say(thinking=thinking).get("reasoning_effort") == effort


def test_thinking_of_another_vendor():
    """Signed thinking is left out of finished turns and refused inside a tool loop; unsigned returns."""
    signed = {"type": "thinking", "thinking": "a", "signature": "c2ln"}
    unsigned = {"type": "thinking", "thinking": "b", "signature": ""}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = turn({"type": "tool_result", "tool_use_id": "t", "content": "x"})
    done = say(
        messages=[USER, turn(signed, call, role="assistant"), result, turn({"type": "text", "text": "?"})]
    )
    assert "reasoning_content" not in done["messages"][1]
    loop = say(messages=[USER, turn(signed, call, role="assistant"), result])
    assert isinstance(loop, Refusal)
    assert loop.param == "messages[1].content[0]"
    own = say(messages=[USER, turn(unsigned, call, role="assistant"), result])
    assert own["messages"][1]["reasoning_content"] == "b"


REFUSED = [
    ({"container": "c"}, "container"),
    ({"mcp_servers": [{}]}, "mcp_servers"),
    ({"inference_geo": "us"}, "inference_geo"),
    ({"speed": "fast"}, "speed"),
    ({"context_management": {"edits": []}}, "context_management"),
    ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format"),
    ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools[0]"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
    ({"tools": [TOOL], "tool_choice": {"type": "new"}}, "tool_choice"),
    ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role"),
    ({"messages": [turn({"type": "search_result"})]}, "messages[0].content[0]"),
    ({"messages": [turn({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
     "messages[0].content[0].source"),
    ({"messages": [turn({"type": "document", "source": {"type": "url", "url": "https://a.example"}})]},
     "messages[0].content[0].source"),
    ({"messages": [turn({"type": "document", "citations": {"enabled": True}, "source": {"type": "text"}})]},
     "messages[0].content[0].citations"),
    ({"messages": [turn({"type": "tool_result", "tool_use_id": "t", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]})]},
     "messages[0].content[0].content[0]"),
    ({"messages": [turn({"type": "server_tool_use"}, role="assistant")]}, "messages[0].content[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_said_is_refused_by_name(fields, param):
    """Nothing that changes the answer is dropped in silence."""
    refusal = say(**fields)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (Code.UNSUPPORTED_FEATURE, param)


def test_there_and_back():
    """A chat conversation with tools, told to Anthropic and back, is the same conversation."""
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"n":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "cold"},
        {"role": "assistant", "content": "It is cold."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]
    function = {"name": "weather", "parameters": SCHEMA, "description": "d", "strict": True}
    chat = {
        "model": "m", "messages": messages, "tools": [{"type": "function", "function": function}],
        "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 9, "stop": ["x"], "user": "u",
        "temperature": 0.5, "reasoning_effort": "high",
    }  # fmt: skip
    there = translate.request(chat, Surface.CHAT, Dialect.MESSAGES, model="m", output_cap=9, stream=False)
    assert not isinstance(there, Refusal)
    back = translate.request(there, Surface.MESSAGES, Dialect.CHAT, model="m", output_cap=9, stream=False)
    assert back == chat


def test_tools_without_a_choice():
    """The choice is the model's where the app leaves it."""
    assert "tool_choice" not in say(tools=[TOOL])


@given(JSON)
def test_no_history_breaks_the_translation(content):
    """Any content gives a request or a refusal, never a crash."""
    messages = [{"role": role, "content": content} for role in ("user", "assistant", "system")]
    body = {"model": "m", "messages": messages, "system": content, "tools": content, "tool_choice": content}
    out = translate.request(body, Surface.MESSAGES, Dialect.CHAT, model="x", output_cap=1, stream=False)
    assert isinstance(out, dict | Refusal)
