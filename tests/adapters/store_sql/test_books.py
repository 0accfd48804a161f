"""The rows of a period, in one order, a page at a time; and what stands beside them."""

from __future__ import annotations

import pytest

from gateway.adapters.store_sql import books as rows
from gateway.adapters.store_sql.books import ident, read_up_to
from tests.bookkeeping import add, at, closed, come, database, entry

OCT, AFTER = at("2026-10-15 12:00"), at("2026-11-02 09:00")
START, END = at("2026-10-01 00:00") // 1000, at("2026-11-01 00:00") // 1000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    with database(request.param, request, tmp_path) as made:
        yield made


def test_pages_repeat_and_lose_nothing(store, monkeypatch):
    """Many rows of one instant, over pages of three."""
    monkeypatch.setattr(rows, "_PAGE", 3)
    names = [f"{letter}{n}" for n in range(4) for letter in "bAa_"]
    come(store, *((name, OCT + (n % 3) * 1000) for n, name in enumerate(names)))
    add(store, *(entry(f"{letter}{n}", "2026-10", start=OCT) for n in range(2) for letter in "bAa"))
    with store.read() as connection:
        found = [
            (table, ident(table, row))
            for table, row in rows.rows(
                connection, tenant="maple", period="2026-10", start_us=START, end_us=END
            )
        ]
    attempts = [name for table, name in found if table == "ledger"]
    assert sorted(attempts) == sorted(names)
    expected = sorted(range(16), key=lambda n: (n % 3, names[n]))
    assert attempts == [names[n] for n in expected]
    assert [name for table, name in found if table == "ledger_entries"] == [
        "A0",
        "A1",
        "a0",
        "a1",
        "b0",
        "b1",
    ]


def test_a_period_is_what_started_in_it_in_time_and_what_came_late_into_it(store):
    """In time by its start, late by where it is booked."""
    come(store, ("a1", OCT))
    closed(store, "2026-10", now=AFTER)
    come(store, ("late", OCT), ("n1", AFTER))
    for period, bounds, expected in (
        ("2026-10", (START, END), ["a1"]),
        ("2026-11", (END, END + 10**13), ["n1", "late"]),
    ):
        with store.read() as connection:
            found = rows.rows(connection, tenant="maple", period=period, start_us=bounds[0], end_us=bounds[1])
            assert [row["attempt_id"] for _, row in found] == expected


def test_marks_longer_than_a_row_of_them_come_back_whole(store, monkeypatch):
    """A month of more rows than one blob holds."""
    monkeypatch.setattr(rows, "_MARKS", 2)
    come(store, *((f"a{n}", OCT + n) for n in range(5)))
    closed(store, "2026-10", now=AFTER)
    with store.read() as connection:
        assert len(rows.marks(connection, "maple", "2026-10", 1)) == 5 * 8
        assert rows.marks(connection, "maple", "2026-11", 1) == b""
        assert rows.closed(connection, "maple", "2026-11") is None
        assert read_up_to(connection) == {}
