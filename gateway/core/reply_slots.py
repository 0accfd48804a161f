"""Where the text of a reply stands: in every event of every surface, and in plain bodies.

A :class:`Slot` is one string of an event that may hold part of a text. Slots with the
same channel are pieces of one text; a slot without a channel holds a whole text (the
``done`` and ``completed`` events repeat it). Events and fields that are not known are
walked too: any string is a slot unless it is a listed structural key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gateway.core.shape import is_array, is_object, obj, whole
from gateway.core.shape import text as text_of
from gateway.core.values import Body, Path, Surface
from gateway.core.walk import Leaf, leaves_below

Mode = Literal["text", "json", "value"]
"""How a text is written: prose, JSON source text, or one decoded value of a JSON object."""

Channel = tuple[str | int, ...]


class Slot(NamedTuple):
    """One string of an event: its place, the text it belongs to, and how it is written."""

    path: Path
    text: str
    mode: Mode
    channel: Channel | None = None
    context: str | None = None


_JSON_KEYS = frozenset({"arguments", "partial_json"})


def plain_slots(surface: Surface, body: Body, *, json_mode: bool) -> list[Slot]:
    """Return the texts of a plain reply, or of any object that holds whole texts."""
    slots: list[Slot] = []
    for leaf in leaves_below(surface, body):
        if leaf.shape not in {"any", "word", "pseudonym"} or _is_sealed(leaf):
            continue
        slots.append(_whole(leaf, json_mode=json_mode))
    return slots


def _whole(leaf: Leaf, *, json_mode: bool) -> Slot:
    key = next((part for part in reversed(leaf.path) if isinstance(part, str)), "")
    if leaf.free:
        return Slot(leaf.path, leaf.text, "value", None, leaf.context)
    if key in _JSON_KEYS or (json_mode and key in {"content", "text"}):
        return Slot(leaf.path, leaf.text, "json")
    return Slot(leaf.path, leaf.text, "text")


def _is_sealed(leaf: Leaf) -> bool:
    """Signed thinking goes back byte-exact; a Messages `thinking` text is never touched."""
    return leaf.path[-1] == "thinking"


def event_slots(surface: Surface, data: Mapping[str, object], *, json_mode: bool) -> list[Slot]:
    """Return the texts of one streamed event."""
    match surface:
        case Surface.CHAT:
            return _chat(data, json_mode=json_mode)
        case Surface.RESPONSES:
            return _responses(data, json_mode=json_mode)
        case Surface.MESSAGES:
            return _messages(data, json_mode=json_mode)
        case Surface.EMBEDDINGS | Surface.COUNT_TOKENS:
            return []


def _chat(data: Mapping[str, object], *, json_mode: bool) -> list[Slot]:
    choices = data.get("choices")
    if not is_array(choices):
        return plain_slots(Surface.CHAT, data, json_mode=json_mode)
    slots: list[Slot] = []
    for place, choice in enumerate(choices):
        if not is_object(choice) or (delta := obj(choice, "delta")) is None:
            continue
        index = choice_index(choice, place)
        for key, value in delta.items():
            if isinstance(value, str):
                if value and key not in {"role", "id", "type"}:
                    mode: Mode = "json" if json_mode and key == "content" else "text"
                    slots.append(Slot(("choices", place, "delta", key), value, mode, (index, key)))
            elif value:
                slots += _chat_parts(place, index, key, value)
    return slots


def choice_index(choice: Mapping[str, object], place: int) -> int:
    """Return the number of a choice: its own, or else its place in the chunk."""
    index = whole(choice, "index")
    return place if index is None else index


def _chat_parts(place: int, index: int, key: str, value: object) -> list[Slot]:
    """Return the slots below one structured field of a delta (tool calls, audio …)."""
    base: Path = ("choices", place, "delta", key)
    slots: list[Slot] = []
    for leaf in leaves_below(Surface.CHAT, {key: value}):
        if leaf.shape != "any" or (key == "audio" and leaf.path[-1] == "data"):
            continue
        path = (*base, *leaf.path[1:])
        channel: list[str | int] = [index]
        node: object = {key: value}
        for part in leaf.path:
            node = _below(node, part)
            # A piece of a list names its own place: `index`, not its position in this chunk.
            own = whole(node, "index") if is_object(node) and isinstance(part, int) else None
            channel.append(part if own is None else own)
        mode: Mode = "json" if leaf.path[-1] in _JSON_KEYS else "text"
        slots.append(Slot(path, leaf.text, mode, tuple(channel)))
    return slots


def _below(node: object, part: str | int) -> object:
    if is_array(node) and isinstance(part, int):
        return node[part]
    return node.get(str(part)) if is_object(node) else None


def responses_channel(data: Mapping[str, object], kind: str) -> Channel:
    """Return the channel of a Responses delta or done event."""
    base = kind.rpartition(".")[0]
    parts: list[str | int] = [base]
    for key in ("output_index", "content_index", "summary_index"):
        value = data.get(key)
        parts.append(value if isinstance(value, int) else -1)
    return tuple(parts)


def _responses(data: Mapping[str, object], *, json_mode: bool) -> list[Slot]:
    kind = data.get("type")
    delta = data.get("delta")
    if isinstance(kind, str) and kind.endswith(".delta") and isinstance(delta, str):
        if "audio" in kind and "transcript" not in kind:
            return []
        is_json = "arguments" in kind or (json_mode and kind == "response.output_text.delta")
        mode: Mode = "json" if is_json else "text"
        return [Slot(("delta",), delta, mode, responses_channel(data, kind))] if delta else []
    slots = plain_slots(Surface.RESPONSES, data, json_mode=json_mode)
    if not json_mode:
        return slots
    # Only the answer is JSON; a summary of reasoning is prose.
    prose = isinstance(kind, str) and "reasoning" in kind
    return [slot._replace(mode="text") if prose and slot.mode == "json" else slot for slot in slots]


def _messages(data: Mapping[str, object], *, json_mode: bool) -> list[Slot]:
    kind = data.get("type")
    index = data.get("index")
    at = index if isinstance(index, int) else -1
    if kind == "content_block_delta":
        delta = obj(data, "delta")
        if delta is None:
            return []
        text = delta.get("text")
        if isinstance(text, str):
            mode: Mode = "json" if json_mode else "text"
            return [Slot(("delta", "text"), text, mode, (at, "text"))] if text else []
        part = delta.get("partial_json")
        if isinstance(part, str):
            return [Slot(("delta", "partial_json"), part, "json", (at, "partial_json"))] if part else []
        if text_of(delta, "type") in {"thinking_delta", "signature_delta"}:
            return []
    if kind == "content_block_start":
        block = obj(data, "content_block")
        text = None if block is None else block.get("text")
        if isinstance(text, str):
            mode = "json" if json_mode else "text"
            return [Slot(("content_block", "text"), text, mode, (at, "text"))] if text else []
    return plain_slots(Surface.MESSAGES, data, json_mode=json_mode)
