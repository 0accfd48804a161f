"""A messages request said in OpenAI chat's words.

What has no equivalent and changes what the answer means is refused with its
parameter; hints (``cache_control``, ``diagnostics`` …) are left out.
``docs/reference/surfaces.md`` holds the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.core.shape import arr, is_array, is_object, obj, objs, text, whole
from gateway.core.translate.reasons import unsayable
from gateway.core.values import Body

_HANDLED = frozenset({
    "messages", "model", "max_tokens", "stop_sequences", "tools", "tool_choice", "output_config", "thinking",
    "metadata", "service_tier", "stream", "system", "cache_control", "diagnostics",
})  # fmt: skip

_NO_WORD: Mapping[str, tuple[object, ...]] = {
    "container": (None,),
    "mcp_servers": (None, []),
    "context_management": (None, {}),
    "inference_geo": (None,),
    "speed": (None, "standard"),
    "user_profile_id": (None,),
    "workspace_id": (None,),
    # INVARIANT: no field of the other API gets round the hold, which is made for one choice and one limit.
    "n": (None, 1),
    "best_of": (None, 1),
    "max_completion_tokens": (None,),
}
"""Fields without an equivalent, and the values at which they ask for nothing."""


def messages_request_as_chat(
    body: Body, *, model: str, output_cap: int | None, stream: bool, max_field: str
) -> dict[str, object]:
    """Return the chat request; ``max_field`` names its token limit. Raises UnsayableError."""
    for field, nothing in _NO_WORD.items():
        if field in body and body[field] not in nothing:
            raise unsayable(field, f"`{field}` has no equivalent on the model that may answer; leave it out")
    out: dict[str, object] = {k: v for k, v in body.items() if k not in _HANDLED and k not in _NO_WORD}
    out["model"] = model
    cap = output_cap if output_cap is not None else whole(body, "max_tokens")
    if cap is not None:
        out[max_field] = cap
    if stream:
        out["stream"] = True
        out["stream_options"] = {"include_usage": True}
    out["messages"] = _conversation(body)
    if stops := arr(body, "stop_sequences"):
        out["stop"] = stops
    user = text(obj(body, "metadata") or {}, "user_id")
    if user:
        out["user"] = user
    tier = text(body, "service_tier")
    if tier is not None:
        out["service_tier"] = "default" if tier == "standard_only" else tier
    _thinking(body, out)
    _tools(body, out)
    return out


def _thinking(body: Body, out: dict[str, object]) -> None:
    """Add reasoning and the answer's format."""
    config = obj(body, "output_config") or {}
    thinking = obj(body, "thinking") or {}
    effort = text(config, "effort")
    if thinking.get("type") == "enabled" and effort is None:
        budget = whole(thinking, "budget_tokens") or 0
        effort = "low" if budget <= 4_096 else "medium" if budget <= 16_384 else "high"
    if effort is not None and thinking.get("type") != "disabled":
        out["reasoning_effort"] = effort
    answer = obj(config, "format")
    if answer is not None:
        schema = obj(answer, "schema")
        if answer.get("type") != "json_schema" or schema is None:
            raise unsayable("output_config.format", "`output_config.format` must be a `json_schema`")
        out["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }


def _tools(body: Body, out: dict[str, object]) -> None:
    """Add tools and how they may be chosen."""
    tools: list[dict[str, object]] = []
    for i, tool in enumerate(objs(body, "tools")):
        if tool.get("type") not in (None, "custom"):
            message = "the model that may answer takes plain tools only, none that a vendor defines or runs"
            raise unsayable(f"tools[{i}]", message)
        function: dict[str, object] = {
            "name": tool.get("name"),
            "parameters": obj(tool, "input_schema") or {},
        }
        if isinstance(tool.get("description"), str):
            function["description"] = tool["description"]
        if isinstance(tool.get("strict"), bool):
            function["strict"] = tool["strict"]
        tools.append({"type": "function", "function": function})
    if not tools:
        return
    out["tools"] = tools
    choice = obj(body, "tool_choice")
    if choice is None:
        return
    match choice.get("type"):
        case "auto" | "none" as word:
            out["tool_choice"] = word
        case "any":
            out["tool_choice"] = "required"
        case "tool":
            out["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
        case _:
            raise unsayable(
                "tool_choice", "this `tool_choice` has no equivalent on the model that may answer"
            )
    if choice.get("disable_parallel_tool_use") is True:
        out["parallel_tool_calls"] = False


# -------------------------------------------------------------------- messages


def _conversation(body: Body) -> list[dict[str, object]]:
    """Return the messages, the system prompt first."""
    said: list[dict[str, object]] = []
    system = _system(body.get("system"))
    if system:
        said.append({"role": "system", "content": system})
    messages = objs(body, "messages")
    fresh = _last_question(messages)
    for i, message in enumerate(messages):
        content = message.get("content")
        at = f"messages[{i}].content"
        match message.get("role"):
            case "system":
                said.append({"role": "system", "content": _system(content)})
            case "user" if isinstance(content, str):
                said.append({"role": "user", "content": content})
            case "assistant" if isinstance(content, str):
                said.append({"role": "assistant", "content": content})
            case "user":
                _user(content, at, said)
            case "assistant":
                said.append(_assistant(content, at, in_loop=i > fresh))
            case role:
                raise unsayable(f"messages[{i}].role", f"the role `{str(role)[:32]}` has no equivalent here")
    return said


def _last_question(messages: list[dict[str, object]]) -> int:
    """Return the index of the last turn in which the user said something, tool results apart."""
    for i in range(len(messages) - 1, -1, -1):
        message = messages[i]
        if message.get("role") == "user" and (
            isinstance(message.get("content"), str)
            or any(block.get("type") != "tool_result" for block in objs(message, "content"))
        ):
            return i
    return -1


def _system(content: object) -> str:
    """Return a system prompt as one text."""
    if isinstance(content, str):
        return content
    blocks = content if is_array(content) else []
    return "\n\n".join(words for block in blocks if is_object(block) and (words := text(block, "text")))


def _user(content: object, at: str, said: list[dict[str, object]]) -> None:
    """Add a user's turn: each tool result as its own message, then the rest."""
    parts: list[dict[str, object]] = []
    for j, block in enumerate(content if is_array(content) else []):
        if not is_object(block):
            continue
        if block.get("type") == "tool_result":
            said.append(
                {
                    "role": "tool",
                    "tool_call_id": block.get("tool_use_id"),
                    "content": _result(block.get("content"), f"{at}[{j}].content"),
                }
            )
        else:
            parts.extend(_part(block, f"{at}[{j}]"))
    if len(parts) == 1 and parts[0]["type"] == "text":
        said.append({"role": "user", "content": parts[0]["text"]})
    elif parts:
        said.append({"role": "user", "content": parts})


def _result(content: object, at: str) -> object:
    """Return a tool's answer: a string, or text parts."""
    if isinstance(content, str):
        return content
    parts: list[dict[str, object]] = []
    for i, block in enumerate(content if is_array(content) else []):
        if is_object(block):
            parts.extend(_part(block, f"{at}[{i}]"))
    for i, part in enumerate(parts):
        if part["type"] != "text":
            raise unsayable(f"{at}[{i}]", "the model that may answer takes tool results of text only")
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 else parts


def _part(block: Mapping[str, object], at: str) -> list[dict[str, object]]:
    """Return a block of a user's turn as content parts."""
    source = obj(block, "source") or {}
    match block.get("type"):
        case "text":
            return [{"type": "text", "text": text(block, "text") or ""}]
        case "image":
            return [{"type": "image_url", "image_url": {"url": _address(source, at)}}]
        case "document":
            return _document(block, source, at)
        case kind:
            raise unsayable(at, f"a block of type `{str(kind)[:32]}` has no equivalent on this model")


def _address(source: Mapping[str, object], at: str) -> str:
    """Return an image's source as an address."""
    match source.get("type"):
        case "base64":
            return f"data:{source.get('media_type')};base64,{source.get('data')}"
        case "url":
            return text(source, "url") or ""
        case _:
            raise unsayable(f"{at}.source", "a file kept at another vendor cannot be sent; send its data")


def _document(block: Mapping[str, object], source: Mapping[str, object], at: str) -> list[dict[str, object]]:
    """Return a document: text as text, a PDF as a file."""
    if is_object(block.get("citations")) and (obj(block, "citations") or {}).get("enabled"):
        raise unsayable(f"{at}.citations", "citations have no equivalent on the model that may answer")
    title = text(block, "title")
    heading: list[dict[str, object]] = [
        {"type": "text", "text": words} for words in (title, text(block, "context")) if words
    ]
    match source.get("type"):
        case "text":
            return [*heading, {"type": "text", "text": text(source, "data") or ""}]
        case "content":
            inner = source.get("content")
            if isinstance(inner, str):
                return [*heading, {"type": "text", "text": inner}]
            return [
                *heading,
                *(
                    part
                    for i, b in enumerate(objs(source, "content"))
                    for part in _part(b, f"{at}.source.content[{i}]")
                ),
            ]
        case "base64":
            data = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return [{"type": "file", "file": {"filename": title or "document.pdf", "file_data": data}}]
        case _:
            raise unsayable(
                f"{at}.source", "the model that may answer takes documents as data; send the data"
            )


def _assistant(content: object, at: str, *, in_loop: bool) -> dict[str, object]:
    """Return an assistant's turn.

    Unsigned thinking came from a chat model and goes back as ``reasoning_content``.
    Signed thinking means something to its own vendor only: it is left out of finished
    turns, as that vendor does itself, and refused inside a tool loop, which needs it.
    """
    words: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, object]] = []
    for j, block in enumerate(content if is_array(content) else []):
        if not is_object(block):
            continue
        match block.get("type"):
            case "text":
                words.append(text(block, "text") or "")
            case "thinking" if not block.get("signature"):
                thoughts.append(text(block, "thinking") or "")
            case "thinking" | "redacted_thinking":
                if in_loop:
                    message = "thinking signed by another vendor cannot be continued here; start a new turn"
                    raise unsayable(f"{at}[{j}]", message)
            case "tool_use":
                packed = orjson.dumps(block.get("input") if is_object(block.get("input")) else {}).decode()
                calls.append(
                    {
                        "id": block.get("id"),
                        "type": "function",
                        "function": {"name": block.get("name"), "arguments": packed},
                    }
                )
            case kind:
                message = f"a block of type `{str(kind)[:32]}` has no equivalent on this model"
                raise unsayable(f"{at}[{j}]", message)
    said: dict[str, object] = {"role": "assistant", "content": "".join(words) if words or not calls else None}
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if calls:
        said["tool_calls"] = calls
    return said
