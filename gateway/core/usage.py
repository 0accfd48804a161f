"""Usage objects of every vendor's convention, read into disjoint buckets.

A vendor counts in its own convention (OpenAI's input includes cached tokens,
Anthropic's excludes them, Gemini's output excludes reasoning);
:class:`~gateway.core.values.Usage` counts each token once. A figure that cannot be
right (negative, a string, a float, parts larger than their whole) is not trusted,
and neither is anything that stands beside it: the readers then answer None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.core.shape import is_array, is_object, is_whole, obj, objs, text
from gateway.core.values import Usage

MOST = 1_000_000_000
"""A count above this is taken for garbage: no vendor serves a billion tokens in one call."""


class NotTrustedError(Exception):
    """A usage object holds a figure that cannot be right."""


def count(source: Mapping[str, object] | None, key: str) -> int:
    """Return a count, 0 where it is absent or null. Raises NotTrustedError."""
    value = None if source is None else source.get(key)
    if value is None:
        return 0
    if not is_whole(value) or not 0 <= value <= MOST:
        raise NotTrustedError
    return value


_STANDARD = frozenset(
    {"", "default", "standard", "auto", "none", "on_demand", "standard_only", "not_available"}
)
_TIERS = {
    "provisioned_throughput": "provisioned",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "performance": "priority",
}
_WORD = re.compile(r"[a-z0-9_.-]{1,32}")
_ANYWHERE = frozenset({"", "global", "not_available"})


def tier_of(said: object) -> str:
    """Return the service tier that a vendor says it served; "" for the standard one.

    A word that cannot be one is ``other``, which has no price unless somebody gives it one.
    """
    if said is None:
        return ""
    word = text(said, "type") if is_object(said) else said  # Bedrock: {"type": "flex"}
    if not isinstance(word, str):
        return "other"
    word = word.lower()
    if word in _STANDARD:
        return ""
    return _TIERS.get(word, word if _WORD.fullmatch(word) else "other")


def _place_of(said: object) -> str:
    word = said.lower() if isinstance(said, str) else ""
    return word if word not in _ANYWHERE and _WORD.fullmatch(word) else ""


# Counts that few replies have: where they stand, and the unit that they are.
_RARE = frozenset({
    "num_search_queries", "num_sources_used", "server_side_tool_usage_details", "server_tool_use",
    "prompt_audio_seconds",
})  # fmt: skip


def units_of(found: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the units that were used, as a usage keeps them."""
    return tuple((unit, counted) for unit, counted in found.items() if counted)


def _chat_units(usage: Mapping[str, object], details: Mapping[str, object]) -> dict[str, int]:
    """Read what a chat usage counts beyond tokens. Raises NotTrustedError."""
    found: dict[str, int] = {}
    if "web_search_requests" in details:  # as litellm translates Gemini and Anthropic
        found["web_search"] = count(details, "web_search_requests")
    if _RARE.isdisjoint(usage):
        return found
    tools = obj(usage, "server_side_tool_usage_details")  # xAI
    searches = max(
        found.get("web_search", 0),
        count(usage, "num_search_queries"),
        count(obj(usage, "server_tool_use"), "web_search_requests"),
        count(tools, "web_search_calls") + count(tools, "x_search_calls"),
    )
    found["web_search"] = searches
    found["code_session"] = count(tools, "code_interpreter_calls")
    found["file_search"] = count(tools, "file_search_calls")
    found["source"] = count(usage, "num_sources_used")  # xAI live search
    found["audio_second"] = count(usage, "prompt_audio_seconds")  # Mistral
    return found


def required(source: Mapping[str, object], key: str) -> int:
    """Return a count that must be there. Raises NotTrustedError."""
    if source.get(key) is None:
        raise NotTrustedError
    return count(source, key)


def _writes(details: Mapping[str, object], usage: Mapping[str, object]) -> tuple[int, int]:
    """Return the cache writes of an OpenAI-shaped usage object: (short-lived, long-lived).

    The two buckets are called 5m and 1h after Anthropic's; OpenAI's 30 m and 12 h fall
    into the same two: the cheaper, shorter one and the dearer, longer one.
    """
    ttl = (
        obj(details, "cache_write_tokens_details")
        or obj(details, "cache_creation_token_details")  # as litellm translates Bedrock
        or {}
    )
    total = max(count(details, "cache_write_tokens"), count(details, "cache_creation_tokens"))
    total = max(total, count(usage, "cache_creation_input_tokens"))
    long = max(count(ttl, "ttl_12h"), count(ttl, "ephemeral_1h_input_tokens"))
    short = max(count(ttl, "ttl_30m"), count(ttl, "ephemeral_5m_input_tokens"))
    total = max(total, short + long)
    return total - long, long


def _inclusive(
    *,
    total_in: int,
    cached: int,
    writes: tuple[int, int],
    total_out: int,
    reasoning: int,
    total: int,
    audio_in: int = 0,
    image_in: int = 0,
    audio_out: int = 0,
    image_out: int = 0,
    cached_parts: Mapping[str, object] | None = None,
    units: Mapping[str, int] | None = None,
    tier: str = "",
) -> Usage:
    """Split totals that include their parts. Raises NotTrustedError.

    ``total`` larger than input plus output is not an error but another convention:
    either the cached tokens were left out of the input, or the reasoning out of the
    output (Gemini, xAI). What stays unexplained is booked as output, the dearer side.
    """
    short, long = writes
    gap = max(0, total - total_in - total_out)
    if gap and gap == cached + short + long:
        total_in += gap
        gap = 0
    if cached + short + long > total_in:
        raise NotTrustedError
    total_out += gap
    reasoning = max(reasoning, gap)
    if reasoning > total_out or audio_out + image_out > total_out:
        raise NotTrustedError
    rare: dict[str, int] = {} if units is None else dict(units)
    if cached_parts is not None:
        # Audio and images have cache prices of their own; what is not told apart is text.
        rare["cache_read_audio"] = min(count(cached_parts, "audio_tokens"), cached)
        rare["cache_read_image"] = min(count(cached_parts, "image_tokens"), cached - rare["cache_read_audio"])
        audio_in = max(0, audio_in - rare["cache_read_audio"])
        image_in = max(0, image_in - rare["cache_read_image"])
    if image_out:
        rare["output_image"] = image_out
    # Cached audio and images are counted as cached: a bucket is never below zero.
    left = total_in - cached - short - long
    audio_in = min(audio_in, left)
    image_in = min(image_in, left - audio_in)
    cached -= rare.get("cache_read_audio", 0) + rare.get("cache_read_image", 0)
    return Usage(
        input=left - audio_in - image_in,
        cache_read=cached,
        cache_write_5m=short,
        cache_write_1h=long,
        output=total_out - audio_out - image_out,
        reasoning=min(reasoning, total_out - audio_out - image_out),
        input_audio=audio_in,
        output_audio=audio_out,
        input_image=image_in,
        units=units_of(rare) if rare else (),
        tier=tier,
    )


def chat_usage(value: object, reply: Mapping[str, object] | None = None) -> Usage | None:
    """Read a chat or embeddings ``usage`` object; None when it cannot be trusted.

    ``reply`` is what it stands in, which names the service tier.
    """
    if not is_object(value):
        return None
    try:
        details = obj(value, "prompt_tokens_details") or {}
        out = obj(value, "completion_tokens_details") or {}
        cached = max(
            count(details, "cached_tokens"),
            count(value, "cached_tokens"),  # Together, Moonshot
            count(value, "prompt_cache_hit_tokens"),  # DeepSeek
            count(value, "num_cached_tokens"),  # Mistral
            count(value, "cache_read_input_tokens"),  # litellm
        )
        if value.get("completion_tokens") is None:
            required(value, "total_tokens")  # one of the two says what came out
        return _inclusive(
            total_in=required(value, "prompt_tokens"),
            cached=cached,
            writes=_writes(details, value),
            total_out=count(value, "completion_tokens"),
            reasoning=max(count(out, "reasoning_tokens"), count(value, "reasoning_tokens")),
            total=count(value, "total_tokens"),
            audio_in=count(details, "audio_tokens"),
            image_in=count(details, "image_tokens"),
            audio_out=count(out, "audio_tokens"),
            image_out=count(out, "image_tokens"),
            cached_parts=obj(details, "cached_tokens_details"),
            units=_chat_units(value, details),
            tier="" if reply is None else tier_of(reply.get("service_tier")),
        )
    except NotTrustedError:
        return None


def embeddings_usage(value: object, reply: Mapping[str, object] | None = None) -> Usage | None:
    """Read the ``usage`` of an embeddings reply: input only, and some vendors send the total alone."""
    if is_object(value) and value.get("prompt_tokens") is None and value.get("total_tokens") is not None:
        value = {**value, "prompt_tokens": value["total_tokens"]}  # Voyage
    return chat_usage(value, reply)


def responses_usage(value: object, reply: Mapping[str, object] | None = None) -> Usage | None:
    """Read a responses ``usage`` object; None when it cannot be trusted.

    ``reply`` is the response that it stands in: it names the tier, and its output the tools
    that are billed by the call.
    """
    if not is_object(value):
        return None
    try:
        details = obj(value, "input_tokens_details") or {}
        out = obj(value, "output_tokens_details") or {}
        return _inclusive(
            total_in=required(value, "input_tokens"),
            cached=count(details, "cached_tokens"),
            writes=_writes(details, value),
            total_out=required(value, "output_tokens"),
            reasoning=count(out, "reasoning_tokens"),
            total=count(value, "total_tokens"),
            audio_in=count(details, "audio_tokens"),
            image_in=count(details, "image_tokens"),
            audio_out=count(out, "audio_tokens"),
            image_out=count(out, "image_tokens"),
            cached_parts=obj(details, "cached_tokens_details"),
            units=None if reply is None else _tool_units(value, details, reply),
            tier="" if reply is None else tier_of(reply.get("service_tier")),
        )
    except NotTrustedError:
        return None


def _tool_units(
    usage: Mapping[str, object], details: Mapping[str, object], reply: Mapping[str, object]
) -> dict[str, int]:
    """Count the calls of hosted tools in a response's output. Raises NotTrustedError."""
    found = _chat_units(usage, details)
    if not is_array(reply.get("output")):
        return found
    searches, files = 0, 0
    containers: set[object] = set()
    for item in objs(reply, "output"):
        match item.get("type"):
            case "web_search_call":
                # Opening a page that a search found is part of that search.
                searches += (text(obj(item, "action") or {}, "type") or "search") == "search"
            case "file_search_call":
                files += 1
            case "code_interpreter_call":
                containers.add(text(item, "container_id") or len(containers))
            case _:
                pass
    found["web_search"] = max(searches, found.get("web_search", 0))
    found["file_search"] = max(files, found.get("file_search", 0))
    found["code_session"] = max(len(containers), found.get("code_session", 0))
    return found


def messages_usage(value: object) -> Usage | None:
    """Read a messages ``usage`` object (input excludes the cache); None when not to be trusted."""
    if not is_object(value):
        return None
    try:
        creation = obj(value, "cache_creation") or {}
        long = count(creation, "ephemeral_1h_input_tokens")
        # What the breakdown does not name has the default life of five minutes.
        short = max(
            count(creation, "ephemeral_5m_input_tokens"),
            count(value, "cache_creation_input_tokens") - long,
        )
        output = required(value, "output_tokens")
        reasoning = count(obj(value, "output_tokens_details"), "thinking_tokens")
        if reasoning > output:
            return None
        searches = count(obj(value, "server_tool_use"), "web_search_requests")
        # Fast mode is priced like a tier of its own.
        fast = "fast" if text(value, "speed") == "fast" else ""
        return Usage(
            input=required(value, "input_tokens"),
            cache_read=count(value, "cache_read_input_tokens"),
            cache_write_5m=short,
            cache_write_1h=long,
            output=output,
            reasoning=reasoning,
            units=(("web_search", searches),) if searches else (),
            tier=fast or tier_of(value.get("service_tier")),
            place=_place_of(value.get("inference_geo")),
        )
    except NotTrustedError:
        return None


def timings_usage(value: object) -> Usage | None:
    """Read llama.cpp's ``timings``, sent also where ``usage`` is not."""
    if not is_object(value):
        return None
    try:
        return Usage(
            input=required(value, "prompt_n"),
            cache_read=count(value, "cache_n"),
            output=required(value, "predicted_n"),
        )
    except NotTrustedError:
        return None
