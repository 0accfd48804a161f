"""Where texts stand in events: channels join pieces, and unknown events are walked too."""

from __future__ import annotations

from gateway.core.reply_slots import event_slots, plain_slots, responses_channel
from gateway.core.values import Surface


def brief(slots):
    return [(slot.path[-1], slot.text, slot.mode, slot.channel) for slot in slots]


def test_chat_deltas():
    """Every string of a delta is a piece of its own text; roles and ids are none."""
    data = {
        "choices": [
            {"index": 3, "delta": {"role": "assistant", "content": "a", "reasoning": "b", "new_field": "c"}}
        ]
    }
    assert brief(event_slots(Surface.CHAT, data, json_mode=False)) == [
        ("content", "a", "text", (3, "content")),
        ("reasoning", "b", "text", (3, "reasoning")),
        ("new_field", "c", "text", (3, "new_field")),
    ]


def test_chat_tool_calls_are_told_apart_by_their_own_index():
    """Parallel calls keep their channel although each chunk holds one of them."""
    first, second = (
        event_slots(
            Surface.CHAT,
            {
                "choices": [
                    {"index": 0, "delta": {"tool_calls": [{"index": i, "function": {"arguments": "{"}}]}}
                ]
            },
            json_mode=False,
        )
        for i in (0, 1)
    )
    assert first[0].mode == "json"
    assert first[0].path == second[0].path
    assert first[0].channel != second[0].channel


def test_audio_is_no_text():
    """Sound in a delta is passed on; its transcript is a text."""
    audio = {"data": "QUJD", "transcript": "hi"}
    slots = event_slots(Surface.CHAT, {"choices": [{"index": 0, "delta": {"audio": audio}}]}, json_mode=False)
    assert [slot.text for slot in slots] == ["hi"]


def test_json_mode_makes_the_answer_json_and_nothing_else():
    """Reasoning stays prose."""
    data = {"choices": [{"index": 0, "delta": {"content": "{", "reasoning": "so"}}]}
    assert [slot.mode for slot in event_slots(Surface.CHAT, data, json_mode=True)] == ["json", "text"]


def test_responses_events():
    """Deltas have channels that their `done` events name too; unknown deltas are texts."""
    delta = {"type": "response.output_text.delta", "delta": "a", "output_index": 1, "content_index": 0}
    (slot,) = event_slots(Surface.RESPONSES, delta, json_mode=False)
    assert slot.channel == responses_channel(delta, "response.output_text.done")
    unknown = {"type": "response.thought.delta", "delta": "a", "output_index": 1}
    assert brief(event_slots(Surface.RESPONSES, unknown, json_mode=False))[0][2] == "text"
    audio = {"type": "response.audio.delta", "delta": "QUJD"}
    assert event_slots(Surface.RESPONSES, audio, json_mode=False) == []
    other = {"type": "response.future", "note": "hi", "created_at": 1_700_000_000}
    assert brief(event_slots(Surface.RESPONSES, other, json_mode=False)) == [("note", "hi", "text", None)]


def test_messages_events():
    """Text and tool input are pieces; signed thinking is no text of ours."""

    def slots(delta):
        return brief(
            event_slots(
                Surface.MESSAGES, {"type": "content_block_delta", "index": 2, "delta": delta}, json_mode=False
            )
        )

    assert slots({"type": "text_delta", "text": "a"}) == [("text", "a", "text", (2, "text"))]
    assert slots({"type": "input_json_delta", "partial_json": "{"}) == [
        ("partial_json", "{", "json", (2, "partial_json"))
    ]
    assert slots({"type": "thinking_delta", "thinking": "a"}) == []
    assert slots({"type": "citations_delta", "citation": {"cited_text": "a"}}) == [
        ("cited_text", "a", "text", None)
    ]


def test_plain_bodies():
    """Arguments are JSON text, a tool's input is values, thinking is left alone."""
    body = {
        "content": [
            {"type": "text", "text": "a"},
            {"type": "thinking", "thinking": "b", "signature": "c2lnbmVkIGJ5dGVzIQ=="},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": "c", "sin": 130692544}},
        ]
    }
    modes = [
        (slot.text, slot.mode, slot.context) for slot in plain_slots(Surface.MESSAGES, body, json_mode=False)
    ]
    assert modes == [("a", "text", None), ("c", "value", "x"), ("130692544", "value", "sin")]


def test_embeddings_have_no_text():
    """Vectors are not walked event by event."""
    assert event_slots(Surface.EMBEDDINGS, {"a": "b"}, json_mode=False) == []
