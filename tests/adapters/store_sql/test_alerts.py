"""The table of alerts, on both databases: one key is told once, and a lease that ran out is taken over."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import delete

from gateway.adapters.store_sql import alerts as rows
from gateway.adapters.store_sql.tables import budget_windows
from gateway.adapters.store_sql.tables_alerts import alerts as table
from gateway.core.alert_plan import AlertKind
from gateway.core.alerts import Alert
from tests.people import database, sqlite

S = 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as opened:
        with opened.write() as connection:
            connection.execute(delete(table))
            connection.execute(delete(budget_windows))
        yield opened


def alert(key="threshold:team:branch:CAD:w:80", at=1):
    """An alert about a budget."""
    return Alert(
        key=key, kind=AlertKind.THRESHOLD, at=at * S * 1000, title="80 %", facts=(("spent", "80.00"),)
    )


def tell(store, found, to=("hook",), new_id="alert_1"):
    with store.write() as connection:
        return rows.tell(connection, "maple", found, to, new_id=new_id)


def claim(store, holder="w1", now=10, lease=60, most=16):
    with store.write() as connection:
        return rows.claim(connection, holder, now_us=now * S, lease_us=lease * S, most=most)


def states(store):
    with store.read() as connection:
        return {told.destination: told.state for told in rows.listing(connection, "maple")}


def test_the_first_tells_and_the_second_does_not(store):
    """Both made the same key: one row per destination, and the id is the first one's."""
    assert tell(store, alert())
    assert not tell(store, alert(at=5), new_id="alert_2")
    with store.read() as connection:
        found = rows.listing(connection, "maple")
    assert [(t.destination, t.state, t.id) for t in found] == [
        ("-", "sent", "alert_1"), ("hook", "pending", "alert_1"),
    ]  # fmt: skip
    assert found[1].facts == {"spent": "80.00"}
    with store.read() as connection:
        assert rows.known(connection, "maple", [alert().key, "other"]) == {alert().key}
        assert rows.known(connection, "birch", [alert().key]) == frozenset()


def test_many_at_once_tell_once(store):
    """Eight threads, one key: exactly one of them is told that it is new."""
    barrier, new = threading.Barrier(8), []

    def race(i):
        barrier.wait(20)
        new.append(tell(store, alert(), new_id=f"alert_{i}"))

    threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(new) == [False] * 7 + [True]


def test_many_claim_at_once_and_each_row_has_one_sender(store):
    """Forty alerts, four senders: together they take each once."""
    for i in range(40):
        tell(store, alert(f"k{i}"), new_id=f"alert_{i}")
    barrier, taken = threading.Barrier(4), []

    def race(i):
        barrier.wait(20)
        while found := claim(store, f"w{i}", most=5):
            taken.extend(told.key for told in found)

    threads = [threading.Thread(target=race, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == sorted(f"k{i}" for i in range(40))


def test_a_sender_that_died_is_made_good_after_its_lease(store):
    """Claimed and never finished: nobody else may send within the lease, and somebody does after it."""
    tell(store, alert())
    (mine,) = claim(store, "dead", now=10)
    assert claim(store, "w2", now=69) == []
    (theirs,) = claim(store, "w2", now=70)
    assert (theirs.key, theirs.tries) == (mine.key, 2)
    with store.write() as connection:  # the dead one comes back: it is no longer its to finish
        rows.finish(connection, mine, state=rows.UNDELIVERED, now_us=71 * S)
    assert states(store)["hook"] == "pending"
    with store.write() as connection:
        rows.finish(connection, theirs, state=rows.SENT, now_us=72 * S)
    assert states(store)["hook"] == "sent"
    assert claim(store, "w3", now=1000) == []


def test_a_failure_waits_for_its_time(store):
    """Put back: not before it is due; and what never arrived is no longer sent, but counted."""
    tell(store, alert())
    (mine,) = claim(store, now=10)
    with store.write() as connection:
        rows.again(connection, mine, due_us=40 * S, why="timeout")
    assert claim(store, now=39) == []
    (second,) = claim(store, now=40)
    assert second.why == "timeout"
    with store.write() as connection:
        rows.finish(connection, second, state=rows.UNDELIVERED, now_us=41 * S, why="status_500")
        assert rows.waiting(connection, "maple") == {"pending": 0, "undelivered": 1}
    assert claim(store, now=10_000) == []


def test_the_budgets_of_a_template_that_are_in_use(store):
    """Of `key:*:CAD` those with a window now; no other level, period or past window."""
    with store.write() as connection:
        connection.execute(
            budget_windows.insert(),
            [
                {"budget": b, "window": w, "unit": "CAD", "resets_us": r, "committed": 1}
                for b, w, r in (
                    ("key:k_1:CAD", "a", 50 * S),
                    ("key:k_1:CAD", "b", 60 * S),
                    ("key:k2:CAD", "a", 5 * S),
                    ("key:k3:CAD:day", "a", 50 * S),
                    ("key:kx1:tokens", "a", 50 * S),
                    ("app:teller:CAD", "a", 50 * S),
                )
            ],
        )
        assert rows.filled_in(connection, "key:*:CAD", now_us=10 * S) == ["key:k_1:CAD"]
        assert rows.filled_in(connection, "key:*:CAD:day", now_us=10 * S) == ["key:k3:CAD:day"]
        assert rows.apps_of_keys(connection, ["nobody"]) == {}
