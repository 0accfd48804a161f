"""What the twin has of its own; the rest is in ``tests/contract/test_idempotency.py``."""

from __future__ import annotations

from gateway.adapters.clock import SetClock
from gateway.adapters.memory_idempotency import MemoryIdempotency
from gateway.core.values import Caller
from gateway.ports import StoredReply
from tests.people import NOW

CALLER = Caller(tenant="maple", team="branch", app="teller", key_id="k1")


async def test_a_finish_without_a_claim_keeps_nothing():
    """Only a run that was claimed has an answer."""
    kept = MemoryIdempotency(SetClock(NOW))
    await kept.finish(CALLER, "key", "secret", StoredReply(status=200, headers=(), body=b"x"))
    assert await kept.claim(CALLER, "key", "d", "secret") is None


async def test_a_second_finish_changes_nothing():
    """The first answer was given already."""
    kept = MemoryIdempotency(SetClock(NOW))
    first = StoredReply(status=200, headers=(), body=b"first")
    await kept.claim(CALLER, "key", "d", "secret")
    await kept.finish(CALLER, "key", "secret", first)
    await kept.finish(CALLER, "key", "secret", None)
    assert await kept.claim(CALLER, "key", "d", "secret") == first
