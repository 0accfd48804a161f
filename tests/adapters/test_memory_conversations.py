"""The twin can play a store that is away; the rest is tests/contract/test_conversations.py."""

from __future__ import annotations

import pytest

from gateway.adapters.memory_conversations import MemoryConversations
from gateway.core.values import Caller
from gateway.ports import ConversationsUnavailable


async def test_away_is_told_and_what_is_learned_meanwhile_stays():
    """Asking fails, learning does not."""
    caller = Caller(tenant="t", team="b", app="a", key_id="k")
    kept = MemoryConversations()
    kept.away = True
    with pytest.raises(ConversationsUnavailable):
        await kept.recall(caller, "c")
    await kept.learn(caller, "c", frozenset({"client"}))
    kept.away = False
    assert await kept.recall(caller, "c") == {"client"}
