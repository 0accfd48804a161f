"""How many tokens an attempt can use at most, known before it is sent.

INVARIANT: :func:`input_bound` is never below the vendor's count. It needs no
tokenizer, though one that is on board lowers it: byte-level tokenizers make at most
one token of a byte, so the bytes of the JSON bound the text, and its punctuation
(``{"role":"user","content":""}``) more than covers what a chat template adds per
message. Media are counted by caps that the deployment declares; without a cap there is no bound, and no call.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import orjson

from gateway.core.errors import Code, Refusal
from gateway.core.features import Media, media
from gateway.core.shape import arr, is_array, is_object, whole
from gateway.core.values import Surface

BASE = 256
"""What a template adds once: a date, a default system prompt, a header."""

TOOLS_BASE = 1_024
"""What a vendor's tool-use instructions add once (Anthropic documents up to about 700)."""

VENDOR_TOOL = 4_096
"""What a tool of a vendor's own type adds: its hidden description."""

SLOWEST_AUDIO = 500
"""Bytes of a second of the most compressed speech that vendors accept."""


def input_bound(
    surface: Surface,
    body: Mapping[str, object],
    size: int,
    media_caps: Mapping[str, int],
    *,
    saved: int = 0,
) -> int | Refusal:
    """Return an upper bound of the input tokens of a request body.

    ``body`` is what is to be sent (redacted), ``size`` the bytes that arrived (used
    only where the body cannot be written as JSON). ``media_caps`` are the deployment's
    tokens per ``image``, ``audio_second`` and ``file``. Refuses media without a cap.
    ``saved`` is by how much an exact count of the texts lowers it (``core/encodings.py``).
    """
    bound = _bytes(body, size) + BASE + _tools(body) - saved
    for part in media(surface, body):
        cap = _cap(part, media_caps)
        if isinstance(cap, Refusal):
            return cap
        bound += cap - part.size
    if surface is Surface.EMBEDDINGS:
        return bound + 8 * max(1, len(arr(body, "input")))
    return bound


def _bytes(value: object, otherwise: int = 0) -> int:
    """Return the bytes of a value as JSON, compatibility forms unfolded where that is longer."""
    try:
        packed = orjson.dumps(value)
    except (orjson.JSONEncodeError, RecursionError):
        return 2 * otherwise
    if packed.isascii():
        return len(packed)
    # SentencePiece models normalise (NFKC): a single ligature may become many characters.
    read = packed.decode()
    if unicodedata.is_normalized("NFKC", read):
        return len(packed)
    return max(len(packed), len(unicodedata.normalize("NFKC", read).encode()))


def _tools(body: Mapping[str, object]) -> int:
    """Return what tools add over their own bytes: templates indent and escape them anew."""
    tools = body.get("tools") or body.get("functions")
    if not is_array(tools) or not tools:
        # A schema for the answer is explained to the model like a tool.
        return TOOLS_BASE if body.get("response_format") or body.get("output_config") else 0
    packed = orjson.dumps(tools)
    own = sum(
        VENDOR_TOOL
        for tool in tools
        if is_object(tool) and tool.get("type") not in (None, "function", "custom")
    )
    return TOOLS_BASE + own + len(packed) * (1 if packed.isascii() else 2) + 16 * len(tools)


def _cap(part: Media, caps: Mapping[str, int]) -> int | Refusal:
    """Return the declared cap of one part."""
    match part.kind:
        case "image":
            cap = caps.get("image")
        case "audio":
            second = caps.get("audio_second")
            seconds = -(-part.size * 3 // (4 * SLOWEST_AUDIO)) + 1  # base64: 3 bytes of 4
            cap = None if second is None or part.source != "inline" else second * seconds
        case "file":
            cap = caps.get("file")
        case _:
            cap = None
    if cap is not None:
        return cap
    key = {"audio": "audio_second", "other": part.kind}.get(part.kind, part.kind)
    return Refusal(
        code=Code.UNSUPPORTED_FEATURE,
        param=part.param,
        message=f"`{part.param}` has no declared token bound on this model, so its cost cannot be held; "
        f"send text, or ask the platform team to declare `media_caps.{key}`",
        retry=False,
    )


def asked_output(surface: Surface, body: Mapping[str, object]) -> tuple[int | None, int]:
    """Return the output tokens that the app asked for per choice (None: no limit named), and ``n``."""
    match surface:
        case Surface.CHAT:
            asked = [whole(body, "max_completion_tokens"), whole(body, "max_tokens")]
            named = [tokens for tokens in asked if tokens is not None]
            # `best_of` (vLLM) makes more answers than it shows.
            return (max(named) if named else None), max(whole(body, "n") or 1, whole(body, "best_of") or 1)
        case Surface.MESSAGES:
            return whole(body, "max_tokens"), 1
        case Surface.RESPONSES:
            return whole(body, "max_output_tokens"), 1
        case Surface.EMBEDDINGS | Surface.COUNT_TOKENS:
            return 0, 1


LEAST = 16
"""Output tokens below which an answer is not worth clamping to: the call is refused."""


def least_output(body: Mapping[str, object]) -> int:
    """Return the least that an answer may be clamped to: what it thinks first must fit, and a few words."""
    thinking = body.get("thinking")
    thought = whole(thinking, "budget_tokens") if is_object(thinking) else None
    return LEAST + (thought or 0)


def input_estimate(surface: Surface, body: Mapping[str, object]) -> int:
    """Return an estimate of the input tokens, meant to err high; not a bound.

    For ``count_tokens`` where the upstream cannot count: three ASCII bytes a token
    (English prose has about four), one token per other character, eight per message,
    1,600 per image and 3,000 per file.
    """
    ascii_bytes, others = 0, 0
    stack: list[object] = [body.get("messages"), body.get("system"), body.get("tools")]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            plain = len(node) if node.isascii() else sum(1 for char in node if char < "\x80")
            ascii_bytes += plain
            others += len(node) - plain
        elif is_object(node):
            if node.get("type") == "base64":
                continue
            ascii_bytes += sum(map(len, node))
            stack.extend(node.values())
        elif is_array(node):
            stack.extend(node)
    extra = sum(1_600 if part.kind == "image" else 3_000 for part in media(surface, body))
    tools = 350 if body.get("tools") else 0
    return -(-ascii_bytes // 3) + others + 8 * len(arr(body, "messages")) + extra + tools
