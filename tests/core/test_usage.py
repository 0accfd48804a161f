"""Usage objects of every vendor, and what can never be true of the buckets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.meter import Meter
from gateway.core.usage import chat_usage, messages_usage, responses_usage, timings_usage
from gateway.core.values import Dialect, Event, Usage

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "usage.json").read_text(encoding="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**50) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
COUNT = st.integers(0, 10_000)


def usage_of(wanted):
    """Buckets of a golden file as a usage."""
    return Usage(**{**wanted, "units": tuple((name, count) for name, count in wanted.get("units", ()))})


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_a_golden_payload_fills_the_buckets(case):
    """Each vendor's payload, plain or streamed, gives the disjoint buckets worked out by hand."""
    meter = Meter(Dialect(case["dialect"]))
    if "body" in case:
        meter.see_body(case["body"])
    else:
        for i, data in enumerate(case["events"]):
            meter.see(Event(name=None, data=data))
            assert i > 0 or meter.usage is None, "the first event of a stream counts nothing"
    wanted = case["expect"]
    assert meter.usage == (None if wanted is None else usage_of(wanted))
    assert meter.garbled is (wanted is None)


def test_there_are_golden_payloads_enough():
    """The vendors of the finance note are all there."""
    assert len(GOLDEN) >= 25


@given(cached=COUNT, short=COUNT, fresh=COUNT, audio=COUNT, output=COUNT, reasoning=COUNT, spoken=COUNT)
def test_buckets_of_chat_sum_to_the_vendors_total(cached, short, fresh, audio, output, reasoning, spoken):
    """No token is counted twice or lost, whatever the split."""
    reasoning = min(reasoning, output)
    total_in, total_out = cached + short + fresh + audio, output + spoken
    usage = chat_usage(
        {
            "prompt_tokens": total_in,
            "completion_tokens": total_out,
            "total_tokens": total_in + total_out,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "cache_write_tokens": short,
                "audio_tokens": audio,
            },
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": spoken},
        }
    )
    assert usage == Usage(
        input=fresh, cache_read=cached, cache_write_5m=short, input_audio=audio,
        output=output, reasoning=reasoning, output_audio=spoken,
    )  # fmt: skip
    assert (usage.total_input, usage.total_output) == (total_in, total_out)


KEYS = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "input_tokens",
        "output_tokens",
        "cache_creation",
        "cached_tokens",
        "input_tokens_details",
        "prompt_n",
        "predicted_n",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "output_tokens_details",
    ]
)


@given(
    st.dictionaries(
        KEYS, JSON | st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), JSON)
    )
)
def test_garbage_never_becomes_a_negative_or_a_crash(value):
    """Any JSON gives buckets of at least zero, or nothing."""
    for read in (chat_usage, responses_usage, messages_usage, timings_usage):
        usage = read(value)
        if usage is not None:
            assert min(usage.input, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h) >= 0
            assert min(usage.output, usage.output_audio, usage.input_audio, usage.input_image) >= 0
            assert 0 <= usage.reasoning <= usage.total_output


@pytest.mark.parametrize("read", [chat_usage, responses_usage, messages_usage, timings_usage])
@pytest.mark.parametrize("value", [None, 3, "12", [], True])
def test_what_is_no_object_is_no_usage(read, value):
    """A usage that is not an object is not read."""
    assert read(value) is None
