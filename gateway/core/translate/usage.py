"""Usage buckets written as each surface's ``usage`` object: the reverse of the meter."""

from __future__ import annotations

from gateway.core.values import Usage


def _writes(usage: Usage) -> int:
    """Return the cache writes of either life."""
    return usage.cache_write_5m + usage.cache_write_1h


def as_chat(usage: Usage) -> dict[str, object]:
    """Write a chat ``usage``: input includes what was cached."""
    return {
        "prompt_tokens": usage.total_input,
        "completion_tokens": usage.total_output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": _writes(usage),
            "audio_tokens": usage.input_audio,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
        },
    }


def as_responses(usage: Usage) -> dict[str, object]:
    """Write a responses ``usage``: input includes what was cached."""
    return {
        "input_tokens": usage.total_input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": _writes(usage)},
        "output_tokens": usage.total_output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def as_messages(usage: Usage) -> dict[str, object]:
    """Write a messages ``usage``: input excludes what was cached."""
    return {
        "input_tokens": usage.total_input - usage.cache_read - _writes(usage),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": _writes(usage),
        "output_tokens": usage.total_output,
    }
