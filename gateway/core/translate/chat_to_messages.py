"""A chat request said in Anthropic's words.

What has no equivalent and changes what the answer means is refused with its
parameter; hints (``seed``, ``prompt_cache_key``, ``prediction`` …) are left out.
``docs/reference/surfaces.md`` holds the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.core.errors import Code, Refusal
from gateway.core.shape import deeper_than, is_array, is_object, obj, objs, text, whole
from gateway.core.translate.reasons import UnsayableError, unsayable
from gateway.core.values import Body

FALLBACK_TOKENS = 4_096
"""Anthropic requires a limit; used only where neither the app nor the gateway set one."""

DEEPEST = 100
"""Levels of tool arguments: as many as a request's body may have."""

_HANDLED = frozenset({
    "messages", "model", "max_tokens", "max_completion_tokens", "stop", "n", "tools", "tool_choice",
    "parallel_tool_calls", "response_format", "reasoning_effort", "user", "safety_identifier", "service_tier",
    "stream", "temperature",
})  # fmt: skip

_HINTS = frozenset({
    "seed", "metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "prediction",
    "stream_options",
})  # fmt: skip
"""Fields that change speed, cost or bookkeeping but not what may be answered."""

_NO_WORD: Mapping[str, tuple[object, ...]] = {
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0, 0.0),
    "presence_penalty": (None, 0, 0.0),
    "verbosity": (None, "medium"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "store": (None, False),
    "web_search_options": (None,),
    "functions": (None, []),
    "function_call": (None,),
    "moderation": (None,),
    "best_of": (None, 1),
}
"""Fields without an equivalent, and the values at which they ask for nothing."""

_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}


def chat_request_as_messages(
    body: Body, *, model: str, output_cap: int | None, stream: bool
) -> dict[str, object]:
    """Return the messages request. Raises UnsayableError."""
    for field, nothing in _NO_WORD.items():
        if field in body and body[field] not in nothing:
            raise unsayable(field, f"`{field}` has no equivalent on the model that may answer; leave it out")
    if (whole(body, "n") or 1) > 1:
        raise unsayable("n", "the model that may answer gives one choice; send `n` calls, or leave `n` out")
    asked = whole(body, "max_completion_tokens") or whole(body, "max_tokens")
    out: dict[str, object] = {
        key: value
        for key, value in body.items()
        if key not in _HANDLED and key not in _HINTS and key not in _NO_WORD
    }
    out["model"] = model
    out["max_tokens"] = output_cap if output_cap is not None else asked or FALLBACK_TOKENS
    if stream:
        out["stream"] = True
    _messages(body, out)
    _options(body, out)
    _tools(body, out)
    return out


def _options(body: Body, out: dict[str, object]) -> None:
    """Add sampling, answer format, reasoning and the user."""
    heat = body.get("temperature")
    if isinstance(heat, (int, float)):
        if heat > 1:
            raise unsayable("temperature", "the model that may answer takes a `temperature` of at most 1")
        out["temperature"] = heat
    stop = body.get("stop")
    if stop:
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    user = text(body, "safety_identifier") or text(body, "user")
    if user:
        out["metadata"] = {"user_id": user}
    _tier(text(body, "service_tier"), out)
    config: dict[str, object] = dict(obj(body, "output_config") or {})
    effort = text(body, "reasoning_effort")
    if effort == "none":
        out.setdefault("thinking", {"type": "disabled"})
    elif effort is not None:
        if effort not in _EFFORTS:
            raise unsayable("reasoning_effort", f"`reasoning_effort` cannot be `{effort[:32]}` on this model")
        config.setdefault("effort", _EFFORTS[effort])
        out.setdefault("thinking", {"type": "adaptive"})
    answer = obj(body, "response_format")
    if answer is not None:
        _format(answer, config)
    if config:
        out["output_config"] = config


def _tier(tier: str | None, out: dict[str, object]) -> None:
    """Add the service tier."""
    match tier:
        case None:
            return
        case "auto":
            out["service_tier"] = "auto"
        case "default":
            out["service_tier"] = "standard_only"
        case _:
            raise unsayable("service_tier", "`service_tier` must be `auto` or `default` on this model")


def _format(answer: Mapping[str, object], config: dict[str, object]) -> None:
    """Add a structured output."""
    match answer.get("type"):
        case "text":
            return
        case "json_schema":
            schema = obj(obj(answer, "json_schema") or {}, "schema")
            if schema is None:
                raise unsayable("response_format.json_schema.schema", "name the `schema` of the answer")
            config["format"] = {"type": "json_schema", "schema": schema}
        case _:
            raise unsayable(
                "response_format", "the model that may answer takes `json_schema` only; send the schema"
            )


# ----------------------------------------------------------------------- tools


def _tools(body: Body, out: dict[str, object]) -> None:
    """Add tools and how they may be chosen."""
    tools = [_tool(tool, i) for i, tool in enumerate(objs(body, "tools"))]
    choice = body.get("tool_choice")
    said: dict[str, object] | None = None
    if choice is not None:
        said = _choice(choice)
        if said is None:
            raise unsayable(
                "tool_choice", "this `tool_choice` has no equivalent on the model that may answer"
            )
        allowed = _allowed(choice)
        if allowed is not None:
            tools = [tool for tool in tools if tool["name"] in allowed]
    if tools:
        out["tools"] = tools
        if body.get("parallel_tool_calls") is False and (said or {}).get("type") != "none":
            said = {**(said or {"type": "auto"}), "disable_parallel_tool_use": True}
        if said is not None:
            out["tool_choice"] = said


def _choice(choice: object) -> dict[str, object] | None:
    """Return a way of choosing tools in Anthropic's words, or None."""
    if isinstance(choice, str):
        word = {"auto": "auto", "none": "none", "required": "any"}.get(choice)
        return {"type": word} if word else None
    if not is_object(choice):
        return None
    name = (obj(choice, "function") or {}).get("name")
    if choice.get("type") == "function" and isinstance(name, str):
        return {"type": "tool", "name": name}
    if choice.get("type") == "allowed_tools":
        required = (obj(choice, "allowed_tools") or {}).get("mode") == "required"
        return {"type": "any" if required else "auto"}
    return None


def _allowed(choice: object) -> list[object] | None:
    """Return the names of a choice that allows some tools only, or None for all."""
    if not is_object(choice) or choice.get("type") != "allowed_tools":
        return None
    tools = objs(obj(choice, "allowed_tools") or {}, "tools")
    return [(obj(tool, "function") or tool).get("name") for tool in tools]


def _tool(tool: Mapping[str, object], i: int) -> dict[str, object]:
    """Return one function tool."""
    function = obj(tool, "function")
    if tool.get("type") != "function" or function is None:
        raise unsayable(f"tools[{i}]", "the model that may answer takes tools of type `function` only")
    said: dict[str, object] = {
        "name": function.get("name"),
        "input_schema": obj(function, "parameters") or {"type": "object", "properties": {}},
    }
    if isinstance(function.get("description"), str):
        said["description"] = function["description"]
    if isinstance(function.get("strict"), bool):
        said["strict"] = function["strict"]
    for holder in (tool, function):
        if is_object(holder.get("cache_control")):
            said["cache_control"] = holder["cache_control"]
    return said


# -------------------------------------------------------------------- messages


def _messages(body: Body, out: dict[str, object]) -> None:
    """Add the conversation: leading instructions apart, tool results as a user's turn."""
    system: list[dict[str, object]] = []
    turns: list[dict[str, object]] = []
    names = {name for m in objs(body, "messages") if m.get("role") == "user" and (name := text(m, "name"))}
    if len(names) > 1:
        raise unsayable("messages", "the model that may answer cannot tell several named users apart")
    for i, message in enumerate(objs(body, "messages")):
        at = f"messages[{i}]"
        match message.get("role"):
            case "system" | "developer":
                blocks = _blocks(message.get("content"), f"{at}.content")
                if turns:
                    turns.append({"role": "system", "content": blocks})
                else:
                    system.extend(blocks)
            case "user":
                _join(turns, _blocks(message.get("content"), f"{at}.content"))
            case "tool":
                _join(turns, [_result(message, at)])
            case "assistant":
                blocks = _assistant(message, at)
                if blocks:
                    turns.append({"role": "assistant", "content": blocks})
            case role:
                raise unsayable(f"{at}.role", f"the role `{str(role)[:32]}` has no equivalent on this model")
    if len(system) == 1 and system[0].keys() == {"type", "text"}:
        out["system"] = system[0]["text"]
    elif system:
        out["system"] = system
    out["messages"] = [_plain(turn) for turn in turns]


def _plain(turn: dict[str, object]) -> dict[str, object]:
    """Return a turn with one bare text as a string, the shortest form that means the same."""
    content = turn["content"]
    if is_array(content) and len(content) == 1:
        block = content[0]
        if is_object(block) and block.keys() == {"type", "text"}:
            return {**turn, "content": block["text"]}
    return turn


def _join(turns: list[dict[str, object]], blocks: list[dict[str, object]]) -> None:
    """Add a user's blocks: all results of one round stand in one turn, before other content."""
    last = turns[-1] if turns else None
    if last is not None and last["role"] == "user":
        content = last["content"]
        held = content if is_array(content) else []
        after_results = bool(held) and is_object(held[-1]) and held[-1].get("type") == "tool_result"
        if after_results:
            last["content"] = [*held, *blocks]
            return
    turns.append({"role": "user", "content": blocks})


def _result(message: Mapping[str, object], at: str) -> dict[str, object]:
    """Return a tool's answer."""
    content = message.get("content")
    return {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": content if isinstance(content, str) else _blocks(content, f"{at}.content"),
    }


def _assistant(message: Mapping[str, object], at: str) -> list[dict[str, object]]:
    """Return an assistant's turn: signed thinking first, as it was signed."""
    if message.get("audio") is not None:
        raise unsayable(f"{at}.audio", "the model that may answer takes no audio")
    if message.get("function_call") is not None:
        raise unsayable(f"{at}.function_call", "`function_call` is out of use; send `tool_calls`")
    # A streamed block carries the index that accumulators need; its vendor knows no such field.
    blocks = [{k: v for k, v in block.items() if k != "index"} for block in objs(message, "thinking_blocks")]
    blocks += _blocks(message.get("content"), f"{at}.content")
    refusal = text(message, "refusal")
    if refusal:
        blocks.append({"type": "text", "text": refusal})
    for j, call in enumerate(objs(message, "tool_calls")):
        where = f"{at}.tool_calls[{j}]"
        function = obj(call, "function")
        if function is None:
            raise unsayable(where, "the model that may answer takes tool calls of type `function` only")
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": _arguments(text(function, "arguments"), f"{where}.function.arguments"),
            }
        )
    return blocks


def _arguments(packed: str | None, param: str) -> dict[str, object]:
    """Return tool arguments as the object that they must be."""
    value = parse_arguments(packed)
    if value is None:
        message = f"`{param}` is not a JSON object, which the model that may answer needs"
        raise UnsayableError(Refusal(code=Code.INVALID_REQUEST, param=param, message=message, retry=False))
    return value


def parse_arguments(packed: str | None) -> dict[str, object] | None:
    """Return the object that tool arguments hold (none at all is an empty one), or None."""
    if not packed or not packed.strip():
        return {}
    try:
        value: object = orjson.loads(packed)
    except orjson.JSONDecodeError:
        return None
    if not is_object(value) or (
        packed.count("{") + packed.count("[") > DEEPEST and deeper_than(value, DEEPEST)
    ):
        return None
    return value


def _blocks(content: object, at: str) -> list[dict[str, object]]:
    """Return content parts as blocks; empty texts, which Anthropic refuses, are left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    found: list[dict[str, object]] = []
    for i, part in enumerate(content if is_array(content) else []):
        if not is_object(part):
            continue
        block = _block(part, f"{at}[{i}]")
        if block is not None:
            if is_object(part.get("cache_control")):
                block["cache_control"] = part["cache_control"]
            found.append(block)
    return found


def _block(part: Mapping[str, object], at: str) -> dict[str, object] | None:
    """Return one content part as a block, or None for an empty text."""
    match part.get("type"):
        case "text" | "refusal":
            words = text(part, "text") or text(part, "refusal")
            return {"type": "text", "text": words} if words else None
        case "image_url":
            url = text(obj(part, "image_url") or part, "url") or text(part, "image_url") or ""
            return {"type": "image", "source": _source(url, f"{at}.image_url.url")}
        case "file":
            return _document(obj(part, "file") or {}, at)
        case kind:
            raise unsayable(at, f"a content part of type `{str(kind)[:32]}` has no equivalent on this model")


def _source(url: str, param: str) -> dict[str, object]:
    """Return an image's or a document's source: inline data, or an address to fetch."""
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    head, _, data = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if encoding.rpartition(";")[2] != "base64" or not media_type:
        raise unsayable(param, f"`{param}` must be base64 with a media type: `data:image/png;base64,…`")
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(file: Mapping[str, object], at: str) -> dict[str, object]:
    """Return a file part as a document."""
    data = text(file, "file_data")
    if data is None:
        raise unsayable(f"{at}.file", "a file kept at another vendor cannot be sent; send its `file_data`")
    source = _source(
        data if data.startswith("data:") else f"data:application/pdf;base64,{data}", f"{at}.file"
    )
    document: dict[str, object] = {"type": "document", "source": source}
    if isinstance(file.get("filename"), str):
        document["title"] = file["filename"]
    return document


__all__ = ["chat_request_as_messages", "parse_arguments"]
