"""A responses request in chat's words, checked against the official package's own types."""

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
TOOL = {"type": "function", "name": "weather", "description": "d", "parameters": SCHEMA, "strict": True}


def say(cap: int | None = 100, *, stream: bool = False, dialect: Dialect = Dialect.CHAT, **fields):
    body = {"model": "chat", "input": "hi", **fields}
    before = copy.deepcopy(body)
    out = translate.request(body, Surface.RESPONSES, dialect, model="gpt-x", output_cap=cap, stream=stream)
    assert body == before, "the input is not touched"
    if not isinstance(out, Refusal) and dialect is Dialect.CHAT:
        TYPE.validate_python(out)
    return out


def test_a_plain_request():
    """Instructions and input become messages; nothing is stored; hints are left out."""
    out = say(
        instructions="be brief", store=True, metadata={"a": "b"}, include=["reasoning.encrypted_content"]
    )
    assert out == {
        "model": "gpt-x",
        "max_tokens": 100,
        "messages": [{"role": "system", "content": "be brief"}, USER],
    }
    assert say(stream=True)["stream_options"] == {"include_usage": True}
    assert say(None, max_output_tokens=5)["max_tokens"] == 5


def test_a_round_of_parallel_tools():
    """Calls join the assistant's turn they belong to; outputs become tool messages."""
    out = say(
        tools=[TOOL],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=True,
        input=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {
                "type": "reasoning",
                "id": "r",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "hm"}],
            },
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "see"}]},
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "b", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "cold"},
            {
                "type": "function_call_output",
                "call_id": "b",
                "output": [{"type": "input_text", "text": "warm"}],
            },
            {"role": "developer", "content": "stop"},
        ],
    )
    call = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
    assert out["messages"] == [
        USER,
        {
            "role": "assistant",
            "content": "see",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "a", **call}, {"id": "b", **call}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "cold"},
        {"role": "tool", "tool_call_id": "b", "content": "warm"},
        {"role": "system", "content": "stop"},
    ]
    function = {"name": "weather", "description": "d", "parameters": SCHEMA, "strict": True}
    assert out["tools"] == [{"type": "function", "function": function}]
    assert out["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert out["parallel_tool_calls"] is True


def test_options():
    """Format, verbosity, effort and sampling have their fields."""
    out = say(
        text={
            "format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True},
            "verbosity": "low",
        },
        reasoning={"effort": "medium", "summary": "auto"},
        temperature=0.3,
    )
    assert out["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
    }
    assert (out["verbosity"], out["reasoning_effort"], out["temperature"]) == ("low", "medium", 0.3)
    assert say(text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in say(text={"format": {"type": "text"}})


def test_parts():
    """Images and files keep their bytes."""
    out = say(input=[{"role": "user", "content": [
        {"type": "input_text", "text": "x"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB"},
    ]}])  # fmt: skip
    assert out["messages"][0]["content"] == [
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BB"}},
    ]


def test_allowed_tools_narrow_the_tools():
    """A subset is said by sending the subset."""
    other = {**TOOL, "name": "other"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]}
    out = say(tools=[TOOL, other], tool_choice=choice)
    assert [tool["function"]["name"] for tool in out["tools"]] == ["other"]
    assert out["tool_choice"] == "required"


def test_on_to_anthropic():
    """Through the hub: the same request for a messages upstream."""
    out = say(dialect=Dialect.MESSAGES, instructions="be brief", tools=[TOOL], reasoning={"effort": "low"})
    assert out["system"] == "be brief"
    assert out["messages"] == [USER]
    assert out["tools"][0]["input_schema"] == SCHEMA
    assert out["output_config"] == {"effort": "low"}
    assert out["max_tokens"] == 100


def test_sealed_reasoning():
    """Sealed by another vendor: left out of finished turns, refused inside a tool loop."""
    sealed = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAA"}
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "a", "output": "x"}
    assert len(say(input=[USER, sealed, call, result, USER])["messages"]) == 4
    loop = say(input=[USER, sealed, call, result])
    assert isinstance(loop, Refusal)
    assert loop.param == "input[1].encrypted_content"


REFUSED = [
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"truncation": "auto"}, "truncation"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"include": ["file_search_call.results"]}, "include[0]"),
    ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0]"),
    ({"tools": [TOOL], "tool_choice": {"type": "mcp"}}, "tool_choice"),
    ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
    ({"input": [{"type": "computer_call_output"}]}, "input[0]"),
    ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input[0].content[0]",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        "input[0].content[0]",
    ),
    (
        {
            "input": [
                {
                    "type": "function_call_output",
                    "call_id": "a",
                    "output": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}],
                }
            ]
        },
        "input[0].output[0]",
    ),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
@pytest.mark.parametrize("dialect", [Dialect.CHAT, Dialect.MESSAGES])
def test_what_cannot_be_said_is_refused_by_name(fields, param, dialect):
    """Nothing that changes the answer is dropped in silence."""
    refusal = say(dialect=dialect, **fields)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.param) == (Code.UNSUPPORTED_FEATURE, param)


def test_small_words():
    """A plain choice, a refusal in the history, an assistant's several parts."""
    parts = [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]
    out = say(tools=[TOOL], tool_choice="required", input=[USER, {"role": "assistant", "content": parts}])
    assert out["tool_choice"] == "required"
    assert out["messages"][1] == {"role": "assistant", "content": "ab"}


@given(JSON)
def test_no_history_breaks_the_translation(content):
    """Any content gives a request or a refusal, never a crash."""
    items = [{"role": role, "content": content} for role in ("user", "assistant", "developer")]
    items += [{"type": "function_call_output", "output": content}, {"type": "reasoning", "content": content}]
    body = {"model": "m", "input": items, "tools": content, "tool_choice": content, "text": content}
    out = translate.request(body, Surface.RESPONSES, Dialect.CHAT, model="x", output_cap=1, stream=False)
    assert isinstance(out, dict | Refusal)
