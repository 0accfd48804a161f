"""What litellm would blur, held: the parameters, limits and finish reasons of translation.

Pure, and free of litellm, so that its tests need none. litellm says ``stop`` where it does
not know better, drops or raises limits, and fills usage in. Here a finish reason that is not
known is an error, usage that the vendor left out is left out, the limit of output tokens is
the one that was cleared, and a parameter that cannot be said is refused by name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any  # litellm's own types are not ours to name
from urllib.parse import quote

SAID = frozenset({
    "frequency_penalty", "logprobs", "max_completion_tokens", "max_tokens", "n",
    "parallel_tool_calls", "presence_penalty", "reasoning_effort", "response_format", "seed",
    "stop", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
})  # fmt: skip
"""Parameters of chat that are handed to litellm."""

NEEDLESS = frozenset({
    "messages", "metadata", "model", "prompt_cache_key", "safety_identifier", "store", "stream",
    "stream_options", "user",
})  # fmt: skip
"""Parameters that these vendors need not learn of: they do not change the answer."""

BEDROCK_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
GEMINI_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "BLOCKLIST": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "LANGUAGE": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "RECITATION": "content_filter",
    "SAFETY": "content_filter",
    "SPII": "content_filter",
}
_MESSAGE_FIELDS = ("role", "content", "refusal", "tool_calls", "reasoning_content", "thinking_blocks")


class UnsayableError(Exception):
    """The request cannot be said honestly; ``param`` names what."""

    def __init__(self, param: str) -> None:
        """Keep the parameter's name."""
        super().__init__(param)
        self.param = param


# -------------------------------------------------------------------- requests


def params_of(body: Mapping[str, Any], supported: set[str]) -> dict[str, Any]:
    """Return the parameters to hand on. Raises UnsayableError for one that cannot be said."""
    params: dict[str, Any] = {}
    for name, value in body.items():
        idle = value is None or (name == "n" and value == 1) or (name == "logprobs" and value is False)
        if name in NEEDLESS or idle or (name == "parallel_tool_calls" and value is True):
            continue
        if name not in SAID or name not in supported:
            raise UnsayableError(name)
        params[name] = value
    return params


def no_remote_media(value: object) -> None:
    """Refuse media by URL: litellm would fetch it, and nothing is fetched here."""
    if isinstance(value, list):
        for item in value:
            no_remote_media(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in {"url", "image_url", "file_id", "file_url"} and isinstance(item, str):
                if not item.startswith("data:"):
                    raise UnsayableError("messages")
            elif name in {"content", "image_url", "file", "input_audio"}:
                no_remote_media(item)


def hold_cap(said: dict[str, Any], group: str, names: tuple[str, ...], cap: int | None) -> None:
    """INVARIANT: what is sent never asks for more output than was cleared and held."""
    if cap is None:
        return
    config = said.setdefault(group, {})
    name = next((name for name in names if name in config), names[-1])
    config[name] = cap


def address(asked: Mapping[str, Any], *, stream: bool) -> str:
    """Return the vendor's URL of a call, on the connection's own origin."""
    base, model = asked["url"].rstrip("/"), asked["model"]
    if asked["api"] == "bedrock":
        return f"{base}/model/{quote(model, safe='')}/converse{'-stream' if stream else ''}"
    base = base.removesuffix("/v1beta")
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"{base}/v1beta/models/{quote(model, safe='')}:{verb}"


# --------------------------------------------------------------------- replies


def known(table: Mapping[str, str], reason: object) -> str:
    """Return chat's word for a finish reason; one that is not known is never taken for a stop."""
    if not isinstance(reason, str) or reason not in table:
        raise ValueError("unknown finish reason")
    return table[reason]


def _kept(value: Any) -> dict[str, Any]:
    """Return the fields of a message or delta that chat knows."""
    dumped = value.model_dump(exclude_none=True)
    return {name: dumped[name] for name in _MESSAGE_FIELDS if dumped.get(name) not in (None, [])}


def _usage(reply: Any) -> dict[str, Any] | None:
    usage = getattr(reply, "usage", None)
    return None if usage is None else dict(usage.model_dump(exclude_none=True))


def gemini_finishes(parsed: Mapping[str, Any]) -> list[str]:
    """Return the finish reason of each candidate; a blocked prompt is a content filter's."""
    if (parsed.get("promptFeedback") or {}).get("blockReason"):
        return ["content_filter"]
    return [known(GEMINI_FINISH, one.get("finishReason")) for one in parsed.get("candidates") or []]


def chat(reply: Any, finishes: list[str], *, usage: bool) -> dict[str, Any]:
    """Return litellm's reply as a plain chat completion, with the vendor's own finish reasons."""
    choices = []
    for choice, finish in zip(reply.choices, finishes, strict=True):
        message = {"content": None, "refusal": None, **_kept(choice.message)}
        calls = message.get("tool_calls", [])
        for call in calls:
            call.pop("index", None)
        if calls and not message["content"]:
            message["content"] = None
        reason = with_tools(finish, called=bool(calls))
        choices.append({"index": choice.index, "message": message, "finish_reason": reason})
    body: dict[str, Any] = {
        "id": reply.id,
        "object": "chat.completion",
        "created": int(reply.created or time.time()),
        "model": reply.model,
        "choices": choices,
    }
    said = _usage(reply) if usage else None
    if said is not None:
        body["usage"] = said
    return body


def with_tools(finish: str, *, called: bool) -> str:
    """Return the reason as chat says it: Gemini stops where it calls a tool, and a structured
    answer that Bedrock gives by way of a tool is an answer.
    """
    if finish in {"stop", "tool_calls"}:
        return "tool_calls" if called else "stop"
    return finish


def choice_of(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    """Return the only choice of a chunk."""
    return {"index": 0, "delta": delta, "finish_reason": finish}


def carries_calls(said: Mapping[str, Any]) -> bool:
    """Whether a chunk carries a part of a tool call."""
    return any(choice["delta"].get("tool_calls") for choice in said.get("choices", []))


def chunk_of(reply: Any) -> dict[str, Any]:
    """Return litellm's chunk as a chat chunk without its head; empty when it says nothing.

    litellm's finish reason is left out: it says ``stop`` where the vendor said nothing.
    """
    choices = []
    for choice in reply.choices:
        delta = _kept(choice.delta)
        delta.pop("role", None)
        if delta.get("content") == "":
            del delta["content"]
        for call in delta.get("tool_calls", []):
            if call.get("id") is None:  # a further part of a call says no more than its part
                call.pop("id", None)
                call.pop("type", None)
                call["function"] = {"arguments": call["function"].get("arguments") or ""}
        if delta:
            choices.append({**choice_of(delta), "index": choice.index})
    usage = _usage(reply)
    said: dict[str, Any] = {}
    if choices or usage is not None:
        said["choices"] = choices
    if usage is not None:
        said["usage"] = usage
    return said
