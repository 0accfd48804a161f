"""The shared windows as they are read and locked: rolling runs, carried amounts, swept minutes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.budget_rooms import Level, make, rooms, standings, sweep_rates
from gateway.adapters.store_sql.budgets import Writer, release, sync
from gateway.adapters.store_sql.tables import budget_windows, slices
from gateway.core.leasing import Ask
from gateway.core.values import Carry, Want
from gateway.core.windows import calendar, minute, rolling
from tests.adapters.store_sql.databases import committed_is_the_sum_of_granted, opened, sqlite_url
from tests.core.maple import NOW, at, want

DAY = 24 * 3600 * 10**9
HOUR = 3600 * 10**9
US = NOW // 1000


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def take(store: Store, *wants: Want, writer: str = "w1", now: int = NOW, floor: int = 0) -> bool:
    """Lease for one hold over these windows; true if it was granted."""
    levels = [Level(want=each, floor=floor, give=False) for each in wants]
    with store.write() as connection:
        made = sync(
            connection, Writer(id=writer, place="p"), levels, [Ask(hold_id="h", wants=wants)],
            now_us=now // 1000,
        )  # fmt: skip
    assert committed_is_the_sum_of_granted(store)
    return made.verdicts[0].blocked is None


def part(amount: int, moment: int, limit: int = 100) -> Want:
    """A want of any 24 hours."""
    found = rolling(DAY, moment)
    return want(amount, limit, "app:a:tokens:last-24h", window=found.id, resets=found.end, length=DAY)


def test_parts_of_a_rolling_budget_count_together(store: Store) -> None:
    """Twenty-five parts do, on either side; the one before them does not."""
    assert take(store, part(60, NOW))
    assert not take(store, part(41, NOW + 24 * HOUR), writer="w2", now=NOW + 24 * HOUR)
    assert take(store, part(40, NOW + 24 * HOUR), writer="w2", now=NOW + 24 * HOUR)
    # A clock behind: an earlier part is within reach of both.
    assert not take(store, part(41, NOW - HOUR), writer="w3")
    assert take(store, part(100, NOW + 49 * HOUR), writer="w2", now=NOW + 49 * HOUR)
    with store.read() as connection:
        rows = standings(connection, [part(0, NOW + 24 * HOUR)], me="w1")
    assert [row.committed for each in rows.values() for row in each] == [60, 40]


def test_two_writers_in_different_parts_wait_for_each_other(store: Store) -> None:
    """Neither row is there when both begin: still the limit holds once, not twice."""
    begun = threading.Barrier(2)
    granted: list[bool] = []

    def race(name: str, moment: int) -> None:
        begun.wait(10)
        granted.append(take(store, part(60, moment), writer=name, now=moment))

    for _ in range(5):
        granted.clear()
        with store.write() as connection:
            connection.execute(slices.delete())
            connection.execute(budget_windows.delete())
        threads = [threading.Thread(target=race, args=(f"w{n}", NOW + n * HOUR)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(granted) == [False, True]


def month(amount: int, number: int, limit: int = 100) -> Want:
    """A want of a month that carries over."""
    found = calendar("month", "Asia/Kolkata", at(f"2026-{number:02}-15T12:00:00"))
    carry = Carry(per="month", timezone="Asia/Kolkata", at_most=None)
    return want(amount, limit, "org:m:CAD", window=found.id, resets=found.end, carry=carry)


def when(number: int) -> int:
    """The middle of a month."""
    return at(f"2026-{number:02}-15T12:00:00")


def test_what_is_carried_is_written_down_once(store: Store) -> None:
    """Decided at the first sync, for good; where it came from loses it; others read the same."""
    assert take(store, month(30, 1), now=when(1))
    assert take(store, month(170, 2), now=when(2))
    assert not take(store, month(1, 2), now=when(2), writer="w2")
    with store.read() as connection:
        rows = connection.execute(
            select(budget_windows.c.base, budget_windows.c.carried, budget_windows.c.passed).order_by(
                budget_windows.c.window
            )
        ).all()
    assert [tuple(row) for row in rows] == [(100, 0, 70), (100, 70, 0)]
    assert not take(store, month(31, 1), now=when(2), writer="w2")


def test_the_limit_of_the_time_is_what_goes_on(store: Store) -> None:
    """Finance raised the month to 200 after January: what January left is of its own 100."""
    assert take(store, month(30, 1), now=when(1))
    with store.write() as connection:
        level = Level(want=month(0, 2, 200), floor=0, give=False)
        found, decided = rooms(connection, [level], now_us=when(2) // 1000)
    assert [(room.limit, room.extra) for room in found.values()] == [(200, 70)]
    assert len(decided) == 1


def test_windows_are_made_once(store: Store) -> None:
    """Two workers make the same window: one row, with its limit."""
    for _ in range(2):
        with store.write() as connection:
            make(connection, [month(0, 1), part(0, NOW)])
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(budget_windows)).scalar_one() == 2


def a_minute(amount: int, moment: int) -> Want:
    """A want of a rate."""
    found = minute(moment)
    return want(
        amount, 100, "rate:app:a:requests", unit="requests", window=found.id, resets=found.end, rate=True
    )


def test_minutes_that_are_long_over_are_swept(store: Store) -> None:
    """Rates leave no rows behind; budgets and running minutes stay."""
    for moment in (NOW, NOW + 60 * 10**9, NOW + 400 * 10**9):
        assert take(store, a_minute(5, moment), month(1, 11), now=moment)
    with store.write() as connection:
        assert sweep_rates(connection, now_us=US + 400_000_000) == 1
        assert sweep_rates(connection, now_us=US + 400_000_000) == 0
    with store.read() as connection:
        windows = set(connection.execute(select(budget_windows.c.budget, budget_windows.c.window)).all())
        parts = set(connection.execute(select(slices.c.budget, slices.c.window)).all())
    assert len(windows) == 3
    assert parts == windows


def test_a_dead_writers_minute_stays_used_and_its_places_come_back(store: Store) -> None:
    """What it let in counts until the minute is over; calls that died with it are no calls at once."""
    places = want(3, 10, "rate:app:a:concurrent", window="now", resets=2**62, rate=True)
    assert take(store, a_minute(40, NOW), places)
    with store.write() as connection:
        release(connection, Writer(id="w1", place="p"), by="w2", now_us=US)
    with store.read() as connection:
        committed = dict(
            connection.execute(select(budget_windows.c.budget, budget_windows.c.committed)).all()  # type: ignore[arg-type]  # pairs
        )
    assert committed["rate:app:a:requests"] >= 40
    assert committed["rate:app:a:concurrent"] == 0
    assert committed_is_the_sum_of_granted(store)


def test_what_was_used_of_a_rate_is_told_with_the_next_lease(store: Store) -> None:
    """No journal carries it: the sync does, so that a refusal elsewhere knows use from slack."""
    assert take(store, a_minute(10, NOW))
    assert take(store, a_minute(50, NOW), floor=7)
    with store.read() as connection:
        ((row,),) = standings(connection, [a_minute(0, NOW)], me="w2").values()
    assert row.others == 7


def test_rows_from_before_carrying_over_carry_nothing(store: Store) -> None:
    """Their limit was never written down."""
    old = month(0, 1)
    with store.write() as connection:
        connection.execute(
            insert(budget_windows).values(
                budget=old.budget, window=old.window, unit="CAD", resets_us=old.resets // 1000, committed=0
            )
        )
    assert not take(store, month(101, 2), now=when(2))
    assert take(store, month(100, 2), now=when(2))
