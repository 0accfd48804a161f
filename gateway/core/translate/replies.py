"""Plain replies from one dialect's words to another surface's."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.core.errors import Refusal
from gateway.core.shape import is_object, obj, objs, text
from gateway.core.translate.chat_to_messages import parse_arguments
from gateway.core.translate.fold import GARBLED
from gateway.core.translate.identity import empty_response
from gateway.core.translate.reasons import to_chat, to_messages
from gateway.core.translate.usage import as_chat, as_messages, as_responses
from gateway.core.usage import chat_usage, messages_usage
from gateway.core.values import Usage


def chat_from_messages(body: Mapping[str, object], *, asked_model: str, created: int) -> dict[str, object]:
    """Return a messages reply as a chat completion.

    Thinking stands in ``reasoning_content``, and verbatim with its signature in
    ``thinking_blocks``; blocks that chat has no field for stand in ``borderpost.content``.
    """
    words: list[str] = []
    thoughts: list[str] = []
    signed: list[dict[str, object]] = []
    calls: list[dict[str, object]] = []
    others: list[dict[str, object]] = []
    for block in objs(body, "content"):
        match block.get("type"):
            case "text":
                words.append(text(block, "text") or "")
                if block.get("citations"):
                    others.append(block)
            case "thinking" | "redacted_thinking":
                thoughts.append(text(block, "thinking") or "")
                signed.append(block)
            case "tool_use":
                packed = orjson.dumps(obj(block, "input") or {}).decode()
                function = {"name": block.get("name"), "arguments": packed}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case _:
                others.append(block)
    finish, extension = to_chat(text(body, "stop_reason"), text(body, "stop_sequence"))
    message: dict[str, object] = {
        "role": "assistant",
        "content": "".join(words) if words else None,
        "refusal": text(obj(body, "stop_details") or {}, "explanation"),
    }
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
        message["thinking_blocks"] = signed
    if others:
        message["borderpost"] = {"content": others}
    choice: dict[str, object] = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    if extension:
        choice["borderpost"] = extension
    reply: dict[str, object] = {
        "id": text(body, "id") or "",
        "object": "chat.completion",
        "created": created,
        "model": text(body, "model") or asked_model,
        "choices": [choice],
    }
    usage = messages_usage(body.get("usage"))
    if usage is not None:
        reply["usage"] = as_chat(usage)
    return reply


def messages_from_chat(body: Mapping[str, object], *, asked_model: str) -> dict[str, object] | Refusal:
    """Return a chat completion as a messages reply.

    A tool call that the token limit cut in half is left out (the stop reason says
    ``max_tokens``); one whose arguments are not JSON for no such reason is garbled.
    """
    choices = objs(body, "choices")
    message = obj(choices[0], "message") if choices else None
    if message is None:
        return GARBLED
    finish = text(choices[0], "finish_reason")
    content: list[dict[str, object]] = thinking_of(message)
    words = text(message, "content")
    refusal = text(message, "refusal")
    content.extend({"type": "text", "text": said} for said in (words, refusal) if said)
    calls = 0
    for call in objs(message, "tool_calls"):
        function = obj(call, "function") or {}
        arguments = parse_arguments(text(function, "arguments"))
        if arguments is None and finish == "length":
            continue
        if arguments is None:
            return GARBLED
        calls += 1
        content.append(
            {
                "type": "tool_use",
                "id": text(call, "id") or f"toolu_{calls}",
                "name": text(function, "name") or "",
                "input": arguments,
            }
        )
    sequence = choices[0].get("stop_reason")
    reason, stopped_by = to_messages(finish, tools=calls > 0, refused=bool(refusal), sequence=sequence)
    return {
        "id": text(body, "id") or "",
        "type": "message",
        "role": "assistant",
        "model": text(body, "model") or asked_model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stopped_by,
        "usage": as_messages(chat_usage(body.get("usage")) or Usage()),
    }


def thinking_of(message: Mapping[str, object]) -> list[dict[str, object]]:
    """Return a chat message's reasoning as thinking blocks: signed ones as they are, others unsigned."""
    signed = objs(message, "thinking_blocks")
    if signed:
        return signed
    thoughts = text(message, "reasoning_content") or text(message, "reasoning")
    return [{"type": "thinking", "thinking": thoughts, "signature": ""}] if thoughts else []


ECHOED = (
    "instructions", "metadata", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p",
    "max_output_tokens", "reasoning", "text", "truncation", "user",
)  # fmt: skip
"""Fields of a request that a response repeats."""


def responses_head(
    response_id: str, model: str, created: int, asked: Mapping[str, object] | None
) -> dict[str, object]:
    """Return a response object before its output, repeating what was asked as the API does."""
    echoed = {key: asked[key] for key in ECHOED if asked and asked.get(key) is not None}
    return {**empty_response(response_id, model, created), **echoed, "store": False}


def responses_end(finish: str | None) -> dict[str, object]:
    """Return the status fields of a finished response for chat's finish reason."""
    match finish:
        case "length" | "model_length":
            return {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        case "content_filter":
            return {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
        case "stop" | "tool_calls" | "function_call":
            return {"status": "completed"}
        case _:  # a word of a vendor's own: kept, and not called a success
            return {"status": "incomplete", "borderpost": {"finish_reason": finish}}


def responses_from_chat(
    body: Mapping[str, object], *, asked_model: str, created: int, asked: Mapping[str, object] | None
) -> dict[str, object] | Refusal:
    """Return a chat completion as a response."""
    choices = objs(body, "choices")
    message = obj(choices[0], "message") if choices else None
    if message is None:
        return GARBLED
    vendor_id = text(body, "id") or ""
    end = responses_end(text(choices[0], "finish_reason"))
    status = "completed" if end["status"] == "completed" else "incomplete"
    output: list[dict[str, object]] = []
    thoughts = text(message, "reasoning_content") or text(message, "reasoning")
    if thoughts:
        output.append(reasoning_item(f"rs_{vendor_id}", thoughts, "completed"))
    parts = [
        *([text_part(words)] if (words := text(message, "content")) else []),
        *([{"type": "refusal", "refusal": words}] if (words := text(message, "refusal")) else []),
    ]
    if parts:
        output.append(
            {
                "id": f"msg_{vendor_id}",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": parts,
            }
        )
    for call in objs(message, "tool_calls"):
        function = obj(call, "function") or {}
        packed = text(function, "arguments") or ""
        whole = parse_arguments(packed) is not None
        output.append(
            {
                "id": f"fc_{vendor_id}_{len(output)}",
                "type": "function_call",
                "call_id": text(call, "id") or f"call_{len(output)}",
                "name": text(function, "name") or "",
                "arguments": packed,
                "status": "completed" if whole else "incomplete",
            }
        )
    when = body.get("created")
    head = responses_head(
        f"resp_{vendor_id}",
        text(body, "model") or asked_model,
        when if isinstance(when, int) else created,
        asked,
    )
    usage = chat_usage(body.get("usage"))
    reply = {**head, **end, "output": output, "usage": as_responses(usage) if usage else None}
    if is_object(message.get("borderpost")):
        reply["borderpost"] = {**(obj(reply, "borderpost") or {}), **(obj(message, "borderpost") or {})}
    return reply


def text_part(words: str) -> dict[str, object]:
    """Return a content part of text."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": words}


def reasoning_item(item_id: str, thoughts: str, status: str) -> dict[str, object]:
    """Return reasoning in clear as an output item."""
    content = [{"type": "reasoning_text", "text": thoughts}]
    return {"id": item_id, "type": "reasoning", "summary": [], "content": content, "status": status}
