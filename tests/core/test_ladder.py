"""A ladder in words: in its order, and its last word is that the call is refused."""

from __future__ import annotations

from gateway.core.ladder import Cap, Cheaper, Queue, spoken


def test_a_ladder_reads_in_its_order() -> None:
    """As finance wrote it."""
    ladder = (
        Queue(most=10 * 10**9),
        Cheaper(),
        Cheaper(aliases=("chat-mini", "chat-nano")),
        Cap(tokens=1_256),
    )
    assert spoken(ladder) == (
        "wait up to 10 s, then a cheaper permitted model, then a cheaper permitted model (chat-mini, "
        "chat-nano), then answer ≤ 1,256 tokens, then refuse"
    )
    assert spoken(()) == "refuse"
