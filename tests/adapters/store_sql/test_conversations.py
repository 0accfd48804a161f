"""The table of conversations' labels, on both databases."""

from __future__ import annotations

import pytest

from gateway.adapters.store_sql import conversations as rows
from tests.people import database, sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        yield opened


def test_a_label_lives_until_its_latest_day_and_no_call_shortens_it(store):
    """Two workers that learn at once in any order leave the later day."""
    with store.write() as connection:
        rows.learn(connection, "c", frozenset({"a", "b"}), until_us=100)
        rows.learn(connection, "c", frozenset({"a"}), until_us=200)
        rows.learn(connection, "c", frozenset({"a"}), until_us=150)
        assert rows.labels(connection, "c", now_us=99) == {"a", "b"}
        assert rows.labels(connection, "c", now_us=100) == {"a"}
        assert rows.labels(connection, "c", now_us=200) == frozenset()
        assert rows.labels(connection, "d", now_us=0) == frozenset()
        assert rows.forget(connection, now_us=100) == 1
        assert rows.labels(connection, "c", now_us=0) == {"a"}
