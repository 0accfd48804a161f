"""Folds of one shape: what they watch, what they drop, how they end where nothing came."""

from __future__ import annotations

import pytest

from gateway.core.errors import Code, Refusal
from gateway.core.translate.identity import ChatFold, MessagesFold, ResponsesFold
from gateway.core.values import Usage
from tests.golden import speech as lib

WHY = Refusal(code=Code.CONTENT_BLOCKED, message="blocked", extension={"rules": ["R-1"]})


def chunk(*choices, **fields):
    return lib.wire(None, {"id": "c", "model": "m", "created": 1, "object": "chat.completion.chunk",
                           "choices": list(choices), **fields})  # fmt: skip


def choice(index, finish=None, **delta):
    return {"index": index, "delta": delta, "finish_reason": finish}


def test_each_open_choice_is_cut():
    """Of three choices, the finished one keeps its reason and the two open ones get `length`."""
    fold = ChatFold(asked_model="chat", app_wants_usage=True)
    for event in (chunk(choice(0, content="a"), choice(2, content="c")), chunk(choice(1, content="b")),
                  chunk(choice(1, "stop"))):  # fmt: skip
        fold.step(event)
    first, usage, done = fold.cut("budget", usage=Usage(input=1, output=3))
    assert [(c["index"], c["finish_reason"]) for c in first.data["choices"]] == [(0, "length"), (2, "length")]
    assert first.data["borderpost"] == {"ended_by": "budget"}
    assert usage.data["usage"]["total_tokens"] == 4
    assert done.data is None
    assert first.data["id"] == usage.data["id"] == "c"


def test_a_missing_sentinel_is_added():
    """A vendor that ends without `[DONE]` after its finish gave a whole answer."""
    fold = ChatFold(asked_model="chat", app_wants_usage=True)
    fold.step(chunk(choice(0, "stop", content="a")))
    (done,) = fold.end()
    assert done.data is None
    assert fold.failed is None


@pytest.mark.parametrize("finish", [None, ""])
def test_a_sentinel_without_a_finish_is_no_end(finish):
    """`[DONE]` while a choice is open is a vendor that died politely."""
    fold = ChatFold(asked_model="chat", app_wants_usage=True)
    fold.step(chunk(choice(0, finish, content="a")))
    (error,) = fold.step(lib.wire(None, None))
    assert error.data["error"]["code"] == "upstream_garbled"
    assert fold.failed is not None


def test_azures_late_filter_results_reopen_nothing():
    """A chunk about a finished choice, without a finish of its own, leaves it finished."""
    fold = ChatFold(asked_model="chat", app_wants_usage=True)
    for event in (
        chunk(choice(0, content="a")),
        chunk(choice(0, "stop")),
        chunk({"index": 0, "finish_reason": None}),
    ):
        fold.step(event)
    assert fold.step(lib.wire(None, None))[0].data is None
    assert fold.failed is None


def test_only_the_usage_chunk_is_hidden():
    """A chunk without choices and without usage is the vendor's own and passes."""
    fold = ChatFold(asked_model="chat", app_wants_usage=False)
    assert fold.step(chunk(prompt_filter_results=[])) != []
    assert fold.step(chunk(usage={"prompt_tokens": 1})) == []


def test_anthropics_stop_alone_may_be_missing():
    """After `message_delta` the answer is whole; without it `message_stop` is no end."""
    stream = lib.messages_stream(lib.Speech((lib.Part("text", ("a",)),)))
    fold = MessagesFold(asked_model="chat")
    events = [out for event in stream[:-1] for out in fold.step(event)]
    assert lib.hear_messages(events + fold.end()).finish == "end_turn"
    died = MessagesFold(asked_model="chat")
    events = [out for event in [*stream[:-2], stream[-1]] for out in died.step(event)]
    assert lib.hear_messages(events).error == "upstream_garbled"


def test_a_cut_between_delta_and_stop_changes_no_reason():
    """What the vendor said about its end stands."""
    stream = lib.messages_stream(lib.Speech((lib.Part("text", ("a",)),)))
    fold = MessagesFold(asked_model="chat")
    events = [out for event in stream[:-1] for out in fold.step(event)]
    assert lib.hear_messages(events + fold.cut()).finish == "end_turn"


@pytest.mark.parametrize(
    ("fold", "judge"),
    [
        (ChatFold(asked_model="chat", app_wants_usage=True, created=3), lib.hear_chat),
        (MessagesFold(asked_model="chat"), lib.hear_messages),
        (ResponsesFold(asked_model="chat", created=3), lib.hear_responses),
    ],
)
def test_a_cut_before_anything_came_is_a_whole_stream(fold, judge):
    """Even an empty answer is valid, names the model that was asked, and says why it ended."""
    events = fold.cut("budget", usage=Usage())
    assert judge(events).ended_by == "budget"
    assert '"chat"' in str([event.data for event in events]).replace("'", '"')


def test_what_the_app_may_already_have_run_stays_whole():
    """After a call's `done` the cut shows it as completed; an open one as incomplete."""
    parts = (lib.Part("call", ("{}",), "a", "f"), lib.Part("call", ('{"x":', "1}"), "b", "g"))
    stream = lib.responses_stream(lib.Speech(parts, finish="tool_calls"))
    at = [i for i, event in enumerate(stream) if event.name == "response.function_call_arguments.delta"][1]
    fold = ResponsesFold(asked_model="chat")
    events = [out for event in stream[: at + 1] for out in fold.step(event)] + fold.cut()
    heard = lib.hear_responses(events)
    assert heard.calls == [("a", "f", "{}"), ("b", "g", '{"x":')]
    assert [item["status"] for item in events[-1].data["response"]["output"]] == ["completed", "incomplete"]


@pytest.mark.parametrize("kind", ["custom_tool_call", "reasoning", "message", "new_item"])
def test_unfinished_items_of_any_kind_show_what_came(kind):
    """Deltas of input, summary and refusal are repeated at the end, marked incomplete."""
    deltas = {
        "custom_tool_call": ("response.custom_tool_call_input.delta", "input"),
        "reasoning": ("response.reasoning_summary_text.delta", "summary"),
        "message": ("response.refusal.delta", "content"),
        "new_item": ("response.new.delta", "id"),
    }
    name, key = deltas[kind]
    fold = ResponsesFold(asked_model="chat")
    fold.step(lib.responses_stream(lib.Speech(()))[0])
    fold.step(lib.named("response.output_item.added", output_index=0, item={"id": "words", "type": kind}))
    fold.step(lib.named(name, output_index=0, item_id="words", delta="words"))
    (item,) = fold.cut()[-1].data["response"]["output"]
    assert item["status"] == "incomplete"
    assert "words" in str(item[key])


@pytest.mark.parametrize(
    "fold",
    [
        ChatFold(asked_model="m", app_wants_usage=False),
        MessagesFold(asked_model="m"),
        ResponsesFold(asked_model="m"),
    ],
)
def test_a_refusal_in_a_stream_carries_its_extension(fold):
    """The app learns the rule also in the middle of a stream."""
    (error,) = fold.fail(WHY)
    assert '"rules": ["R-1"]' in str(error.data).replace("'", '"')
    assert fold.failed is WHY
