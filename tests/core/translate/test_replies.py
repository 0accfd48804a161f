"""Plain replies across dialects, read with the official packages' own types."""

from __future__ import annotations

import copy

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from gateway.core import translate
from gateway.core.errors import Code, Refusal
from gateway.core.values import Dialect, Surface

MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "x//y"},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "cold."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Lévis"}},
    ],
    "stop_reason": "tool_use", "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 6,
              "output_tokens": 20, "output_tokens_details": {"thinking_tokens": 5}},
}  # fmt: skip
CHOICE = {
    "index": 0, "finish_reason": "tool_calls", "logprobs": None,
    "message": {
        "role": "assistant", "content": "It is cold.", "reasoning_content": "hm",
        "tool_calls": [{"id": "call_1", "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Lévis"}'}}],
    },
}  # fmt: skip
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_764_000_000,
    "model": "m-1",
    "choices": [CHOICE],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 20,
        "total_tokens": 40,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
}


def tell(body, dialect, surface, **fields):
    before = copy.deepcopy(body)
    out = translate.reply(body, dialect, surface, asked_model="chat", **fields)
    assert body == before, "the input is not touched"
    return out


def chat_with(finish="stop", **message):
    return {
        **CHAT,
        "choices": [{**CHOICE, "finish_reason": finish, "message": {"role": "assistant", **message}}],
    }


def test_messages_as_chat():
    """Text, thinking with its signature, calls, finish and cached counts arrive."""
    out = tell(MESSAGE, Dialect.MESSAGES, Surface.CHAT, created=5)
    typed = ChatCompletion.model_validate(out)
    choice = typed.choices[0]
    assert choice.message.content == "It is cold."
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.arguments == '{"city":"Lévis"}'
    assert out["choices"][0]["message"]["reasoning_content"] == "hm"
    assert out["choices"][0]["message"]["thinking_blocks"] == MESSAGE["content"][:2]
    assert (typed.id, typed.model, typed.created) == ("msg_1", "claude-1", 5)
    assert typed.usage.prompt_tokens == 20
    assert typed.usage.prompt_tokens_details.cached_tokens == 4
    assert typed.usage.completion_tokens_details.reasoning_tokens == 5


def test_chat_as_messages():
    """The same in the other direction; reasoning becomes thinking without a signature."""
    out = tell(CHAT, Dialect.CHAT, Surface.MESSAGES)
    typed = Message.model_validate(out)
    assert [block.type for block in typed.content] == ["thinking", "text", "tool_use"]
    assert typed.content[0].signature == ""
    assert typed.content[2].input == {"city": "Lévis"}
    assert typed.stop_reason == "tool_use"
    assert (typed.usage.input_tokens, typed.usage.output_tokens) == (10, 20)
    assert (typed.usage.cache_read_input_tokens, typed.usage.cache_creation_input_tokens) == (4, 6)


@pytest.mark.parametrize(("body", "dialect"), [(CHAT, Dialect.CHAT), (MESSAGE, Dialect.MESSAGES)])
def test_either_as_a_response(body, dialect):
    """Reasoning, message and call become items; what was asked is repeated."""
    asked = {
        "model": "chat",
        "instructions": "be brief",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "store": True,
    }
    out = tell(body, dialect, Surface.RESPONSES, created=5, asked=asked)
    typed = Response.model_validate(out)
    assert [item.type for item in typed.output] == ["reasoning", "message", "function_call"]
    assert typed.output_text == "It is cold."
    assert typed.output[2].status == "completed"
    assert typed.status == "completed"
    assert (typed.instructions, typed.metadata, typed.temperature) == ("be brief", {"a": "b"}, 0.5)
    assert out["store"] is False
    assert typed.usage.input_tokens == 20
    assert typed.usage.input_tokens_details.cached_tokens == 4


@pytest.mark.parametrize(
    ("stop", "finish", "extension"),
    [
        ("end_turn", "stop", None),
        ("max_tokens", "length", None),
        ("stop_sequence", "stop", {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
        ("refusal", "content_filter", {"stop_reason": "refusal"}),
        ("pause_turn", "length", {"stop_reason": "pause_turn"}),
        ("model_context_window_exceeded", "length", {"stop_reason": "model_context_window_exceeded"}),
        ("brand_new", "brand_new", None),
        (None, None, None),
    ],
)
def test_reasons_to_chat(stop, finish, extension):
    """No reason is lost: the nearest word, and the vendor's own where they differ."""
    sequence = "END" if stop == "stop_sequence" else None
    body = {**MESSAGE, "stop_reason": stop, "stop_sequence": sequence}
    choice = tell(body, Dialect.MESSAGES, Surface.CHAT)["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice.get("borderpost") == extension


def test_a_refusal_is_told():
    """Anthropic's explanation is chat's refusal; chat's refusal is Anthropic's stop reason."""
    details = {"type": "refusal", "category": "general_harms", "explanation": "not that"}
    body = {**MESSAGE, "content": [], "stop_reason": "refusal", "stop_details": details}
    choice = tell(body, Dialect.MESSAGES, Surface.CHAT)["choices"][0]
    assert choice["message"]["refusal"] == "not that"
    assert choice["message"]["content"] is None
    back = tell(chat_with(content=None, refusal="not that"), Dialect.CHAT, Surface.MESSAGES)
    assert back["stop_reason"] == "refusal"
    assert back["content"] == [{"type": "text", "text": "not that"}]


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("odd", "odd")],
)
def test_reasons_to_messages(finish, stop):
    """Each of chat's words has Anthropic's; one that we do not know passes."""
    assert tell(chat_with(finish, content="x"), Dialect.CHAT, Surface.MESSAGES)["stop_reason"] == stop


def test_a_stop_string_is_named():
    """VLLM says which stop string ended the answer; Anthropic has a field for it."""
    body = chat_with(content="x")
    body["choices"][0]["stop_reason"] = "END"
    out = tell(body, Dialect.CHAT, Surface.MESSAGES)
    assert (out["stop_reason"], out["stop_sequence"]) == ("stop_sequence", "END")


def test_a_forced_call_finishes_as_tool_use():
    """OpenAI ends a forced call with `stop`; an Anthropic app waits for `tool_use`."""
    body = chat_with("stop", content=None, tool_calls=CHOICE["message"]["tool_calls"])
    assert tell(body, Dialect.CHAT, Surface.MESSAGES)["stop_reason"] == "tool_use"


def test_half_a_call_is_never_shown_as_whole():
    """Cut by the limit: left out of a message, incomplete in a response; otherwise garbled."""
    half = {"id": "a", "type": "function", "function": {"name": "pay", "arguments": '{"amount": 1'}}
    cut = chat_with("length", content="paying", tool_calls=[half])
    message = tell(cut, Dialect.CHAT, Surface.MESSAGES)
    assert [block["type"] for block in message["content"]] == ["text"]
    assert message["stop_reason"] == "max_tokens"
    response = tell(cut, Dialect.CHAT, Surface.RESPONSES)
    assert response["status"] == "incomplete"
    assert response["output"][1]["status"] == "incomplete"
    garbled = tell(chat_with("tool_calls", tool_calls=[half]), Dialect.CHAT, Surface.MESSAGES)
    assert isinstance(garbled, Refusal)
    assert garbled.code is Code.UPSTREAM_GARBLED


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("odd", "incomplete", None),
    ],
)
def test_a_responses_status(finish, status, reason):
    """Only chat's own words for success complete a response; a vendor's odd word is kept."""
    out = tell(chat_with(finish, content="x"), Dialect.CHAT, Surface.RESPONSES)
    assert out["status"] == status
    assert (out["incomplete_details"] or {}).get("reason") == reason
    if finish == "odd":
        assert out["borderpost"] == {"finish_reason": "odd"}


def test_blocks_that_chat_has_no_field_for_are_carried():
    """Citations and new blocks stand in the extension, whole; a response carries them on."""
    cited = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
    new = {"type": "new_block", "data": 1}
    body = {**MESSAGE, "content": [cited, new], "stop_reason": "end_turn"}
    message = tell(body, Dialect.MESSAGES, Surface.CHAT)["choices"][0]["message"]
    assert message["content"] == "x"
    assert message["borderpost"] == {"content": [cited, new]}
    assert tell(body, Dialect.MESSAGES, Surface.RESPONSES)["borderpost"] == {"content": [cited, new]}


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": [{}]}, {"choices": [{"message": 3}]}])
@pytest.mark.parametrize("surface", [Surface.MESSAGES, Surface.RESPONSES])
def test_no_answer_is_garbled(body, surface):
    """Without a message there is nothing to translate."""
    out = tell(body, Dialect.CHAT, surface)
    assert isinstance(out, Refusal)
    assert out.code is Code.UPSTREAM_GARBLED


def test_usage_that_cannot_be_trusted_is_not_repeated():
    """Chat and responses leave it out; Anthropic's shape requires numbers and gets zeros."""
    bad = {**CHAT, "usage": {"prompt_tokens": -1, "completion_tokens": 2}}
    assert tell(bad, Dialect.CHAT, Surface.RESPONSES)["usage"] is None
    assert tell(bad, Dialect.CHAT, Surface.MESSAGES)["usage"]["output_tokens"] == 0
    assert "usage" not in tell({**MESSAGE, "usage": {"output_tokens": "2"}}, Dialect.MESSAGES, Surface.CHAT)


def test_there_and_back():
    """A chat reply told as a message and back keeps text, calls, finish and counts."""
    there = tell(CHAT, Dialect.CHAT, Surface.MESSAGES)
    back = tell(there, Dialect.MESSAGES, Surface.CHAT)
    message, again = CHOICE["message"], back["choices"][0]["message"]
    assert {key: again[key] for key in message} == message
    assert back["choices"][0]["finish_reason"] == "tool_calls"
    assert back["usage"]["prompt_tokens"] == 20
