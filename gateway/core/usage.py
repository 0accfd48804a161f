"""Usage objects of every vendor's convention, read into disjoint buckets.

A vendor counts in its own convention (OpenAI's input includes cached tokens,
Anthropic's excludes them, Gemini's output excludes reasoning);
:class:`~gateway.core.values.Usage` counts each token once. A figure that cannot be
right (negative, a string, a float, parts larger than their whole) is not trusted,
and neither is anything that stands beside it: the readers then answer None.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.shape import is_object, is_whole, obj
from gateway.core.values import Usage

MOST = 1_000_000_000
"""A count above this is taken for garbage: no vendor serves a billion tokens in one call."""


class _NotTrustedError(Exception):
    """A usage object holds a figure that cannot be right."""


def _count(source: Mapping[str, object] | None, key: str) -> int:
    """Return a count, 0 where it is absent or null. Raises _NotTrustedError."""
    value = None if source is None else source.get(key)
    if value is None:
        return 0
    if not is_whole(value) or not 0 <= value <= MOST:
        raise _NotTrustedError
    return value


def _required(source: Mapping[str, object], key: str) -> int:
    """Return a count that must be there. Raises _NotTrustedError."""
    if source.get(key) is None:
        raise _NotTrustedError
    return _count(source, key)


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
    total = max(_count(details, "cache_write_tokens"), _count(details, "cache_creation_tokens"))
    total = max(total, _count(usage, "cache_creation_input_tokens"))
    long = max(_count(ttl, "ttl_12h"), _count(ttl, "ephemeral_1h_input_tokens"))
    short = max(_count(ttl, "ttl_30m"), _count(ttl, "ephemeral_5m_input_tokens"))
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
) -> Usage:
    """Split totals that include their parts. Raises _NotTrustedError.

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
        raise _NotTrustedError
    total_out += gap
    reasoning = max(reasoning, gap)
    if reasoning > total_out or audio_out > total_out:
        raise _NotTrustedError
    # Cached audio and images are counted as cached: a bucket is never below zero.
    left = total_in - cached - short - long
    audio_in = min(audio_in, left)
    image_in = min(image_in, left - audio_in)
    return Usage(
        input=left - audio_in - image_in,
        cache_read=cached,
        cache_write_5m=short,
        cache_write_1h=long,
        output=total_out - audio_out,
        reasoning=reasoning,
        input_audio=audio_in,
        output_audio=audio_out,
        input_image=image_in,
    )


def chat_usage(value: object) -> Usage | None:
    """Read a chat or embeddings ``usage`` object; None when it cannot be trusted."""
    if not is_object(value):
        return None
    try:
        details = obj(value, "prompt_tokens_details") or {}
        out = obj(value, "completion_tokens_details") or {}
        cached = max(
            _count(details, "cached_tokens"),
            _count(value, "cached_tokens"),  # Together, Moonshot
            _count(value, "prompt_cache_hit_tokens"),  # DeepSeek
            _count(value, "num_cached_tokens"),  # Mistral
            _count(value, "cache_read_input_tokens"),  # litellm
        )
        if value.get("completion_tokens") is None:
            _required(value, "total_tokens")  # one of the two says what came out
        return _inclusive(
            total_in=_required(value, "prompt_tokens"),
            cached=cached,
            writes=_writes(details, value),
            total_out=_count(value, "completion_tokens"),
            reasoning=max(_count(out, "reasoning_tokens"), _count(value, "reasoning_tokens")),
            total=_count(value, "total_tokens"),
            audio_in=_count(details, "audio_tokens"),
            image_in=_count(details, "image_tokens"),
            audio_out=_count(out, "audio_tokens"),
        )
    except _NotTrustedError:
        return None


def responses_usage(value: object) -> Usage | None:
    """Read a responses ``usage`` object; None when it cannot be trusted."""
    if not is_object(value):
        return None
    try:
        details = obj(value, "input_tokens_details") or {}
        out = obj(value, "output_tokens_details") or {}
        return _inclusive(
            total_in=_required(value, "input_tokens"),
            cached=_count(details, "cached_tokens"),
            writes=_writes(details, value),
            total_out=_required(value, "output_tokens"),
            reasoning=_count(out, "reasoning_tokens"),
            total=_count(value, "total_tokens"),
            audio_in=_count(details, "audio_tokens"),
            image_in=_count(details, "image_tokens"),
            audio_out=_count(out, "audio_tokens"),
        )
    except _NotTrustedError:
        return None


def messages_usage(value: object) -> Usage | None:
    """Read a messages ``usage`` object (input excludes the cache); None when not to be trusted."""
    if not is_object(value):
        return None
    try:
        creation = obj(value, "cache_creation") or {}
        long = _count(creation, "ephemeral_1h_input_tokens")
        # What the breakdown does not name has the default life of five minutes.
        short = max(
            _count(creation, "ephemeral_5m_input_tokens"),
            _count(value, "cache_creation_input_tokens") - long,
        )
        output = _required(value, "output_tokens")
        reasoning = _count(obj(value, "output_tokens_details"), "thinking_tokens")
        if reasoning > output:
            return None
        return Usage(
            input=_required(value, "input_tokens"),
            cache_read=_count(value, "cache_read_input_tokens"),
            cache_write_5m=short,
            cache_write_1h=long,
            output=output,
            reasoning=reasoning,
        )
    except _NotTrustedError:
        return None


def timings_usage(value: object) -> Usage | None:
    """Read llama.cpp's ``timings``, sent also where ``usage`` is not."""
    if not is_object(value):
        return None
    try:
        return Usage(
            input=_required(value, "prompt_n"),
            cache_read=_count(value, "cache_n"),
            output=_required(value, "predicted_n"),
        )
    except _NotTrustedError:
        return None
