"""What the fake vendors say: one answer as bytes in every dialect, and the errors of each.

Chat, responses, messages and embeddings are said by :mod:`gateway.demo.shapes`; Bedrock's
converse (with its binary event stream) and Gemini's are said here, by their public docs.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.demo import shapes


def plain_body(dialect: str, answer: shapes.Answer, request: dict[str, Any], text_in: int) -> object:
    match dialect:
        case "chat":
            return shapes.chat_body(answer)
        case "responses":
            return shapes.responses_body(answer)
        case "messages":
            return shapes.messages_body(answer)
        case "count_tokens":
            return {"input_tokens": text_in}
        case "embeddings":
            given = request.get("input", [])
            texts = [given] if isinstance(given, str) else list(given)
            vectors = [shapes.embed(str(text)) for text in texts]
            tokens = shapes.Tokens(input=text_in, output=0) if answer.tokens else None
            return shapes.embeddings_body(
                answer.model,
                vectors,
                tokens,
                usage=answer.usage,
                encoding=request.get("encoding_format"),
            )
        case "bedrock":
            return _bedrock_body(answer)
        case _:
            return _gemini_body(answer, answer.text, ended=True)


def frames(
    dialect: str, answer: shapes.Answer, request: dict[str, Any], *, endless: bool = False
) -> Iterator[tuple[bytes, int]]:
    """Yield frames and the tokens that each bills."""
    if endless:
        yield from _endless(dialect, answer, request)
        return
    match dialect:
        case "chat":
            options = request.get("stream_options")
            usage = isinstance(options, dict) and options.get("include_usage") is True
            said = shapes.chat_events(answer, include_usage=usage)
        case "responses":
            said = shapes.responses_events(answer)
        case "messages":
            said = shapes.messages_events(answer)
        case "bedrock":
            yield from _bedrock_frames(answer)
            return
        case _:
            for at, piece in enumerate(answer.pieces):
                body = _gemini_body(answer, piece, ended=at == len(answer.pieces) - 1)
                yield b"data: " + orjson.dumps(body) + b"\r\n\r\n", 1
            return
    for frame in said:
        yield shapes.encode(frame), int(_carries_text(frame[1]))


def _endless(dialect: str, answer: shapes.Answer, request: dict[str, Any]) -> Iterator[tuple[bytes, int]]:
    """The opening events once, then its text for ever, one token per event."""
    once = replace(answer, pieces=answer.pieces[:1] or ("token ",), tools=(), reasoning=None)
    for data, tokens in frames(dialect, once, request):
        if tokens:
            while True:
                yield data, tokens
        yield data, tokens


def _carries_text(data: Mapping[str, object] | None) -> bool:
    if data is None:
        return False
    match data:
        case {"choices": [{"delta": dict() as delta}, *_]}:
            return any(delta.get(k) for k in ("content", "refusal", "reasoning_content", "tool_calls"))
        case {"type": str(kind)}:
            return kind.endswith((".delta", "block_delta"))
        case _:
            return False


def error_body(dialect: str | None, status: int) -> dict[str, object]:
    message = f"fake error {status}"
    if dialect in {"messages", "count_tokens"}:
        kind = {429: "rate_limit_error", 529: "overloaded_error", 401: "authentication_error"}
        said = kind.get(status, "invalid_request_error" if status < 500 else "api_error")
        return {"type": "error", "error": {"type": said, "message": message}}
    if dialect == "bedrock":
        return {"message": message}
    if dialect == "gemini":
        return {"error": {"code": status, "message": message, "status": "UNAVAILABLE"}}
    usual = "invalid_request_error" if status < 500 else "server_error"
    code, said = {
        429: ("rate_limit_exceeded", "requests"),
        401: ("invalid_api_key", "invalid_request_error"),
    }.get(status, (None, usual))
    return {"error": {"message": message, "type": said, "param": None, "code": code}}


def error_frame(dialect: str | None) -> bytes:
    overloaded = {"type": "overloaded_error", "message": "overloaded"}
    match dialect:
        case "messages":
            return shapes.encode(("error", {"type": "error", "error": overloaded}))
        case "responses":
            failed = {"type": "error", "code": "server_error", "message": "boom", "param": None}
            return shapes.encode(("error", {**failed, "sequence_number": 99}))
        case _:
            error = {"message": "the server had an error", "type": "server_error"}
            return shapes.encode((None, {"error": {**error, "param": None, "code": None}}))


# ------------------------------------------------------------------- bedrock


def _bedrock_usage(answer: shapes.Answer) -> dict[str, object]:
    used = answer.tokens or shapes.Tokens(input=0, output=0)
    total = used.input + used.output
    return {"inputTokens": used.input, "outputTokens": used.output, "totalTokens": total}


def _bedrock_stop(answer: shapes.Answer) -> str:
    if answer.tools:
        return "tool_use"
    return {"length": "max_tokens", "content_filter": "content_filtered"}.get(answer.finish, "end_turn")


def _bedrock_body(answer: shapes.Answer) -> dict[str, object]:
    content: list[object] = [{"text": answer.text}] if answer.pieces else []
    content += [
        {"toolUse": {"toolUseId": t.id, "name": t.name, "input": orjson.loads(t.arguments)}}
        for t in answer.tools
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _bedrock_stop(answer),
        "usage": _bedrock_usage(answer),
        "metrics": {"latencyMs": 12},
    }


def _bedrock_frames(answer: shapes.Answer) -> Iterator[tuple[bytes, int]]:
    yield event_frame("messageStart", {"role": "assistant"}), 0
    index = 0
    if answer.pieces:
        for piece in answer.pieces:
            delta = {"contentBlockIndex": index, "delta": {"text": piece}}
            yield event_frame("contentBlockDelta", delta), 1
        yield event_frame("contentBlockStop", {"contentBlockIndex": index}), 0
        index += 1
    for tool in answer.tools:
        start = {"toolUse": {"toolUseId": tool.id, "name": tool.name}}
        yield event_frame("contentBlockStart", {"contentBlockIndex": index, "start": start}), 0
        for i in range(0, len(tool.arguments), 8):
            part = {"toolUse": {"input": tool.arguments[i : i + 8]}}
            yield event_frame("contentBlockDelta", {"contentBlockIndex": index, "delta": part}), 2
        yield event_frame("contentBlockStop", {"contentBlockIndex": index}), 0
        index += 1
    yield event_frame("messageStop", {"stopReason": _bedrock_stop(answer)}), 0
    meta = {"usage": _bedrock_usage(answer), "metrics": {"latencyMs": 12}}
    yield event_frame("metadata", meta), 0


def event_frame(kind: str, payload: Mapping[str, object], *, message: str = "event") -> bytes:
    """Return one frame of AWS's event stream: prelude, headers, payload and both checksums."""
    named = {
        f":{'exception' if message == 'exception' else 'event'}-type": kind,
        ":content-type": "application/json",
        ":message-type": message,
    }
    headers = b"".join(
        bytes([len(k)]) + k.encode() + b"\x07" + struct.pack(">H", len(v)) + v.encode()
        for k, v in named.items()
    )
    data = orjson.dumps(payload)
    prelude = struct.pack(">II", 16 + len(headers) + len(data), len(headers))
    prelude += struct.pack(">I", binascii.crc32(prelude))
    whole = prelude + headers + data
    return whole + struct.pack(">I", binascii.crc32(whole))


# -------------------------------------------------------------------- gemini


def _gemini_body(answer: shapes.Answer, text: str, *, ended: bool) -> dict[str, object]:
    parts: list[object] = [{"text": text}] if text else []
    if ended:
        parts += [{"functionCall": {"name": t.name, "args": orjson.loads(t.arguments)}} for t in answer.tools]
    candidate: dict[str, object] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if ended:
        finish = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
        candidate["finishReason"] = finish.get(answer.finish, "STOP")
    body: dict[str, object] = {
        "candidates": [candidate],
        "modelVersion": answer.model,
        "responseId": answer.id,
    }
    if ended and answer.tokens is not None:
        body["usageMetadata"] = {
            "promptTokenCount": answer.tokens.input,
            "candidatesTokenCount": answer.tokens.output,
            "totalTokenCount": answer.tokens.input + answer.tokens.output,
        }
    return body
