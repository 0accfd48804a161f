"""Anthropic's events as chat chunks: the details that the general properties do not show."""

from __future__ import annotations

import pytest

from gateway.core.translate.stream_to_chat import MessagesToChat
from tests.golden.speech import hear_chat, named

START = named("message_start", message={"id": "msg_1", "model": "claude-1", "usage": {"input_tokens": 5}})
STOP = named("message_stop")


def block(index, content, *deltas):
    """A whole content block."""
    return [
        named("content_block_start", index=index, content_block=content),
        *[named("content_block_delta", index=index, delta=delta) for delta in deltas],
        named("content_block_stop", index=index),
    ]


def end(reason="end_turn", **delta):
    return named("message_delta", delta={"stop_reason": reason, **delta}, usage={"output_tokens": 3})


def run(*events):
    fold = MessagesToChat(asked_model="chat", app_wants_usage=True, created=7)
    out = [seen for event in events for seen in fold.step(event)]
    return fold, out + fold.end()


def deltas(events):
    return [e.data["choices"][0]["delta"] for e in events if e.data and e.data.get("choices")]


def test_the_role_comes_first_and_the_date_is_ours():
    """The first chunk opens the assistant's turn; Anthropic sends no date."""
    _, out = run(START, end(), STOP)
    assert deltas(out)[0] == {"role": "assistant", "content": ""}
    assert {e.data["created"] for e in out if e.data} == {7}
    assert hear_chat(out).usage["prompt_tokens"] == 5


def test_a_call_without_arguments_is_called_with_none():
    """An empty input streams as `{}`, which an app can parse."""
    _, out = run(
        START, *block(0, {"type": "tool_use", "id": "t", "name": "now", "input": {}}), end("tool_use"), STOP
    )
    assert hear_chat(out).calls == [("t", "now", "{}")]


def test_thinking_is_shown_and_signed():
    """Text of thinking streams; its block follows whole with the signature, by index for accumulators."""
    thinking = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "h"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "c2ln"},
    )
    sealed = block(1, {"type": "redacted_thinking", "data": "x//y"})
    _, out = run(START, *thinking, *sealed, end(), STOP)
    blocks = [b for delta in deltas(out) for b in delta.get("thinking_blocks", [])]
    assert blocks == [
        {"index": 0, "type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"index": 1, "type": "redacted_thinking", "data": "x//y"},
    ]
    assert hear_chat(out).thinking == "hm"


def test_what_chat_has_no_field_for_is_carried():
    """Citations and new blocks stand in the extension; accumulators accept several."""
    cited = block(0, {"type": "text", "text": "a"}, {"type": "citations_delta", "citation": {"type": "page"}})
    news = [*block(1, {"type": "new", "x": 1}), *block(2, {"type": "new", "x": 2})]
    _, out = run(START, *cited, *news, end("pause_turn"), STOP)
    heard = hear_chat(out)
    assert (heard.text, heard.finish) == ("a", "length")
    carried = [delta["borderpost"] for delta in deltas(out) if "borderpost" in delta]
    assert carried[0] == {"delta": {"type": "citations_delta", "citation": {"type": "page"}}}
    assert [c["content"][0]["x"] for c in carried[1:]] == [1, 2]


def test_a_refusal_is_told():
    """A refusal finishes as filtered, with the explanation and Anthropic's word."""
    _, out = run(START, end("refusal", stop_details={"explanation": "not that"}), STOP)
    (last,) = [
        e.data["choices"][0]
        for e in out
        if e.data and e.data["choices"] and e.data["choices"][0]["finish_reason"]
    ]
    assert last["finish_reason"] == "content_filter"
    assert last["delta"] == {"refusal": "not that"}
    assert last["borderpost"] == {"stop_reason": "refusal"}


def test_an_interim_delta_is_no_end():
    """A `message_delta` without a reason carries counts only."""
    interim = named("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 2})
    fold, out = run(START, interim, end(), STOP)
    assert fold.failed is None
    assert hear_chat(out).usage["completion_tokens"] == 3


@pytest.mark.parametrize(
    "bad",
    [
        named("content_block_delta", index=4, delta={"type": "text_delta", "text": "x"}),
        named("content_block_delta", index=0),
        named("content_block_start", index=0),
        named("content_block_start", content_block={"type": "text"}),
        named("content_block_stop", index=3),
    ],
)
def test_events_out_of_order_are_garbled(bad):
    """A delta for no block cannot be placed: an error, never a guess."""
    fold, out = run(START, bad, end(), STOP)
    assert hear_chat(out).error == "upstream_garbled"
    assert fold.failed is not None


def test_before_the_start_nothing_is_shown():
    """Pings and strays before `message_start` are not for the app."""
    fold = MessagesToChat(asked_model="chat", app_wants_usage=False)
    assert fold.step(named("ping")) == []
    assert fold.step(named("content_block_stop", index=0)) == []
