"""What a request asks of a vendor beyond "answer this text", and whether it is well formed.

:func:`features` names everything that makes a vendor fetch, store, forward or run
something, and everything that no detector can read. The decision refuses a feature
that the deployment's facts do not cover. A tool or a part of a kind that this
module does not know is a feature too (doubt denies).

:func:`invalid` in :mod:`gateway.core.shapes` is re-exported here: the shape checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.core.shape import arr, is_array, is_object, is_whole, obj, objs, text
from gateway.core.shapes import invalid
from gateway.core.values import Surface

__all__ = ["Media", "features", "invalid", "media"]

NO_FEATURE = ""

TOOLS: Mapping[str, tuple[str, ...]] = {
    # the app's own code runs these
    "function": (),
    "custom": (),
    "namespace": (),
    "tool_search": (),
    "local_shell": (),
    "apply_patch": (),
    # the vendor runs these
    "web_search": ("web_search",),
    "web_search_preview": ("web_search",),
    "file_search": ("file_search", "file_id"),
    "computer": ("computer_use",),
    "computer_use_preview": ("computer_use",),
    "code_interpreter": ("code_interpreter",),
    "programmatic_tool_calling": ("code_interpreter",),
    "image_generation": ("image_generation", "unscannable"),
    "mcp": ("mcp",),
    "mcp_toolset": ("mcp",),
}
"""OpenAI's tool types; a date suffix (``web_search_2025_08_26``) does not matter."""

TOOL_PREFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("web_search_preview_", ("web_search",)),
    ("web_search_", ("web_search",)),
    ("web_fetch_", ("url_fetch",)),
    ("code_execution_", ("code_interpreter",)),
    ("computer_", ("computer_use",)),
    ("tool_search_tool_", ()),  # searches the tools of this very request
    ("bash_", ()),
    ("text_editor_", ()),
    ("memory_", ()),
)
"""Anthropic's dated tool types."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "web_search_options": ("web_search",),
    "search_parameters": ("web_search",),  # xAI
    "enable_search": ("web_search",),  # Qwen
    "plugins": ("web_search", "url_fetch"),  # OpenRouter
    "connectors": ("connector",),  # Cohere
    "data_sources": ("data_sources",),  # Azure
    "mcp_servers": ("mcp",),
    "container": ("code_interpreter",),
    "background": ("background",),
    "store": ("store",),
    "prompt": ("stored_prompt",),
    "previous_response_id": ("store",),
    "conversation": ("store",),
    "inference_geo": ("other_geography",),
    "provider": ("other_geography",),  # OpenRouter: chooses who serves
    "models": ("other_geography",),  # OpenRouter: falls back to other models
    "vector_store_ids": ("file_id",),
    "file_ids": ("file_id",),
}
"""Top-level fields that are a feature by being set at all (null, false and empty are unset)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One part of a request that is not text.

    ``kind``: ``image``, ``audio``, ``file`` or ``other``. ``size`` is the length of
    inline base64 (0 where there is none). ``source``: ``inline``, ``url``, ``file_id``.
    """

    kind: str
    size: int
    source: str
    param: str


_TYPE = re.compile(r"[a-z]*(?:_[a-z]+)*(?:_20\d{6}|\d)?")

_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"})
_NESTED = frozenset({"tool_result", "function_call_output", "custom_tool_call_output", "search_result"})
_OWN_WORDS = frozenset({
    "tool_use", "server_tool_use", "thinking", "redacted_thinking", "tool_reference",
    "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
    "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
})  # fmt: skip
"""Parts of an assistant's earlier turn: text leaves, walked like any other."""


def media(surface: Surface, body: Mapping[str, object]) -> Iterator[Media]:
    """Yield every part that is not text, at any depth of the conversation."""
    match surface:
        case Surface.EMBEDDINGS:
            return
        case Surface.RESPONSES:
            for i, item in enumerate(arr(body, "input")):
                if is_object(item):
                    yield from _parts(item.get("content"), f"input[{i}].content")
                    yield from _output(item.get("output"), f"input[{i}].output")
                    if item.get("type") == "image_generation_call":
                        size = len(text(item, "result") or "")
                        yield Media(kind="image", size=size, source="inline", param=f"input[{i}].result")
        case Surface.CHAT | Surface.MESSAGES | Surface.COUNT_TOKENS:
            yield from _parts(body.get("system"), "system")
            for i, message in enumerate(arr(body, "messages")):
                if is_object(message):
                    content = message.get("content")
                    if not isinstance(content, str):
                        yield from _parts(content, f"messages[{i}].content")
                    if message.get("audio"):
                        yield Media(kind="audio", size=0, source="file_id", param=f"messages[{i}].audio")


def _output(output: object, param: str) -> Iterator[Media]:
    """Yield the media of a tool's output: a list of parts, or one screenshot."""
    if is_object(output):
        yield from _parts([output], param)
    else:
        yield from _parts(output, param)


def _parts(content: object, param: str) -> Iterator[Media]:
    """Yield the media among content parts."""
    if not is_array(content):
        return
    for i, part in enumerate(content):
        if not is_object(part):
            continue
        kind = text(part, "type")
        if kind in _TEXT_PARTS or kind in _OWN_WORDS:
            continue
        where = f"{param}[{i}]"
        if kind in _NESTED:
            yield from _parts(part.get("content"), f"{where}.content")
            yield from _output(part.get("output"), f"{where}.output")
        else:
            yield from _medium(part, str(kind), where)


def _medium(part: Mapping[str, object], kind: str, where: str) -> Iterator[Media]:
    """Yield one part that is not text (a document of plain text is text)."""
    match kind:
        case "image_url" | "input_image" | "image" | "computer_screenshot":
            name = "image"
        case "input_audio" | "audio_url" | "audio":
            name = "audio"
        case "file" | "input_file" | "document" | "container_upload":
            name = "file"
        case _:
            name = "other"
    source = obj(part, "source")
    if source is not None and source.get("type") in ("text", "content"):
        yield from _parts(source.get("content"), f"{where}.source.content")
        return
    holders = [part, *(h for key in ("source", kind, "image_url", "file") if (h := obj(part, key)))]
    inline = 0
    found = None
    for holder in holders:
        for key, value in holder.items():
            if not isinstance(value, str):
                continue
            if key in {"file_id", "id"} and (key == "file_id" or holder is not part):
                found = "file_id"
            elif key in {"data", "file_data"} or value.startswith("data:"):
                inline = max(inline, len(value))
            elif key in {"url", "image_url", "file_url", "video_url", "audio_url"}:
                found = found or "url"
    yield Media(kind=name, size=inline, source=found or "inline", param=where)


def features(surface: Surface, body: Mapping[str, object]) -> frozenset[str]:
    """Return the names of what this request asks beyond an answer to its text.

    Names: ``web_search``, ``mcp``, ``connector``, ``url_fetch``, ``file_id``,
    ``file_search``, ``store``, ``stored_prompt``, ``extended_cache``, ``background``,
    ``data_sources``, ``code_interpreter``, ``computer_use``, ``image_generation``,
    ``other_geography``, ``unscannable`` and ``unknown_tool:<type>``. Empty for a
    plain call.
    """
    found: set[str] = set()
    for field in body.keys() & FIELDS.keys():
        if body[field]:
            found.update(FIELDS[field])
    if body.get("prompt_cache_retention") == "24h":
        found.add("extended_cache")
    if body.get("tools"):
        _tools(arr(body, "tools"), found)
    for part in media(surface, body):
        found.add("unscannable")
        if part.source != "inline":
            found.add("url_fetch" if part.source == "url" else part.source)
    if surface is Surface.EMBEDDINGS and _tokens(body.get("input")):
        found.add("unscannable")
    if body.get("audio") or "audio" in arr(body, "modalities"):
        found.add("unscannable")
    if surface is Surface.RESPONSES:
        for item in objs(body, "input"):
            if item.get("type") == "additional_tools":
                _tools(arr(item, "tools"), found)
            elif item.get("type") == "item_reference":
                found.add("store")
    return frozenset(found)


def _tokens(value: object) -> bool:
    """Say whether an embeddings input is given as token numbers, which no detector can read."""
    if not is_array(value):
        return False
    return any(is_whole(item) or is_array(item) for item in value)


def _tools(tools: list[object], found: set[str]) -> None:
    """Add what the tools ask for."""
    for tool in tools:
        if not is_object(tool):
            continue
        kind = tool.get("type")
        if kind is None:  # Anthropic's plain tool has no type
            continue
        found.update(_tool(str(kind), tool))


def _unknown(kind: str) -> str:
    """Name a tool of an unknown type. The type is shown only if it reads like one.

    INVARIANT: features stand in records and in refusals, so they must hold no content.
    """
    return f"unknown_tool:{kind}" if len(kind) <= 64 and _TYPE.fullmatch(kind) else "unknown_tool"


def _tool(kind: str, tool: Mapping[str, object]) -> set[str]:
    """Return the features of one tool of a type."""
    if kind == "shell":
        hosted = text(obj(tool, "environment") or {}, "type") != "local"
        return {"code_interpreter"} if hosted else set()
    known = TOOLS.get(kind)
    if known is None:
        if "toolset" in kind:  # a set of members that this module does not know
            return {_unknown(kind)}
        known = next((names for prefix, names in TOOL_PREFIXES if kind.startswith(prefix)), None)
    if known is None:
        return {_unknown(kind)}
    found = set(known)
    if kind == "mcp" and tool.get("connector_id"):
        found.add("connector")
    if kind == "code_interpreter" and is_object(tool.get("container")):
        found.update({"file_id"} if arr(obj(tool, "container") or {}, "file_ids") else ())
    if kind == "namespace":
        inner: set[str] = set()
        _tools(arr(tool, "tools"), inner)
        found |= inner
    return found
