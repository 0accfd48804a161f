"""Reads a vendor request the way a model would: what was said, and what tools stand ready.

Pure and forgiving: a field that is not of the expected shape reads as empty. Only
the demo model and the fake vendors use it; the gateway has its own walkers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def texts(value: object) -> Iterator[str]:
    """Yield the text of a content value: a string, a part, or a list of parts."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from texts(item)
        case {"text": str(text)}:
            yield text
        case {"type": "tool_result" | "function_call_output", **rest}:
            yield from texts(rest.get("content", rest.get("output")))
        case {"content": content}:
            yield from texts(content)
        case {"parts": parts}:
            yield from texts(parts)
        case _:
            return


def _turns(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    for key in ("messages", "input", "contents"):
        turns = body.get(key)
        if isinstance(turns, str):
            return [{"role": "user", "content": turns}]
        if isinstance(turns, list):
            return [turn for turn in turns if isinstance(turn, dict)]
    return []


def said(body: Mapping[str, object]) -> str:
    """Return the text of the last turn, whoever spoke it."""
    turns = _turns(body)
    return " ".join(texts(turns[-1])) if turns else ""


def everything(body: Mapping[str, object]) -> str:
    """Return all text that the model was given, system prompts first."""
    parts: list[str] = []
    for key in ("system", "instructions", "systemInstruction", "system_instruction"):
        parts.extend(texts(body.get(key)))
    for turn in _turns(body):
        parts.extend(texts(turn))
    if isinstance(body.get("input"), list):
        parts.extend(item for item in _as_list(body["input"]) if isinstance(item, str))
    return "\n".join(parts)


def is_tool_result(body: Mapping[str, object]) -> bool:
    """Whether the last turn brings the result of a tool."""
    turns = _turns(body)
    if not turns:
        return False
    last = turns[-1]
    if last.get("role") == "tool" or last.get("type") == "function_call_output":
        return True
    return any(
        isinstance(part, dict) and (part.get("type") == "tool_result" or "toolResult" in part)
        for part in _as_list(last.get("content"))
    )


def tool_names(body: Mapping[str, object]) -> list[str]:
    """Return the names of the function tools that the request offers."""
    names = []
    for tool in _as_list(body.get("tools")):
        match tool:
            case {"function": {"name": str(name)}} | {"name": str(name)}:
                names.append(name)
            case _:
                continue
    return names


def output_limit(body: Mapping[str, object]) -> int | None:
    """Return the request's limit of output tokens, if it states one."""
    for key in ("max_completion_tokens", "max_output_tokens", "max_tokens"):
        limit = body.get(key)
        if isinstance(limit, int) and not isinstance(limit, bool):
            return limit
    for group, key in (("inferenceConfig", "maxTokens"), ("generationConfig", "maxOutputTokens")):
        match body.get(group):
            case dict() as config if isinstance(config.get(key), int):
                return int(config[key])
            case _:
                continue
    return None


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
