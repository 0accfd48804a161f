"""A responses request, which is stateless here, said in OpenAI chat's words.

Items that only the responses API knows (hosted tools, stored prompts, references)
are refused with their parameter. ``docs/reference/surfaces.md`` holds the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.shape import arr, is_array, is_object, obj, objs, text, whole
from gateway.core.translate.reasons import unsayable
from gateway.core.values import Body

_HANDLED = frozenset({
    "input", "model", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning",
    "stream", "include", "truncation", "store",
})  # fmt: skip

_HINTS = frozenset({
    "metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "stream_options",
    "max_tool_calls",
})  # fmt: skip
"""Fields that change speed, cost or bookkeeping, or concern hosted tools only."""

_NO_WORD: Mapping[str, tuple[object, ...]] = {
    "prompt": (None,),
    "previous_response_id": (None,),
    "conversation": (None,),
    "background": (None, False),
    "context_management": (None, []),
    "moderation": (None,),
    "top_logprobs": (None, 0),
    # INVARIANT: no field of the other API gets round the hold, which is made for one choice and one limit.
    "n": (None, 1),
    "best_of": (None, 1),
    "max_tokens": (None,),
    "max_completion_tokens": (None,),
}
"""Fields without an equivalent, and the values at which they ask for nothing."""

_SILENT_INCLUDES = ("reasoning.encrypted_content",)
"""Asked by stateless clients as a matter of course; there is nothing encrypted to include."""


def responses_request_as_chat(
    body: Body, *, model: str, output_cap: int | None, stream: bool, max_field: str
) -> dict[str, object]:
    """Return the chat request; ``max_field`` names its token limit. Raises UnsayableError."""
    for field, nothing in _NO_WORD.items():
        if field in body and body[field] not in nothing:
            raise unsayable(field, f"`{field}` has no equivalent on the model that may answer; leave it out")
    if body.get("truncation") not in (None, "disabled"):
        raise unsayable("truncation", "the model that may answer does not drop input; leave `truncation` out")
    for i, name in enumerate(arr(body, "include")):
        if name not in _SILENT_INCLUDES:
            raise unsayable(f"include[{i}]", "the model that may answer has nothing of this kind to include")
    out: dict[str, object] = {
        key: value
        for key, value in body.items()
        if key not in _HANDLED and key not in _HINTS and key not in _NO_WORD
    }
    out["model"] = model
    cap = output_cap if output_cap is not None else whole(body, "max_output_tokens")
    if cap is not None:
        out[max_field] = cap
    if stream:
        out["stream"] = True
        out["stream_options"] = {"include_usage": True}
    out["messages"] = _conversation(body)
    _answer(body, out)
    _tools(body, out)
    return out


def _answer(body: Body, out: dict[str, object]) -> None:
    """Add the answer's format, verbosity and reasoning."""
    words = obj(body, "text") or {}
    answer = obj(words, "format")
    if answer is not None and answer.get("type") == "json_schema":
        schema = {key: value for key, value in answer.items() if key != "type"}
        out["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif answer is not None and answer.get("type") != "text":
        out["response_format"] = answer
    if words.get("verbosity") is not None:
        out["verbosity"] = words["verbosity"]
    reasoning = obj(body, "reasoning") or {}
    if reasoning.get("mode") not in (None, "standard"):
        raise unsayable("reasoning.mode", "`reasoning.mode` has no equivalent on the model that may answer")
    if reasoning.get("effort") is not None:
        out["reasoning_effort"] = reasoning["effort"]


def _tools(body: Body, out: dict[str, object]) -> None:
    """Add tools and how they may be chosen."""
    tools: list[dict[str, object]] = []
    for i, tool in enumerate(objs(body, "tools")):
        if tool.get("type") != "function":
            raise unsayable(f"tools[{i}]", "the model that may answer takes tools of type `function` only")
        kept = ("name", "description", "parameters", "strict")
        tools.append({"type": "function", "function": {k: tool[k] for k in kept if tool.get(k) is not None}})
    if not tools:
        out.pop("parallel_tool_calls", None)
        return
    out["tools"] = tools
    choice = body.get("tool_choice")
    named = obj(body, "tool_choice") or {}
    if isinstance(choice, str):
        out["tool_choice"] = choice
    elif named.get("type") == "function" and isinstance(named.get("name"), str):
        out["tool_choice"] = {"type": "function", "function": {"name": named["name"]}}
    elif named.get("type") == "allowed_tools":
        names = [item.get("name") for item in objs(named, "tools")]
        out["tools"] = [tool for tool in tools if (obj(tool, "function") or {}).get("name") in names]
        out["tool_choice"] = named.get("mode")
    elif choice is not None:
        raise unsayable("tool_choice", "this `tool_choice` has no equivalent on the model that may answer")


# ----------------------------------------------------------------------- input


def _conversation(body: Body) -> list[dict[str, object]]:
    """Return the messages: instructions, then each item."""
    said: list[dict[str, object]] = []
    instructions = text(body, "instructions")
    if instructions:
        said.append({"role": "system", "content": instructions})
    value = body.get("input")
    if isinstance(value, str):
        return [*said, {"role": "user", "content": value}]
    items = objs(body, "input")
    fresh = max((i for i, item in enumerate(items) if item.get("role") == "user"), default=-1)
    thoughts: str | None = None
    for i, item in enumerate(items):
        at = f"input[{i}]"
        match item.get("type"):
            case None | "message":
                said.append(_message(item, at))
            case "function_call":
                _call(item, said, thoughts)
            case "function_call_output":
                content = _content(item.get("output"), f"{at}.output", only_text=True)
                said.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
            case "reasoning":
                thoughts = _reasoning(item, at, in_loop=i > fresh)
                continue
            case kind:
                raise unsayable(at, f"an item of type `{str(kind)[:32]}` has no equivalent on this model")
        if thoughts and said[-1]["role"] == "assistant":
            said[-1].setdefault("reasoning_content", thoughts)
        thoughts = None
    return said


def _reasoning(item: Mapping[str, object], at: str, *, in_loop: bool) -> str | None:
    """Return reasoning that is in clear; sealed reasoning is its own vendor's only."""
    words = "".join(text(part, "text") or "" for part in objs(item, "content"))
    if words:
        return words
    if item.get("encrypted_content") and in_loop:
        message = "reasoning sealed by another vendor cannot be continued here; start a new turn"
        raise unsayable(f"{at}.encrypted_content", message)
    return None


def _call(item: Mapping[str, object], said: list[dict[str, object]], thoughts: str | None) -> None:
    """Add a tool call to the assistant's turn that it belongs to."""
    call: dict[str, object] = {
        "id": item.get("call_id"),
        "type": "function",
        "function": {"name": item.get("name"), "arguments": item.get("arguments")},
    }
    last = said[-1] if said else None
    if last is not None and last["role"] == "assistant" and not (thoughts and "reasoning_content" in last):
        calls = last.get("tool_calls")
        last["tool_calls"] = [*(calls if is_array(calls) else []), call]
    else:
        said.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _message(item: Mapping[str, object], at: str) -> dict[str, object]:
    """Return a message item."""
    role = text(item, "role")
    match role:
        case "system" | "developer":
            return {
                "role": "system",
                "content": _content(item.get("content"), f"{at}.content", only_text=True),
            }
        case "user":
            return {"role": "user", "content": _content(item.get("content"), f"{at}.content")}
        case "assistant":
            content = _content(item.get("content"), f"{at}.content", only_text=True)
            if is_array(content):
                content = "".join(text(part, "text") or "" for part in content if is_object(part))
            return {"role": "assistant", "content": content}
        case _:
            raise unsayable(f"{at}.role", f"the role `{str(role)[:32]}` has no equivalent on this model")


def _content(content: object, at: str, *, only_text: bool = False) -> object:
    """Return content as a string or as chat's parts."""
    if isinstance(content, str):
        return content
    parts = [
        _part(part, f"{at}[{i}]", only_text=only_text)
        for i, part in enumerate(content if is_array(content) else [])
        if is_object(part)
    ]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    return parts or ""


def _part(part: Mapping[str, object], at: str, *, only_text: bool) -> dict[str, object]:
    """Return one content part."""
    kind = text(part, "type")
    if kind in {"input_text", "output_text", "text"}:
        return {"type": "text", "text": text(part, "text") or ""}
    if kind == "refusal":
        return {"type": "text", "text": text(part, "refusal") or ""}
    if kind == "input_image" and not only_text:
        url = text(part, "image_url")
        if url is None:
            raise unsayable(at, "a file kept at another vendor cannot be sent; send the image as data")
        image: dict[str, object] = {"url": url}
        if part.get("detail") in ("auto", "low", "high"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    if kind == "input_file" and not only_text and isinstance(part.get("file_data"), str):
        return {"type": "file", "file": {k: part[k] for k in ("filename", "file_data") if k in part}}
    raise unsayable(at, f"a content part of type `{str(kind)[:32]}` cannot be sent to this model here")
