"""One answer said in each vendor dialect, plain and streamed.

Owns the reply shapes of the demo model: chat completions, responses, messages,
embeddings. Pure: ids and instants are arguments. The fake vendors of the tests
say their scripted answers through the same builders, and the tests hold these
against the official SDKs' own types.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

Frame = tuple[str | None, Mapping[str, object] | None]
"""One server-sent event: its name (or none) and its data; ``None`` data is ``[DONE]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool that the model calls; ``arguments`` is JSON text."""

    name: str
    arguments: str
    id: str = "call_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the vendor says it used. ``input`` includes ``cached``, ``output`` includes ``reasoning``."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says. ``pieces`` are its text in the order of streaming.

    ``finish`` is one of ``stop``, ``length``, ``refusal`` or ``content_filter``; an
    answer with ``tools`` finishes with the dialect's own tool signal unless it is
    cut (``length``). ``tokens`` None omits the usage.
    """

    id: str
    model: str
    created: int  # seconds since the epoch
    pieces: tuple[str, ...] = ()
    reasoning: str | None = None
    signature: str = "c2lnbmVk"
    tools: tuple[ToolUse, ...] = ()
    finish: str = "stop"
    choices: int = 1
    tokens: Tokens | None = None
    usage: object = field(default=None, repr=False)  # said instead of ``tokens`` when not None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


def encode(frame: Frame) -> bytes:
    """Return one server-sent event as bytes, its blank line included."""
    name, data = frame
    said = b"[DONE]" if data is None else orjson.dumps(data)
    if name is None:
        return b"data: " + said + b"\n\n"
    return b"event: " + name.encode() + b"\ndata: " + said + b"\n\n"


# ----------------------------------------------------------------------- chat


def _chat_finish(answer: Answer) -> str:
    if answer.tools and answer.finish == "stop":
        return "tool_calls"
    return "stop" if answer.finish == "refusal" else answer.finish


def chat_usage(answer: Answer) -> object:
    """Return the usage object of the chat dialect, or None when it is omitted."""
    if answer.usage is not None or answer.tokens is None:
        return answer.usage
    used = answer.tokens
    return {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning, "audio_tokens": 0},
    }


def chat_body(answer: Answer) -> dict[str, object]:
    """Return the plain reply of ``/chat/completions``."""
    refused = answer.finish == "refusal"
    message: dict[str, object] = {
        "role": "assistant",
        "content": None if refused or (answer.tools and not answer.pieces) else answer.text,
        "refusal": answer.text if refused else None,
    }
    if answer.reasoning is not None:
        message["reasoning_content"] = answer.reasoning
    if answer.tools:
        message["tool_calls"] = [
            {"id": t.id, "type": "function", "function": {"name": t.name, "arguments": t.arguments}}
            for t in answer.tools
        ]
    body: dict[str, object] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {"index": i, "message": message, "logprobs": None, "finish_reason": _chat_finish(answer)}
            for i in range(answer.choices)
        ],
        "system_fingerprint": "fp_demo",
    }
    usage = chat_usage(answer)
    if usage is not None:
        body["usage"] = usage
    return body


def chat_events(answer: Answer, *, include_usage: bool) -> Iterator[Frame]:
    """Yield the chunks of a streamed ``/chat/completions``, ``[DONE]`` included."""
    head = {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": "fp_demo",
    }
    tail: dict[str, object] = {"usage": None} if include_usage else {}

    def chunk(index: int, delta: Mapping[str, object], finish: str | None = None) -> Frame:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return None, {**head, "choices": [choice], **tail}

    key = "refusal" if answer.finish == "refusal" else "content"
    for i in range(answer.choices):
        yield chunk(i, {"role": "assistant", "content": "", "refusal": None})
        if answer.reasoning is not None:
            yield chunk(i, {"reasoning_content": answer.reasoning})
    for piece in answer.pieces:
        for i in range(answer.choices):
            yield chunk(i, {key: piece})
    for at, tool in enumerate(answer.tools):
        opened = {"name": tool.name, "arguments": ""}
        for i in range(answer.choices):
            call = {"index": at, "id": tool.id, "type": "function", "function": opened}
            yield chunk(i, {"tool_calls": [call]})
            for part in _parts(tool.arguments):
                yield chunk(i, {"tool_calls": [{"index": at, "function": {"arguments": part}}]})
    for i in range(answer.choices):
        yield chunk(i, {}, _chat_finish(answer))
    usage = chat_usage(answer)
    if include_usage and usage is not None:
        yield None, {**head, "choices": [], "usage": usage}
    yield None, None


def _parts(text: str, size: int = 8) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


# ------------------------------------------------------------------- messages


def messages_stop(answer: Answer) -> str:
    """Return the stop reason of the messages dialect."""
    if answer.tools and answer.finish == "stop":
        return "tool_use"
    return {"stop": "end_turn", "length": "max_tokens"}.get(answer.finish, "refusal")


def messages_usage(answer: Answer) -> object:
    """Return the usage object of the messages dialect; cached tokens stand apart there."""
    if answer.usage is not None or answer.tokens is None:
        return answer.usage
    used = answer.tokens
    return {
        "input_tokens": used.input - used.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.cached,
        "output_tokens": used.output,
    }


def messages_body(answer: Answer) -> dict[str, object]:
    """Return the plain reply of ``/v1/messages``."""
    content: list[object] = []
    if answer.reasoning is not None:
        content.append({"type": "thinking", "thinking": answer.reasoning, "signature": answer.signature})
    if answer.pieces:
        content.append({"type": "text", "text": answer.text})
    content.extend(
        {"type": "tool_use", "id": t.id, "name": t.name, "input": orjson.loads(t.arguments)}
        for t in answer.tools
    )
    body: dict[str, object] = {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": messages_stop(answer),
        "stop_sequence": None,
    }
    usage = messages_usage(answer)
    if usage is not None:
        body["usage"] = usage
    return body


def messages_events(answer: Answer) -> Iterator[Frame]:
    """Yield the events of a streamed ``/v1/messages``."""
    usage = messages_usage(answer)
    first: dict[str, object] = {**messages_body(answer), "content": [], "stop_reason": None}
    if isinstance(usage, dict) and answer.tokens is not None:
        first["usage"] = {**usage, "output_tokens": 1}
    yield "message_start", {"type": "message_start", "message": first}
    yield "ping", {"type": "ping"}
    for index, (block, deltas) in enumerate(_blocks(answer)):
        yield (
            "content_block_start",
            {"type": "content_block_start", "index": index, "content_block": block},
        )
        for delta in deltas:
            yield (
                "content_block_delta",
                {"type": "content_block_delta", "index": index, "delta": delta},
            )
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    ended: dict[str, object] = {
        "type": "message_delta",
        "delta": {"stop_reason": messages_stop(answer), "stop_sequence": None},
    }
    if usage is not None:
        ended["usage"] = usage
    yield "message_delta", ended
    yield "message_stop", {"type": "message_stop"}


def _blocks(
    answer: Answer,
) -> Iterator[tuple[Mapping[str, object], Sequence[Mapping[str, object]]]]:
    if answer.reasoning is not None:
        yield (
            {"type": "thinking", "thinking": "", "signature": ""},
            [
                {"type": "thinking_delta", "thinking": answer.reasoning},
                {"type": "signature_delta", "signature": answer.signature},
            ],
        )
    if answer.pieces:
        yield (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} for piece in answer.pieces],
        )
    for tool in answer.tools:
        yield (
            {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}},
            [{"type": "input_json_delta", "partial_json": p} for p in _parts(tool.arguments)],
        )


# ------------------------------------------------------------------ responses


def responses_usage(answer: Answer) -> object:
    """Return the usage object of the responses dialect."""
    if answer.usage is not None or answer.tokens is None:
        return answer.usage
    used = answer.tokens
    return {
        "input_tokens": used.input,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": 0},
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.input + used.output,
    }


def _text_part(text: str, *, refused: bool) -> dict[str, object]:
    if refused:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message_item(answer: Answer, status: str, content: list[object]) -> dict[str, object]:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _call_item(tool: ToolUse, status: str, arguments: str) -> dict[str, object]:
    return {
        "id": f"fc_{tool.id}",
        "type": "function_call",
        "status": status,
        "call_id": tool.id,
        "name": tool.name,
        "arguments": arguments,
    }


def _reasoning_item(answer: Answer) -> dict[str, object]:
    summary = {"type": "summary_text", "text": answer.reasoning}
    return {"id": f"rs_{answer.id}", "type": "reasoning", "summary": [summary]}


def _response(answer: Answer, status: str, output: list[object]) -> dict[str, object]:
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    return {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": cut} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "store": False,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }


def responses_body(answer: Answer) -> dict[str, object]:
    """Return the plain reply of ``/responses``."""
    status = "incomplete" if answer.finish in {"length", "content_filter"} else "completed"
    output: list[object] = []
    if answer.reasoning is not None:
        output.append(_reasoning_item(answer))
    if answer.pieces:
        part = _text_part(answer.text, refused=answer.finish == "refusal")
        output.append(_message_item(answer, status, [part]))
    output.extend(_call_item(tool, "completed", tool.arguments) for tool in answer.tools)
    body = _response(answer, status, output)
    usage = responses_usage(answer)
    if usage is not None:
        body["usage"] = usage
    return body


def responses_events(answer: Answer) -> Iterator[Frame]:
    """Yield the events of a streamed ``/responses``, numbered from 0."""
    for number, (kind, data) in enumerate(_responses_events(answer)):
        yield kind, {"type": kind, "sequence_number": number, **data}


def _responses_events(answer: Answer) -> Iterator[tuple[str, dict[str, object]]]:
    whole = responses_body(answer)
    yield "response.created", {"response": _response(answer, "in_progress", [])}
    yield "response.in_progress", {"response": _response(answer, "in_progress", [])}
    index = 0
    if answer.reasoning is not None:
        item = _reasoning_item(answer)
        yield "response.output_item.added", {"output_index": index, "item": {**item, "summary": []}}
        at: dict[str, object] = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        empty = {"type": "summary_text", "text": ""}
        yield "response.reasoning_summary_part.added", {**at, "part": empty}
        yield "response.reasoning_summary_text.delta", {**at, "delta": answer.reasoning}
        yield "response.reasoning_summary_text.done", {**at, "text": answer.reasoning}
        part = {"type": "summary_text", "text": answer.reasoning}
        yield "response.reasoning_summary_part.done", {**at, "part": part}
        yield "response.output_item.done", {"output_index": index, "item": item}
        index += 1
    if answer.pieces:
        yield from _text_events(answer, index, str(whole["status"]))
        index += 1
    for tool in answer.tools:
        yield from _call_events(tool, index)
        index += 1
    ended = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
    yield ended, {"response": whole}


def _text_events(answer: Answer, index: int, status: str) -> Iterator[tuple[str, dict[str, object]]]:
    refused = answer.finish == "refusal"
    kind = "refusal" if refused else "output_text"
    opened = _message_item(answer, "in_progress", [])
    yield "response.output_item.added", {"output_index": index, "item": opened}
    at: dict[str, object] = {"item_id": opened["id"], "output_index": index, "content_index": 0}
    yield "response.content_part.added", {**at, "part": _text_part("", refused=refused)}
    extra: dict[str, object] = {} if refused else {"logprobs": []}
    for piece in answer.pieces:
        yield f"response.{kind}.delta", {**at, "delta": piece, **extra}
    said = {"refusal": answer.text} if refused else {"text": answer.text, **extra}
    yield f"response.{kind}.done", {**at, **said}
    part = _text_part(answer.text, refused=refused)
    yield "response.content_part.done", {**at, "part": part}
    item = _message_item(answer, status, [part])
    yield "response.output_item.done", {"output_index": index, "item": item}


def _call_events(tool: ToolUse, index: int) -> Iterator[tuple[str, dict[str, object]]]:
    item = _call_item(tool, "in_progress", "")
    yield "response.output_item.added", {"output_index": index, "item": item}
    at: dict[str, object] = {"item_id": item["id"], "output_index": index}
    for part in _parts(tool.arguments):
        yield "response.function_call_arguments.delta", {**at, "delta": part}
    done = {**at, "name": tool.name, "arguments": tool.arguments}
    yield "response.function_call_arguments.done", done
    whole = _call_item(tool, "completed", tool.arguments)
    yield "response.output_item.done", {"output_index": index, "item": whole}


# ----------------------------------------------------------------- embeddings


def embeddings_body(
    model: str,
    vectors: Sequence[Sequence[float]],
    tokens: Tokens | None,
    *,
    usage: object = None,
    encoding: object = None,
) -> dict[str, object]:
    """Return the reply of ``/embeddings``; ``encoding`` is the request's ``encoding_format``."""

    def said(vector: Sequence[float]) -> object:
        if encoding == "base64":  # what OpenAI's own SDK asks for
            return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        return list(vector)

    body: dict[str, object] = {
        "object": "list",
        "model": model,
        "data": [
            {"object": "embedding", "index": i, "embedding": said(vector)} for i, vector in enumerate(vectors)
        ],
    }
    if usage is not None:
        body["usage"] = usage
    elif tokens is not None:
        body["usage"] = {"prompt_tokens": tokens.input, "total_tokens": tokens.input}
    return body


def embed(text: str, *, dimensions: int = 8) -> list[float]:
    """Return a deterministic vector of a text: the shares of its bytes by residue."""
    counts = [0] * dimensions
    for byte in text.encode():
        counts[byte % dimensions] += 1
    total = sum(counts) or 1
    return [count / total for count in counts]
