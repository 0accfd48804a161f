"""Chat chunks as Anthropic's events: the details that the general properties do not show."""

from __future__ import annotations

from gateway.core.translate.stream_to_messages import ChatToMessages
from gateway.core.values import Usage
from tests.core.translate.test_from_chat import DONE, call, chunk, run
from tests.golden.speech import hear_messages


def types(events):
    return [event.name for event in events]


def test_the_sequence_of_events():
    """Start, one block at a time, delta with usage, stop."""
    _, out = run(chunk({"reasoning_content": "h"}), chunk({"content": "a"}), chunk({}, "stop"), DONE)
    assert types(out) == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_stop"] * 2,
        "message_delta",
        "message_stop",
    ]


def test_a_refusal_stops_as_refusal():
    """Chat streams a refusal in its own field and finishes with `stop`."""
    _, out = run(chunk({"refusal": "not that"}), chunk({}, "stop"), DONE)
    heard = hear_messages(out)
    assert (heard.text, heard.finish) == ("not that", "refusal")


def test_signed_thinking_of_a_translated_vendor_keeps_its_signature():
    """A chat stream that carries Anthropic's blocks (Bedrock through a translator) is signed again."""
    signed = {"index": 0, "type": "thinking", "thinking": "h", "signature": "c2ln"}
    sealed = {"index": 1, "type": "redacted_thinking", "data": "x//y"}
    _, out = run(
        chunk({"reasoning_content": "h"}),
        chunk({"thinking_blocks": [signed]}),
        chunk({"thinking_blocks": [sealed]}),
        chunk({"content": "a"}),
        chunk({}, "stop"),
        DONE,
    )
    assert hear_messages(out).text == "a"
    deltas = [e.data["delta"] for e in out if e.name == "content_block_delta"]
    assert deltas[1] == {"type": "signature_delta", "signature": "c2ln"}
    starts = [e.data["content_block"] for e in out if e.name == "content_block_start"]
    assert starts[1] == {"type": "redacted_thinking", "data": "x//y"}


def test_a_cut_in_a_call_says_max_tokens():
    """What was shown of the arguments cannot be unsaid; the stop reason says that it is not whole."""
    fold = ChatToMessages(asked_model="chat")
    events = [e for event in (call('{"amo', "pay", "1", index=0),) for e in fold.step(event)]
    events += fold.cut(usage=Usage(input=3, output=2))
    heard = hear_messages(events)
    assert heard.finish == "max_tokens"
    assert heard.calls == [("1", "pay", '{"amo')]
    assert heard.usage["output_tokens"] == 2
