"""GPU-hour budgets: settled at estimates, corrected at the close; the overshoot is one window's, no more."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.adapters.gpu_windows import LAG_US, LOOK_US
from gateway.adapters.store_sql import gpu_budgets
from gateway.adapters.store_sql.budget_rooms import make
from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from gateway.core.gpu import estimate_micro_gpu_seconds
from gateway.core.gpu_books import UNIT, read_id
from gateway.core.gpu_pools import HOUR_US
from gateway.core.units import GPU_SECONDS
from gateway.core.wants import every_limit, want_of
from tests.adapters.gpu_bank import HOUR, MINUTE, bank, booked, closing, served, write
from tests.adapters.store_sql.databases import committed_is_the_sum_of_granted, opened, sqlite_url
from tests.policy.pools import OTHERS, POOLS

TEAMS = OTHERS["teams"].replace("  branch:\n", '  branch:\n    budget: {per: month, gpu_hours: "2"}\n')
LIMIT = 2 * HOUR_US
DUE = HOUR + HOUR_US + LAG_US


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def the_budget(snapshot):
    """The branch's budget in GPU-hours, and its window now."""
    (limit,) = [limit for limit in every_limit(snapshot) if limit.unit == GPU_SECONDS]
    return limit, want_of(limit, at=DUE * 1000, amount=1)


def settle(store, want, amount):
    """A worker that was granted and spent so much."""
    with store.write() as connection:
        make(connection, [want])
        connection.execute(
            writers.insert().values(id="w1", place="CA-QC", host="h", state="open", opened_us=1)
        )
        connection.execute(
            slices.insert().values(
                writer="w1", budget=want.budget, window=want.window, granted=amount, spent=amount
            )
        )
        connection.execute(budget_windows.update().values(committed=budget_windows.c.committed + amount))


def spent(store):
    """(Σ spent, committed) of the only window."""
    with store.read() as connection:
        total = sum(connection.execute(select(slices.c.spent)).scalars())
        return total, connection.scalar(select(budget_windows.c.committed))


def test_a_close_spends_what_the_estimates_missed(store):
    """Coefficients ten times too low: the estimate is a tenth, the close books the rest against the budget."""
    cheap = POOLS.replace('"9800.25"', '"9.8"').replace('"42"', '"0.04"').replace('"31.5"', '"0.03"')
    snapshot = bank(teams=TEAMS, pools=cheap)
    limit, want = the_budget(snapshot)
    assert want.limit == LIMIT
    write(store, served("a", HOUR, 20 * MINUTE, input=1_000, output=60_000))
    estimate = estimate_micro_gpu_seconds(snapshot.pools["llama-ca"], 1_000, 60_000)
    settle(store, want, estimate)
    windows, clock = closing(store, snapshot, DUE)
    windows.step()
    used = sum(e.quantity for e in booked(store) if e.team == "branch" and read_id(e.id)[2] == "use")
    assert used == 4 * 20 * MINUTE > 10 * estimate
    assert spent(store) == (used, used)
    assert committed_is_the_sum_of_granted(store)
    windows.step()
    assert spent(store) == (used, used)
    with store.read() as connection:
        assert (
            connection.scalar(select(writers.c.state).where(writers.c.id == gpu_budgets.WRITER)) == "closed"
        )
    # Calls that are settled later take its place: the correction shrinks, the sum stays what was given.
    with store.write() as connection:
        connection.execute(slices.update().where(slices.c.writer == "w1").values(granted=used, spent=used))
        connection.execute(budget_windows.update().values(committed=2 * used - estimate))
    clock.at_us += LOOK_US
    windows.step()
    assert spent(store) == (used, used)
    assert committed_is_the_sum_of_granted(store)
    assert limit.level == "team"


def test_estimates_that_were_enough_stay(store):
    """Nothing is given back, and nothing is added."""
    snapshot = bank(teams=TEAMS)
    _, want = the_budget(snapshot)
    write(store, served("a", HOUR, MINUTE, input=10, output=10))
    settle(store, want, LIMIT)
    closing(store, snapshot, DUE)[0].step()
    assert spent(store) == (LIMIT, LIMIT)


def test_another_teams_hours_are_not_this_budgets(store):
    """A correction is of the budget's own scope."""
    snapshot = bank(teams=TEAMS)
    _, want = the_budget(snapshot)
    write(store, served("b", HOUR, 30 * MINUTE, team="lab", app="hackathon", output=9_000))
    settle(store, want, 5)
    closing(store, snapshot, DUE)[0].step()
    assert spent(store) == (5, 5)


def test_a_budget_that_nobody_used_is_left_alone(store):
    """No window was opened: none is made."""
    snapshot = bank(teams=TEAMS)
    write(store, served("a", HOUR, MINUTE, input=10, output=10))
    closing(store, snapshot, DUE)[0].step()
    with store.read() as connection:
        assert connection.execute(select(budget_windows)).all() == []


def test_only_budgets_whose_scope_an_hour_tells_are_corrected():
    """Users, keys and rolling windows are settled at estimates only, as the docs say."""
    limit, _ = the_budget(bank(teams=TEAMS))
    assert gpu_budgets.corrected(limit)
    assert not gpu_budgets.corrected(replace(limit, level="user"))
    assert not gpu_budgets.corrected(replace(limit, per="last"))
    assert not gpu_budgets.corrected(replace(limit, unit="CAD"))


@pytest.mark.parametrize("wrong", [1, 3, 50])
def test_the_overshoot_is_at_most_one_window(store, wrong):
    """However wrong the coefficients are: spent ≤ limit + what the pool bills in one closing window.

    A team sends one call after the other, all day, as long as the budget admits them by its estimates;
    each hour is closed when it is due. What is attributed in the end passes the limit by no more than the
    pool bills between two closes.
    """
    scaled = POOLS.replace('"9800.25"', f'"{9800.25 / wrong:.6f}"').replace('"42"', f'"{42 / wrong:.6f}"')
    snapshot = bank(teams=TEAMS, pools=scaled)
    pool = snapshot.pools["llama-ca"]
    _, want = the_budget(snapshot)
    settle(store, want, 0)
    windows, clock = closing(store, snapshot, HOUR)
    number = at = 0
    length = 1_500 * (9_842 * 1) + 32_000  # what 1,500 tokens take alone, truly
    rows = []
    while at < 12 * HOUR_US:
        if HOUR + at >= clock.at_us + MINUTE * 5:
            clock.at_us = HOUR + at
            write(store, *rows)
            rows.clear()
            windows.step()
        hold = estimate_micro_gpu_seconds(pool, 1_000, 1_500)
        if spent(store)[0] + hold > LIMIT:
            if not rows and clock.at_us >= HOUR + 3 * HOUR_US:
                break
            at += 5 * MINUTE
            continue
        number += 1
        rows.append(served(f"c{number}", HOUR + at, length, input=1_000, output=1_500))
        with store.write() as connection:
            mine = slices.c.writer == "w1"
            took = estimate_micro_gpu_seconds(pool, 1_000, 1_500, duration_us=length)
            connection.execute(
                slices.update()
                .where(mine)
                .values(granted=slices.c.granted + took, spent=slices.c.spent + took)
            )
            connection.execute(budget_windows.update().values(committed=budget_windows.c.committed + took))
        at += length
    write(store, *rows)
    clock.at_us = HOUR + 20 * HOUR_US
    windows.step()
    used = sum(e.quantity for e in booked(store) if e.unit == UNIT and read_id(e.id)[2] == "use")
    window_us = HOUR_US + LAG_US + 5 * MINUTE
    assert used <= LIMIT + window_us * pool.gpus * len(pool.replicas)
    assert used >= LIMIT // 2
    assert spent(store)[0] >= used
    assert committed_is_the_sum_of_granted(store)
