"""Random bytes in blocks: as many as asked for, and none of them twice."""

from __future__ import annotations

import pytest

from gateway.adapters.chance import BLOCK, Chance


def test_no_bytes_are_handed_out_twice() -> None:
    """Ids stay unique over the end of a block, where a rest too short is thrown away."""
    chance = Chance()
    drawn = [chance(8) for _ in range(3 * BLOCK // 8)]
    drawn += [chance(7) for _ in range(BLOCK)]
    assert {len(part) for part in drawn} == {7, 8}
    assert len(set(drawn)) == len(drawn)


def test_two_sources_differ() -> None:
    """Each worker draws its own."""
    assert Chance()(32) != Chance()(32)


def test_more_than_a_block_is_refused() -> None:
    """Never fewer bytes than asked for."""
    chance = Chance()
    assert len(chance(BLOCK)) == BLOCK
    with pytest.raises(ValueError, match="at most 4096"):
        chance(BLOCK + 1)
