"""What every adapter of the port ``Conversations`` promises: what was learned is known to the next call."""

from __future__ import annotations

import pytest

from gateway.adapters.clock import SetClock
from gateway.adapters.conversations import SqlConversations
from gateway.adapters.memory_conversations import MemoryConversations
from gateway.core.values import Caller
from tests.people import NOW, database, sqlite


def caller(app="teller", tenant="maple"):
    return Caller(tenant=tenant, team="branch", app=app, key_id="k1")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def kept(request, tmp_path):
    """Each adapter."""
    if request.param == "memory":
        yield MemoryConversations()
        return
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store:
        yield SqlConversations(store, SetClock(NOW), b"k" * 32)


@pytest.fixture
def name(request):
    """A conversation of the test's own, since a PostgreSQL database serves a whole module."""
    return request.node.name


async def test_a_new_conversation_has_no_labels(kept, name):
    """Nothing was learned, nothing is added."""
    assert await kept.recall(caller(), name) == frozenset()


async def test_what_was_learned_stays_and_grows(kept, name):
    """Turn 1 says client, turn 2 says less: turn 3 knows both."""
    await kept.learn(caller(), name, frozenset({"client"}))
    await kept.learn(caller(), name, frozenset({"public"}))
    await kept.learn(caller(), name, frozenset())
    assert await kept.recall(caller(), name) == {"client", "public"}


async def test_a_conversation_belongs_to_its_app(kept, name):
    """Another app's, or another tenant's, conversation of the same name is another one."""
    await kept.learn(caller(), name, frozenset({"client"}))
    assert await kept.recall(caller("hackathon"), name) == frozenset()
    assert await kept.recall(caller(tenant="other"), name) == frozenset()
