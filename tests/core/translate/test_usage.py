"""Buckets written as each surface's usage are read back as the same buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import usage as reading
from gateway.core.translate import usage as writing
from gateway.core.values import Usage

COUNT = st.integers(0, 10_000)


@given(fresh=COUNT, cached=COUNT, written=COUNT, output=COUNT, reasoning=COUNT)
def test_written_usage_reads_as_the_same(fresh, cached, written, output, reasoning):
    """Each convention (inclusive, exclusive) survives the round trip."""
    buckets = Usage(
        input=fresh,
        cache_read=cached,
        cache_write_5m=written,
        output=output,
        reasoning=min(reasoning, output),
    )
    assert reading.chat_usage(writing.as_chat(buckets)) == buckets
    assert reading.responses_usage(writing.as_responses(buckets)) == buckets
    without = Usage(input=fresh, cache_read=cached, cache_write_5m=written, output=output)
    assert reading.messages_usage(writing.as_messages(buckets)) == without


@given(fresh=COUNT, spoken=COUNT, heard=COUNT, seen=COUNT)
def test_audio_and_images_are_in_the_totals(fresh, spoken, heard, seen):
    """Buckets that a surface has no field for are still in its totals."""
    buckets = Usage(input=fresh, input_audio=heard, input_image=seen, output_audio=spoken)
    assert writing.as_messages(buckets)["input_tokens"] == buckets.total_input
    assert writing.as_responses(buckets)["output_tokens"] == spoken
    assert writing.as_chat(buckets)["total_tokens"] == buckets.total
