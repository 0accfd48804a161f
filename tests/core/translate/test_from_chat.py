"""Reading chat chunks of vendors who take liberties."""

from __future__ import annotations

import pytest

from gateway.core.translate.stream_to_messages import ChatToMessages
from gateway.core.values import Event
from tests.golden.speech import hear_messages, wire


def chunk(delta, finish=None, **fields):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return wire(None, {"id": "c", "model": "m", "choices": [choice], **fields})


def call(arguments="", name=None, call_id=None, **fields):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return chunk({"tool_calls": [{"function": function} | ({"id": call_id} if call_id else {}) | fields]})


DONE = Event(name=None, data=None)


def run(*events):
    fold = ChatToMessages(asked_model="chat")
    out = [seen for event in events for seen in fold.step(event)]
    return fold, out + fold.end()


def test_azure_opens_with_a_chunk_without_choices():
    """Filter results before the first choice start nothing."""
    first = wire(None, {"id": "", "model": "", "choices": [], "prompt_filter_results": []})
    _, out = run(first, chunk({"content": "hi"}), chunk({}, "stop"), DONE)
    assert hear_messages(out).text == "hi"
    assert out[0].data["message"]["id"] == "c"


@pytest.mark.parametrize("index", [{}, {"index": 0}])
def test_calls_that_all_claim_one_index_are_told_apart(index):
    """Another id with a name is another call, whatever the index says."""
    if index:
        events = [call('{"a":1}', "f", "1", **index), call("", None, None, **index)]
        wanted = [("1", "f", '{"a":1}')]
    else:
        events = [call('{"a":1}', "f", "1"), call('{"b":2}', "g", "2")]
        wanted = [("1", "f", '{"a":1}'), ("2", "g", '{"b":2}')]
    _, out = run(*events, chunk({}, "tool_calls"), DONE)
    assert hear_messages(out).calls == wanted


def test_a_name_repeated_on_every_piece_is_one_call():
    """Some vendors repeat id and name with each piece of the arguments."""
    _, out = run(
        call('{"a"', "f", "1", index=0), call(":1}", "f", "1", index=0), chunk({}, "tool_calls"), DONE
    )
    assert hear_messages(out).calls == [("1", "f", '{"a":1}')]


def test_a_call_without_an_id_gets_one():
    """Anthropic's shape requires an id."""
    _, out = run(call("{}", "f", index=0), chunk({}, "tool_calls"), DONE)
    assert hear_messages(out).calls == [("call_1", "f", "{}")]


@pytest.mark.parametrize(
    "events",
    [
        [call("{}", None, "1", index=0)],
        [call("{", "f", "1", index=0), call("{}", "g", "2", index=1), call("}", None, None, index=0)],
    ],
)
def test_pieces_that_cannot_be_placed_are_garbled(events):
    """A call without a name, or a piece for a call that was closed: an error, never a guess."""
    fold, out = run(*events, chunk({}, "tool_calls"), DONE)
    assert hear_messages(out).error == "upstream_garbled"
    assert fold.failed is not None


def test_text_after_a_call_opens_another_block():
    """Blocks follow one another; each text or call is its own."""
    _, out = run(
        chunk({"content": "a"}),
        call("{}", "f", "1", index=0),
        chunk({"content": "b"}),
        chunk({}, "tool_calls"),
        DONE,
    )
    heard = hear_messages(out)
    assert (heard.text, len(heard.calls)) == ("ab", 1)


def test_usage_beside_the_finish_waits_for_the_sentinel():
    """Mistral sends usage on the last choice; the end shows it."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    _, out = run(chunk({"content": "a"}), chunk({}, "stop", usage=usage), DONE)
    assert hear_messages(out).usage["output_tokens"] == 2


def test_an_empty_finish_is_no_finish():
    """Some vendors send an empty word while the choice is open."""
    fold, out = run(chunk({"content": "a"}, ""), chunk({"content": "b"}, ""))
    assert hear_messages(out).error == "upstream_garbled"
    assert fold.failed is not None


def test_only_the_first_choice_is_read():
    """No surface but chat can ask for more than one."""
    other = wire(None, {"id": "c", "model": "m", "choices": [{"index": 1, "delta": {"content": "no"}}]})
    _, out = run(chunk({"content": "yes"}), other, chunk({}, "stop"), DONE)
    assert hear_messages(out).text == "yes"
