"""The vocabulary: sums of buckets, and content that no ``repr`` shows."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.values import Usage
from tests.core.test_clear import cleared_call
from tests.spine import Spine, snapshot

COUNT = st.integers(0, 10**9)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_buckets_are_disjoint_and_add_up(plain: int, read: int, short: int, long: int, out: int) -> None:
    """Total input is every input bucket once; reasoning is a part of output, not more of it."""
    usage = Usage(
        input=plain, cache_read=read, cache_write_5m=short, cache_write_1h=long, output=out, reasoning=out
    )
    assert usage.total_input == plain + read + short + long
    assert usage.total == usage.total_input + out


def test_no_repr_shows_content(tmp_path: Path) -> None:
    """Prompts and originals stay out of anything that prints a value."""
    compiled = snapshot(tmp_path)
    call = Spine(compiled).call("a very particular sentence")
    assert "particular" not in repr(call)
    cleared = cleared_call(compiled)
    assert "messages" not in repr(cleared)
