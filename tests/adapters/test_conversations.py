"""The labels of conversations in the store: every worker's, in time, and through its absence."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from sqlalchemy import text

from gateway.adapters.clock import SetClock
from gateway.adapters.conversations import KEPT_S, SqlConversations
from gateway.adapters.store_sql import StoreUnavailable
from gateway.core.values import Caller
from gateway.ports import ConversationsUnavailable
from tests.people import NOW, database, sqlite

CALLER = Caller(tenant="maple", team="branch", app="teller", key_id="k1")
KEY = b"k" * 32


class Wobbly:
    """A store that can be away, and counts what it was asked."""

    def __init__(self, store):
        self.store, self.away, self.writes = store, False, 0

    async def ask(self, work, /):
        if self.away:
            raise StoreUnavailable
        return await self.store.ask(work)

    async def run(self, work, /):
        if self.away:
            raise StoreUnavailable
        self.writes += 1
        return await self.store.run(work)


@pytest.fixture
def world(tmp_path):
    """A store, a clock, and as many workers as a test makes."""
    with database(sqlite(tmp_path)) as store:
        wobbly, clock = Wobbly(store), SetClock(NOW)
        yield wobbly, clock, lambda: SqlConversations(wobbly, clock, KEY)


async def test_another_worker_knows_at_once(world):
    """No worker trusts its own memory: what one learned a moment ago, the next call on another sees."""
    _, _, worker = world
    first, second = worker(), worker()
    await first.learn(CALLER, "c", frozenset({"public"}))
    assert await second.recall(CALLER, "c") == {"public"}
    await second.learn(CALLER, "c", frozenset({"public", "client"}))
    assert await first.recall(CALLER, "c") == {"public", "client"}


async def test_it_is_forgotten_30_days_after_the_last_call(world):
    """A call within the 30 days keeps it; without one it goes, from the table too."""
    wobbly, clock, worker = world
    one = worker()
    await one.learn(CALLER, "c", frozenset({"client"}))
    clock.advance(seconds=KEPT_S - 10)
    await one.learn(CALLER, "c", frozenset({"client"}))
    clock.advance(seconds=KEPT_S - 10)
    assert await worker().recall(CALLER, "c") == {"client"}
    clock.advance(seconds=20)
    assert await worker().recall(CALLER, "c") == frozenset()
    assert await worker()._sweep()
    with wobbly.store.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM conversation_labels")).scalar() == 0


async def test_a_later_turn_that_teaches_nothing_writes_nothing(world):
    """One write for a conversation, not one per call."""
    wobbly, _, worker = world
    one = worker()
    for _ in range(5):
        await one.learn(CALLER, "c", frozenset({"client"}))
    assert wobbly.writes == 1


async def test_what_was_learned_while_the_store_was_away_is_kept_later(world):
    """Asking says that it is away; the label waits in memory and is in the store when it is back."""
    wobbly, _, worker = world
    one = worker()
    wobbly.away = True
    await one.learn(CALLER, "c", frozenset({"client"}))
    with pytest.raises(ConversationsUnavailable):
        await one.recall(CALLER, "c")
    assert (one.reachable, one.pending) == (False, 1)
    wobbly.away = False
    assert await one.recall(CALLER, "c") == {"client"}  # this worker knew already
    task = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    while one.pending:  # noqa: ASYNC110 (the part under test has no event to wait for)
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert one.reachable
    assert await worker().recall(CALLER, "c") == {"client"}


async def test_the_table_holds_no_name_of_a_conversation(world):
    """A conversation's name may be a person's; what is stored is an HMAC and words of the policy."""
    wobbly, _, worker = world
    await worker().learn(CALLER, "chat with Marie Tremblay", frozenset({"client"}))
    with wobbly.store.read() as connection:
        row = connection.execute(text("SELECT * FROM conversation_labels")).mappings().one()
    assert "Marie" not in str(dict(row))
    assert row["label"] == "client"
    assert len(row["conversation"]) == 64
