"""What a policy lets the gateway do before it refuses a call for want of budget: an ordered ladder.

A ladder is written in ``teams.yaml`` by app or team (``when_over``), or in ``routes.yaml`` for apps
that say ``by_route``. INVARIANT: an app whose ladder is empty is never degraded; what is done for
another one is in the answer's headers and in the call's record.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheaper:
    """Answer by a cheaper deployment that this very call's decision permits.

    ``aliases`` are other models that may stand in, in this order; None: whatever the app may use.
    """

    aliases: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """Let the answer have at most so many tokens, per choice."""

    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Wait in line, at most so many nanoseconds, for what other calls hold or for the next window."""

    most: int


Ladder = tuple[Cheaper | Cap | Queue, ...]


def spoken(ladder: Ladder) -> str:
    """Return a ladder as people read it; the last word is that the call is refused."""
    words: list[str] = []
    for rung in ladder:
        match rung:
            case Cheaper(aliases=None):
                words.append("a cheaper permitted model")
            case Cheaper(aliases=aliases):
                words.append(f"a cheaper permitted model ({', '.join(aliases or ())})")
            case Cap(tokens=tokens):
                words.append(f"answer ≤ {tokens:,} tokens")
            case Queue(most=most):
                words.append(f"wait up to {most // 1_000_000_000} s")
    return ", then ".join([*words, "refuse"])
