"""One answer in every vendor's stream, and judges who read streams as the official packages do.

A :class:`Speech` says what a model said; ``chat_stream``, ``messages_stream`` and
``responses_stream`` render it as a vendor would send it. The judges check every event
against the vendor's own types and accumulators, and the grammar of the whole, and
return what an app would have understood.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.core.values import Event, Usage

MESSAGES_EVENT = TypeAdapter(RawMessageStreamEvent)
RESPONSES_EVENT = TypeAdapter(ResponseStreamEvent)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing said: ``thinking``, ``text`` or ``call``, in the pieces in which it came."""

    kind: str
    pieces: tuple[str, ...]
    call_id: str = ""
    name: str = ""

    @property
    def whole(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Speech:
    """What a model said, and why it stopped (chat's word)."""

    parts: tuple[Part, ...]
    finish: str = "stop"
    usage: Usage = field(default_factory=lambda: Usage(input=11, output=7))


@dataclass(slots=True)
class Heard:
    """What an app understood."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    finish: str | None = None
    error: str | None = None
    ended_by: str | None = None
    usage: dict[str, object] | None = None


def said(speech: Speech) -> Heard:
    """What an app should understand of a whole speech."""
    heard = Heard(finish=speech.finish)
    for part in speech.parts:
        if part.kind == "text":
            heard.text += part.whole
        elif part.kind == "thinking":
            heard.thinking += part.whole
        else:
            heard.calls.append((part.call_id, part.name, part.whole))
    return heard


# ------------------------------------------------------------------ vendors' streams


def wire(name: str | None, data: dict[str, object] | None) -> Event:
    """An event as it comes from the transport: with its bytes."""
    packed = "[DONE]" if data is None else json.dumps(data)
    head = f"event: {name}\n" if name else ""
    return Event(name=name, data=data, raw=f"{head}data: {packed}\n\n".encode())


def chat_usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.total_input,
        "completion_tokens": usage.total_output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
    }


def chat_stream(speech: Speech, *, with_usage: bool = True) -> list[Event]:
    """As OpenAI streams it."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_764_000_000, "model": "m-1"}

    def chunk(delta, finish=None):
        return wire(None, {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    events = [chunk({"role": "assistant", "content": ""})]
    calls = -1
    for part in speech.parts:
        if part.kind == "call":
            calls += 1
            function = {"name": part.name, "arguments": ""}
            opening = {"index": calls, "id": part.call_id, "type": "function", "function": function}
            events.append(chunk({"tool_calls": [opening]}))
        for piece in part.pieces:
            match part.kind:
                case "thinking":
                    events.append(chunk({"reasoning_content": piece}))
                case "text":
                    events.append(chunk({"content": piece}))
                case _:
                    events.append(chunk({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]}))
    events.append(chunk({}, speech.finish))
    if with_usage:
        events.append(wire(None, {**head, "choices": [], "usage": chat_usage(speech.usage)}))
    return [*events, wire(None, None)]


REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def messages_stream(speech: Speech) -> list[Event]:
    """As Anthropic streams it, with a ping and a placeholder count."""
    usage = speech.usage
    start = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": usage.input,
            "output_tokens": 1,
            "cache_read_input_tokens": usage.cache_read,
        },
    }
    events = [
        wire("message_start", {"type": "message_start", "message": start}),
        wire("ping", {"type": "ping"}),
    ]
    for index, part in enumerate(speech.parts):
        match part.kind:
            case "thinking":
                block, kind, key = (
                    {"type": "thinking", "thinking": "", "signature": ""},
                    "thinking_delta",
                    "thinking",
                )
            case "text":
                block, kind, key = {"type": "text", "text": ""}, "text_delta", "text"
            case _:
                block = {"type": "tool_use", "id": part.call_id, "name": part.name, "input": {}}
                kind, key = "input_json_delta", "partial_json"
        events.append(named("content_block_start", index=index, content_block=block))
        events += [
            named("content_block_delta", index=index, delta={"type": kind, key: p}) for p in part.pieces
        ]
        if part.kind == "thinking":
            signature = {"type": "signature_delta", "signature": "c2lnbmVk"}
            events.append(named("content_block_delta", index=index, delta=signature))
        events.append(named("content_block_stop", index=index))
    delta = {"stop_reason": REASONS[speech.finish], "stop_sequence": None}
    events.append(named("message_delta", delta=delta, usage={"output_tokens": usage.output}))
    return [*events, named("message_stop")]


def named(kind: str, **fields: object) -> Event:
    """An event that is named after its type."""
    return wire(kind, {"type": kind, **fields})


def responses_stream(speech: Speech) -> list[Event]:
    """As OpenAI streams a response."""
    head = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_764_000_000,
        "model": "m-1",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }
    number = iter(range(10_000))

    def event(kind, **fields):
        return named(kind, **fields, sequence_number=next(number))

    events = [event("response.created", response=head), event("response.in_progress", response=head)]
    output = []
    for at, part in enumerate(speech.parts):
        where = {"item_id": f"item_{at}", "output_index": at}
        inside = {**where, "content_index": 0}
        if part.kind == "call":
            item = {
                "id": f"item_{at}", "type": "function_call", "call_id": part.call_id, "name": part.name,
                "arguments": "", "status": "in_progress",
            }  # fmt: skip
            done = {**item, "arguments": part.whole, "status": "completed"}
            body = [event("response.output_item.added", output_index=at, item=item)]
            body += [event("response.function_call_arguments.delta", **where, delta=p) for p in part.pieces]
            closing = "response.function_call_arguments.done"
            body.append(event(closing, **where, arguments=part.whole, name=part.name))
        elif part.kind == "text":
            item = {
                "id": f"item_{at}",
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
            text = {"type": "output_text", "annotations": [], "text": part.whole}
            done = {**item, "content": [text], "status": "completed"}
            body = [
                event("response.output_item.added", output_index=at, item=item),
                event("response.content_part.added", **inside, part={**text, "text": ""}),
            ]
            body += [event("response.output_text.delta", **inside, delta=p, logprobs=[]) for p in part.pieces]
            body.append(event("response.output_text.done", **inside, text=part.whole, logprobs=[]))
            body.append(event("response.content_part.done", **inside, part=text))
        else:
            item = {"id": f"item_{at}", "type": "reasoning", "summary": [], "content": []}
            text = {"type": "reasoning_text", "text": part.whole}
            done = {**item, "content": [text]}
            body = [
                event("response.output_item.added", output_index=at, item=item),
                event("response.content_part.added", **inside, part={**text, "text": ""}),
            ]
            body += [event("response.reasoning_text.delta", **inside, delta=p) for p in part.pieces]
            body.append(event("response.reasoning_text.done", **inside, text=part.whole))
            body.append(event("response.content_part.done", **inside, part=text))
        events += [*body, event("response.output_item.done", output_index=at, item=done)]
        output.append(done)
    usage = {
        "input_tokens": speech.usage.total_input, "output_tokens": speech.usage.output,
        "total_tokens": speech.usage.total,
        "input_tokens_details": {"cached_tokens": speech.usage.cache_read, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    ended = {"status": "completed"}
    if speech.finish in {"length", "content_filter"}:
        reason = "max_output_tokens" if speech.finish == "length" else "content_filter"
        ended = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    response = {**head, **ended, "output": output, "usage": usage}
    return [*events, event(f"response.{ended['status']}", response=response)]


# ---------------------------------------------------------------------------- judges


def hear_chat(events: list[Event]) -> Heard:
    """Read chat chunks as the openai package does."""
    heard = Heard()
    state = ChatCompletionStreamState()
    for i, event in enumerate(events):
        assert heard.error is None, "nothing may follow an error"
        if event.data is None:
            assert i == len(events) - 1, "nothing may follow the sentinel"
            break
        if event.data.get("error"):
            heard.error = event.data["error"]["code"]
            assert event.data["error"]["message"]
            continue
        chunk = ChatCompletionChunk.model_validate(event.data)
        state.handle_chunk(chunk)
        heard.usage = event.data.get("usage") or heard.usage
        heard.ended_by = (event.data.get("borderpost") or {}).get("ended_by", heard.ended_by)
    else:
        assert heard.error is not None, "a stream ends with the sentinel or an error"
        return heard
    snapshot = state.current_completion_snapshot
    assert len({event.data["id"] for event in events if event.data}) == 1
    for choice in snapshot.choices:
        assert choice.finish_reason is not None
    if snapshot.choices:
        message = snapshot.choices[0].message.model_dump()
        heard.text = message["content"] or ""
        heard.thinking = message.get("reasoning_content") or ""
        heard.finish = snapshot.choices[0].finish_reason
        for call in message.get("tool_calls") or []:
            heard.calls.append((call["id"], call["function"]["name"], call["function"]["arguments"]))
    return heard


def hear_messages(events: list[Event]) -> Heard:
    """Read messages events as the anthropic package does, and check their grammar."""
    heard = Heard()
    snapshot = None
    buffers: dict[int, bytes] = {}
    open_blocks: set[int] = set()
    expected = 0
    over = False
    for event in events:
        assert not over, "nothing may follow the end"
        assert event.data is not None
        assert event.name == event.data["type"]
        if event.name == "ping":
            continue
        if event.name == "error":
            heard.error = event.data["error"]["code"]
            over = True
            continue
        typed = MESSAGES_EVENT.validate_python(event.data)
        match typed.type:
            case "message_start":
                assert snapshot is None
            case "content_block_start":
                assert typed.index == expected
                assert not open_blocks, "one block at a time"
                open_blocks.add(typed.index)
                expected += 1
            case "content_block_delta":
                assert typed.index in open_blocks
            case "content_block_stop":
                open_blocks.remove(typed.index)
            case "message_delta":
                assert not open_blocks
                heard.ended_by = (event.data.get("borderpost") or {}).get("ended_by")
            case "message_stop":
                over = True
        snapshot = accumulate_event(event=typed, current_snapshot=snapshot, json_bufs=buffers)
    assert over, "a stream ends with message_stop or an error"
    if heard.error is not None:
        return heard
    assert snapshot.stop_reason is not None
    heard.finish = snapshot.stop_reason
    heard.usage = snapshot.usage.model_dump()
    for index, block in enumerate(snapshot.content):
        match block.type:
            case "text":
                heard.text += block.text
            case "thinking":
                heard.thinking += block.thinking
            case "tool_use":
                heard.calls.append((block.id, block.name, buffers.get(index, b"").decode()))
    return heard


TERMINAL = {"response.completed", "response.incomplete", "response.failed"}


def hear_responses(events: list[Event]) -> Heard:
    """Read responses events as the openai package does, and check their numbers and grammar."""
    heard = Heard()
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    done_calls: set[str] = set()
    over = False
    for number, event in enumerate(events):
        assert not over, "nothing may follow the end"
        assert event.data is not None
        assert event.name == event.data["type"]
        typed = RESPONSES_EVENT.validate_python(event.data)
        assert typed.sequence_number == number
        if typed.type == "error":
            heard.error = typed.code
            continue
        state.handle_event(typed)
        if typed.type == "response.function_call_arguments.done":
            done_calls.add(typed.item_id)
            json.loads(typed.arguments)
        if typed.type in TERMINAL:
            over = True
            response = typed.response
            assert response.status == typed.type.removeprefix("response.")
            heard.finish = response.status
            if response.incomplete_details:
                heard.finish = response.incomplete_details.reason
            heard.usage = event.data["response"].get("usage")
            heard.ended_by = (event.data["response"].get("borderpost") or {}).get("ended_by")
            for item in response.output:
                match item.type:
                    case "message":
                        heard.text += "".join(getattr(part, "text", "") for part in item.content)
                    case "reasoning":
                        heard.thinking += "".join(part.text for part in item.content or [])
                    case "function_call":
                        heard.calls.append((item.call_id, item.name, item.arguments))
                        if item.status == "completed":
                            assert item.id in done_calls
                        else:
                            assert item.id not in done_calls, "half a call is never shown as whole"
    assert over or (heard.error is not None and len(events) == 1), "a stream ends with a terminal event"
    return heard


# ------------------------------------------------------------------------ strategies


WORDS = st.text(min_size=1, max_size=40)


@st.composite
def pieces(draw, whole=WORDS):
    """A text, cut into pieces anywhere."""
    words = draw(whole)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(words) - 1)), max_size=5)))
    edges = [0, *[cut for cut in cuts if cut < len(words)], len(words)]
    return tuple(words[a:b] for a, b in pairwise(edges))


arguments = st.dictionaries(st.text(max_size=5), st.text(max_size=10) | st.integers(0, 9), max_size=3).map(
    json.dumps
)


@st.composite
def speeches(draw):
    """Thinking, text and calls, in the order in which models say them."""
    parts = []
    if draw(st.booleans()):
        parts.append(Part("thinking", draw(pieces())))
    if draw(st.booleans()):
        parts.append(Part("text", draw(pieces())))
    calls = draw(st.integers(0, 3))
    parts += [
        Part("call", draw(pieces(arguments)), call_id=f"call_{i}", name=f"tool_{i}") for i in range(calls)
    ]
    finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length"]))
    cached = draw(st.integers(0, 50))
    counts = Usage(input=draw(st.integers(0, 99)), cache_read=cached, output=draw(st.integers(0, 99)))
    return replace(Speech(tuple(parts)), finish=finish, usage=counts)


_KEYS = st.sampled_from([
    "type", "role", "text", "content", "source", "url", "image_url", "file", "file_data", "data",
    "function", "name", "arguments", "id", "input", "tool_use_id", "thinking", "signature", "output",
    "format", "mode", "tools", "detail", "allowed_tools",
])  # fmt: skip
_WORDS = st.sampled_from([
    "text", "image_url", "image", "file", "document", "base64", "url", "function", "custom", "tool_use",
    "tool_result", "thinking", "allowed_tools", "input_text", "input_image", "json_schema",
    "data:image/png;base64,AA", "{",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=15,
)
"""JSON that looks like content, tools and choices, and is mostly wrong."""
