"""The meter over whole replies and streams: ids, finish, the running bound, when usage is final."""

from __future__ import annotations

import pytest
from hypothesis import given

from gateway.core.meter import FRAME, Meter
from gateway.core.values import Dialect, Event, Usage
from tests.golden import speech as lib

STREAMS = {
    Dialect.CHAT: lib.chat_stream,
    Dialect.MESSAGES: lib.messages_stream,
    Dialect.RESPONSES: lib.responses_stream,
}


@pytest.mark.parametrize("dialect", STREAMS)
@given(speech=lib.speeches())
def test_the_running_bound_covers_all_that_was_shown(dialect, speech):
    """After every event `output_bytes` is at least the UTF-8 bytes shown, and never shrinks."""
    meter = Meter(dialect)
    last = 0
    for event in STREAMS[dialect](speech):
        meter.see(event)
        assert meter.output_bytes >= last
        last = meter.output_bytes
    shown = sum(len(part.whole.encode()) + len(part.name.encode()) for part in speech.parts)
    assert meter.output_bytes >= shown
    assert meter.output_bytes <= shown + 64 * (len(speech.parts) + 1)


@pytest.mark.parametrize("dialect", STREAMS)
@given(speech=lib.speeches())
def test_ids_and_finish_are_the_vendors_own(dialect, speech):
    """The vendor's id, model and word for the end are kept as they came."""
    meter = Meter(dialect)
    for event in STREAMS[dialect](speech):
        meter.see(event)
    names = {Dialect.CHAT: ("chatcmpl-1", "m-1"), Dialect.MESSAGES: ("msg_1", "claude-1")}
    assert (meter.vendor_id, meter.vendor_model) == names.get(dialect, ("resp_1", "m-1"))
    ends = {Dialect.CHAT: {}, Dialect.MESSAGES: lib.REASONS}
    words = ends.get(dialect, {"stop": "completed", "tool_calls": "completed", "length": "max_output_tokens"})
    assert meter.finish == words.get(speech.finish, speech.finish)


@pytest.mark.parametrize("dialect", STREAMS)
def test_usage_is_none_until_the_vendor_ends(dialect):
    """A stream that dies before its terminal usage leaves no count that could pass for one."""
    stream = STREAMS[dialect](lib.Speech((lib.Part("text", ("a", "b")),)))
    meter = Meter(dialect)
    final = {Dialect.CHAT: -2, Dialect.MESSAGES: -2, Dialect.RESPONSES: -1}[dialect]
    for event in stream[:final]:
        meter.see(event)
        assert meter.usage is None
    meter.see(stream[final])
    assert meter.usage == Usage(input=11, output=7)


def test_every_choice_counts():
    """Text, refusal, reasoning and arguments of every choice are in the bound, non-ASCII by its bytes."""
    meter = Meter(Dialect.CHAT)
    deltas = [{"content": "é"}, {"refusal": "no"}, {"reasoning": "hm"}, {"new_field": ["xyz"]}]
    choices = [{"index": i, "delta": delta} for i, delta in enumerate(deltas)]
    meter.see(Event(name=None, data={"id": "c", "choices": choices}))
    assert meter.output_bytes == 2 + 2 + 2 + 3


def test_plain_replies_are_bounded_too():
    """A plain reply's text, calls and input keys count, in each dialect."""
    chat = Meter(Dialect.CHAT)
    chat.see_body({"id": "c", "choices": [{"message": {"role": "assistant", "content": "four"}}]})
    assert chat.output_bytes == FRAME + 4
    messages = Meter(Dialect.MESSAGES)
    block = {"type": "tool_use", "id": "t", "name": "pay", "input": {"amount": ["ten", {"by": "wire"}]}}
    messages.see_body({"id": "m", "content": [block], "stop_reason": "tool_use"})
    assert messages.output_bytes == FRAME + len("pay") + len("amounttenbywire")
    assert messages.finish == "tool_use"
    responses = Meter(Dialect.RESPONSES)
    responses.see_body({"id": "r", "status": "completed", "output": [{"type": "message", "content": "abc"}]})
    assert responses.output_bytes >= FRAME + 3


def test_the_place_that_a_vendor_reports_is_kept():
    """Anthropic says where it inferred; `not_available` is no place."""
    for geo, place in (("us", "us"), ("not_available", None), (None, None)):
        meter = Meter(Dialect.MESSAGES)
        meter.see_body(
            {"content": [], "usage": {"input_tokens": 1, "output_tokens": 1, "inference_geo": geo}}
        )
        assert meter.reported_place == place


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": [None, 3]},
        {"type": 5},
        {"choices": {"a": 1}, "usage": "x"},
        {"type": "message_start", "message": []},
        {"type": "response.completed"},
    ],
)
def test_garbage_events_do_not_raise(dialect, data):
    """A meter never breaks a stream."""
    meter = Meter(dialect)
    meter.see(Event(name=None, data=data))
    meter.see_body(data)
    meter.see(Event(name=None, data=None))
    assert meter.usage is None


def test_usage_on_running_chunks_is_taken_at_the_end():
    """A vendor that repeats usage on every chunk and never finishes a choice is taken at `[DONE]`."""
    meter = Meter(Dialect.CHAT)
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    meter.see(Event(name=None, data={"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": usage}))
    assert meter.usage is None
    meter.see(Event(name=None, data=None))
    assert meter.usage == Usage(input=4, output=2)


def test_timings_stand_in_for_usage():
    """A plain llama.cpp reply without usage is counted by its timings."""
    meter = Meter(Dialect.CHAT)
    meter.see_body({"id": "c", "choices": [], "timings": {"prompt_n": 3, "cache_n": 2, "predicted_n": 5}})
    assert meter.usage == Usage(input=3, cache_read=2, output=5)


def test_a_reply_may_nest_as_deep_as_json_goes():
    """A vendor's nesting does not exhaust the stack."""
    value: object = "leaf"
    for _ in range(5_000):
        value = {"k": [value]}
    meter = Meter(Dialect.MESSAGES)
    meter.see_body({"content": [{"type": "tool_use", "name": "f", "input": value}]})
    assert meter.output_bytes == FRAME + 1 + 5_000 + 4


@pytest.mark.parametrize("odd", [[], {}, 3, None, True])
@pytest.mark.parametrize("dialect", Dialect)
def test_types_that_are_no_words_do_not_raise(dialect, odd):
    """Any JSON may stand where a word is expected."""
    meter = Meter(dialect)
    meter.see(
        Event(name=None, data={"type": odd, "choices": [{"finish_reason": odd}], "delta": odd, "id": odd})
    )
    meter.see_body({"status": odd, "stop_reason": odd, "content": [{"type": odd}], "output": [{"type": odd}]})
    assert meter.finish is None


def test_running_timings_are_no_final_count() -> None:
    """llama.cpp's ``timings_per_token`` counts in every chunk: only those beside the finish are final."""
    meter = Meter(Dialect.CHAT)
    chunk = {
        "id": "a",
        "model": "g",
        "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}],
    }
    meter.see(Event(name=None, data={**chunk, "timings": {"cache_n": 0, "prompt_n": 3, "predicted_n": 1}}))
    assert meter.usage is None
    last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    meter.see(Event(name=None, data={**last, "timings": {"cache_n": 0, "prompt_n": 3, "predicted_n": 9}}))
    assert meter.usage == Usage(input=3, output=9)
