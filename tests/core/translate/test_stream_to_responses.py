"""Chat chunks as responses events: the details that the general properties do not show."""

from __future__ import annotations

from gateway.core.translate.stream_to_responses import ChatToResponses
from gateway.core.values import Usage
from tests.core.translate.test_from_chat import DONE, call, chunk
from tests.golden.speech import hear_responses


def run(*events, asked=None):
    fold = ChatToResponses(asked_model="chat", created=5, asked=asked)
    out = [seen for event in events for seen in fold.step(event)]
    return fold, out + fold.end()


def test_the_sequence_of_events():
    """Created, in progress, each item from added to done, completed."""
    _, out = run(chunk({"content": "a"}), call("{}", "f", "1", index=0), chunk({}, "tool_calls"), DONE)
    assert [event.name.removeprefix("response.") for event in out] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert hear_responses(out).calls == [("1", "f", "{}")]


def test_what_was_asked_is_repeated():
    """A response repeats the request's own fields; it is never stored."""
    _, out = run(chunk({"content": "a"}), chunk({}, "stop"), DONE, asked={"instructions": "x", "store": True})
    final = out[-1].data["response"]
    assert (final["instructions"], final["store"]) == ("x", False)


def test_a_refusal_beside_text_is_its_own_part():
    """Text and refusal are parts of one message."""
    _, out = run(chunk({"content": "a"}), chunk({"refusal": "no"}), chunk({}, "stop"), DONE)
    hear_responses(out)
    (item,) = out[-1].data["response"]["output"]
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]


def test_a_filtered_answer_is_incomplete():
    """Content filter ends as incomplete, with the reason."""
    _, out = run(chunk({"content": "a"}), chunk({}, "content_filter"), DONE)
    assert hear_responses(out).finish == "content_filter"


def test_a_call_that_the_limit_cut_gets_no_done_event():
    """Apps run a call on its `done`; half a call has none and stands as incomplete."""
    for ending in ("cut", "length"):
        fold = ChatToResponses(asked_model="chat")
        events = fold.step(call('{"amo', "pay", "1", index=0))
        if ending == "cut":
            events += fold.cut(usage=Usage(output=2))
        else:
            events += fold.step(chunk({}, "length")) + fold.step(DONE)
        assert hear_responses(events).finish == "max_output_tokens"
        assert "response.output_item.done" not in [event.name for event in events]
        (item,) = events[-1].data["response"]["output"]
        assert (item["status"], item["arguments"]) == ("incomplete", '{"amo')


def test_a_signature_is_left_out():
    """The responses surface has no field that could carry Anthropic's signature back."""
    _, out = run(
        chunk({"reasoning_content": "h"}),
        chunk({"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "h", "signature": "c2ln"}]}),
        chunk({}, "stop"),
        DONE,
    )
    assert hear_responses(out).thinking == "h"
    assert "c2ln" not in str([event.data for event in out])
