"""Closing the hours of GPU pools: once, whole, exactly; what comes late is a correction."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.adapters.gpu_windows import (
    LAG_US,
    LOOK_US,
    GpuWindows,
    coefficients_text,
    read_coefficients,
    run,
)
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql.tables_gpu import gpu_hours
from gateway.core.gpu_books import WHOLE_PPB, read_id
from gateway.core.gpu_pools import DEFAULTS, HOUR_US, PS_PER_US
from tests.adapters.gpu_bank import HOUR, MINUTE, bank, booked, closing, served, write
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.policy.pools import FILES, POOLS

DUE = HOUR + HOUR_US + LAG_US
BILLED = 2 * 4 * HOUR_US


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


@pytest.fixture
def lite(tmp_path):
    with opened(sqlite_url(tmp_path)) as made:
        yield made


def calls(store):
    """An hour of two teams on the pool, and one call of a vendor's."""
    write(
        store,
        served("a1", HOUR + MINUTE, 3 * MINUTE, first_us=HOUR + MINUTE + 500_000, input=4_000, output=900),
        served("a2", HOUR + 2 * MINUTE, MINUTE, app="advisor", input=100, cache_read=5_000, output=60),
        served(
            "b1", HOUR + 90_000_000, 4 * MINUTE, team="lab", app="hackathon", cost_centre="4900", output=2_000
        ),
        served("v1", HOUR + MINUTE, MINUTE) | {"deployment": "vendor-1"},
    )


def sums(entries):
    """(micro-GPU-seconds, nano, spend nano, ppb) of entries."""
    return tuple(
        sum(getattr(e, name) for e in entries) for name in ("quantity", "nano", "spend_nano", "ratio_ppb")
    )


def test_an_hour_is_booked_whole(store):
    """Every micro-GPU-second and every nano-unit of it, in both currencies, with its shares."""
    calls(store)
    windows, _ = closing(store, bank(), DUE)
    done = windows.step()
    assert [(d.pool, d.start_us, d.revision) for d in done] == [("llama-ca", HOUR, 1)]
    found = booked(store)
    # 8 GPU-hours at 2.85 USD, at 1.3925 CAD.
    assert sums(found) == (BILLED, 22_800_000_000, 31_749_000_000, WHOLE_PPB)
    used = {(e.team, e.app): e for e in found if read_id(e.id)[2] == "use"}
    assert set(used) == {("branch", "teller"), ("branch", "advisor"), ("lab", "hackathon")}
    assert used["lab", "hackathon"].cost_centre == "4900"
    assert used["branch", "teller"].place == "CA-QC"
    assert used["branch", "teller"].model == "llama-3.1-8b"
    idle = {e.team: e for e in found if read_id(e.id)[2] == "idle"}
    assert set(idle) == {"branch", "lab"}
    assert abs(idle["branch"].quantity - 6 * idle["lab"].quantity) <= 6  # shares 3 and 0.5
    assert {e.kind for e in found} == {"gpu"}
    assert {e.billing_period for e in found} == {"2026-11"}
    assert not any(e.estimated for e in found)


def test_an_hour_is_not_booked_before_its_calls_are_there(store):
    """A quarter of an hour after its end: most attempts have reached the ledger by then."""
    calls(store)
    windows, clock = closing(store, bank(), DUE - 1)
    assert windows.step() == []
    clock.at_us = DUE
    assert len(windows.step()) == 1
    assert windows.step() == []


def test_missed_hours_are_caught_up_and_none_is_booked_twice(store):
    """After a night without any worker every hour is there, once, also the idle ones."""
    calls(store)
    windows, clock = closing(store, bank(), DUE + 9 * HOUR_US)
    assert [d.start_us for d in windows.step()] == [HOUR + i * HOUR_US for i in range(10)]
    before = booked(store)
    assert windows.step() == []
    again = GpuWindows(store, bank, clock)
    assert again.step() == []
    assert booked(store) == before
    assert sums(before)[0] == 10 * BILLED


def test_only_one_of_many_workers_books_an_hour(store):
    """Eight workers at once: the entries of one."""
    calls(store)
    parts = [closing(store, bank(), DUE)[0] for _ in range(8)]
    done: list = []
    threads = [threading.Thread(target=lambda part=part: done.extend(part.step())) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 1
    assert sums(booked(store))[0] == BILLED


def test_calls_that_arrive_late_are_corrections(store):
    """A stream that outlived the hour moves shares; what was booked stays as it was, sums stay exact."""
    calls(store)
    windows, clock = closing(store, bank(), DUE)
    windows.step()
    before = booked(store)
    write(store, served("late", HOUR + 50 * MINUTE, 20 * MINUTE, team="lab", app="hackathon", output=9_000))
    assert windows.step() == []  # looked for every quarter of an hour
    clock.at_us += LOOK_US
    (done,) = windows.step()
    assert (done.revision, done.why) == (2, "calls that arrived late")
    after = booked(store)
    assert [e for e in after if e.kind == "gpu"] == before
    more = [e for e in after if e.kind == "correction"]
    assert more
    assert sums(more) == (0, 0, 0, 0)
    assert sum(e.quantity for e in more if e.team == "lab" and read_id(e.id)[2] == "use") > 0
    assert all("calls that arrived late" in e.reason and e.refers and e.origin for e in more)
    assert windows.step() == []


def test_a_later_calibration_is_a_correction(store):
    """The closed hour stays; the differences are booked beside it, once."""
    calls(store)
    windows, _ = closing(store, bank(), DUE)
    windows.step()
    before = booked(store)
    other = bank(pools=POOLS.replace('"9800.25"', '"4000"'))
    fresh, _ = closing(store, other, DUE)
    pool = other.pools["llama-ca"]
    assert fresh.step() == []  # a new calibration alone moves nothing that is closed
    (done,) = fresh.again(pool, start_us=HOUR, end_us=HOUR + HOUR_US)
    assert done.revision == 2
    assert fresh.again(pool, start_us=HOUR, end_us=HOUR + HOUR_US) == []
    after = booked(store)
    assert [e for e in after if e.kind == "gpu"] == before
    assert sums(after) == sums(before)
    # What a fresh close under the new coefficients would have said:
    with store.read() as connection:
        kept = connection.execute(select(gpu_hours).where(gpu_hours.c.revision == 2)).mappings().one()
    assert read_coefficients(kept["coefficients"]) == pool.coefficients
    assert kept["why"] == "split again"


def test_late_calls_of_a_recalibrated_hour_keep_its_coefficients(lite):
    """A correction for one reason does not slip in another one."""
    calls(lite)
    windows, _ = closing(lite, bank(), DUE)
    windows.step()
    other, _ = closing(lite, bank(pools=POOLS.replace('"9800.25"', '"4000"')), DUE + MINUTE)
    write(lite, served("late", HOUR + 50 * MINUTE, 20 * MINUTE, output=9))
    other.step()
    with lite.read() as connection:
        kept = connection.execute(select(gpu_hours).order_by(gpu_hours.c.revision)).mappings().all()
    assert len(kept) == 2
    assert kept[0]["coefficients"] == kept[1]["coefficients"]


def test_uncalibrated_hours_are_marked(lite):
    """Without a calibration every share by weight is an estimate, and says so."""
    calls(lite)
    default = POOLS.replace(POOLS[POOLS.index("    calibration:") : POOLS.index("    idle:")], "")
    windows, _ = closing(lite, bank(pools=default), DUE)
    windows.step()
    found = booked(lite)
    assert {read_id(e.id)[2] for e in found if e.estimated} == {"use"}
    assert all("uncalibrated" in e.reason for e in found if e.estimated)
    assert sums(found)[0] == BILLED


def test_attempts_that_never_reached_the_engine_use_nothing(lite):
    """Refused before a byte was sent: no row; sent and never metered: by its time, marked."""
    write(
        lite,
        served("x", HOUR + MINUTE, MINUTE, status="failed", input=0, output=0),
        served("y", HOUR + MINUTE, MINUTE, team="lab", app="hackathon", status="abandoned", input=0, output=0)
        | {"estimated": True},
    )
    windows, _ = closing(lite, bank(), DUE)
    windows.step()
    used = [e for e in booked(lite) if read_id(e.id)[2] == "use"]
    assert [(e.team, e.quantity, e.estimated) for e in used] == [("lab", 4 * MINUTE, True)]


def test_a_pool_is_booked_from_its_first_call_or_from_when_it_was_known(lite):
    """A lease that began in January does not book ten months of idle time at the first start."""
    windows, _ = closing(lite, bank(), DUE)
    assert windows.step() == []
    assert windows.since(bank().pools["llama-ca"]) == HOUR + HOUR_US
    assert windows.since(bank().pools["llama-ca"]) == HOUR + HOUR_US


def test_finance_may_say_from_when(lite):
    """`borderpost gpu close --since`: idle hours included; said later, what lies before is booked too."""
    pool = bank().pools["llama-ca"]
    windows, _ = closing(lite, bank(), DUE)
    assert windows.since(pool, at_us=HOUR - 5 * HOUR_US) == HOUR - 5 * HOUR_US
    assert len(windows.step()) == 6
    assert windows.since(pool, at_us=HOUR) == HOUR - 5 * HOUR_US  # it never begins later
    before = booked(lite)
    assert windows.since(pool, at_us=HOUR - 9 * HOUR_US) == HOUR - 9 * HOUR_US
    assert sorted(done.start_us for done in windows.step()) == [HOUR - n * HOUR_US for n in (9, 8, 7, 6)]
    assert windows.step() == []
    assert sums(booked(lite))[0] == 10 * BILLED
    assert {e.id for e in before} <= {e.id for e in booked(lite)}


def test_a_pool_is_never_booked_before_it_has_a_rate(lite):
    """Nor an hour to which no rate applies."""
    snapshot = bank()
    pool = snapshot.pools["llama-ca"]
    windows, _ = closing(lite, snapshot, DUE)
    assert windows.since(pool, at_us=0) == pool.begins // 1000
    gone = replace(pool, replicas=())
    assert closing(lite, snapshot, DUE, pools={"x": gone})[0].since(replace(gone, id="x")) is None


def test_what_cannot_be_closed_is_told_and_tried_again(lite):
    """No rate of exchange that day: the hour waits, with the fix; then it is closed."""
    calls(lite)
    later = FILES["fx"].replace("2026-01-01", "2027-01-01")
    windows, clock = closing(lite, bank(fx=later), DUE)
    assert windows.step() == []
    assert "add the rate to prices/fx.yaml" in windows.problems["llama-ca"]
    assert booked(lite) == []
    cured = GpuWindows(lite, bank, clock)
    assert len(cured.step()) == 1
    assert cured.problems == {}


def test_a_correction_never_changes_the_currency(lite):
    """More time billed in a rate of another currency: told, not booked."""
    calls(lite)
    windows, _ = closing(lite, bank(), DUE)
    windows.step()
    fewer = POOLS.replace("from: 2026-11-10T12:00:00Z}", "from: 2026-12-10T12:00:00Z}").replace(
        'per_gpu_hour: "2.85", currency: USD', 'per_gpu_hour: "2.85", currency: CAD'
    )
    moved, _ = closing(lite, bank(pools=fewer), DUE)
    write(lite, served("late", HOUR + 50 * MINUTE, 20 * MINUTE, output=9))
    assert moved.step() == []
    assert "a correction cannot change a currency" in moved.problems["llama-ca"]


def test_a_replica_that_was_not_there_is_corrected_in_money_too(lite):
    """The rate stands, less time is billed: the charge shrinks by corrections, and ratios still sum to one."""
    calls(lite)
    windows, _ = closing(lite, bank(), DUE)
    windows.step()
    fewer = bank(pools=POOLS.replace("from: 2026-11-10T12:00:00Z}", "from: 2026-12-10T12:00:00Z}"))
    write(lite, served("late", HOUR + 50 * MINUTE, 20 * MINUTE, output=9))
    closing(lite, fewer, DUE)[0].step()
    assert sums(booked(lite)) == (BILLED // 2, 11_400_000_000, 15_874_500_000, WHOLE_PPB)


def test_a_rate_that_was_learned_too_late_is_corrected_when_a_person_says_so(lite):
    """Only then: the hour keeps its price otherwise. Sums are those of the new rate, ratios still one."""
    calls(lite)
    windows, clock = closing(lite, bank(), DUE)
    windows.step()
    before = booked(lite)
    dearer = bank(pools=POOLS.replace('"2.85"', '"3.00"'))
    write(lite, served("late", HOUR + 50 * MINUTE, 5 * MINUTE, output=9))
    fresh, _ = closing(lite, dearer, clock.at_us)
    fresh.step()
    assert sums(booked(lite)) == sums(before)
    (done,) = fresh.again(dearer.pools["llama-ca"], start_us=HOUR, end_us=HOUR + 1)
    assert done.revision == 3
    assert sums(booked(lite)) == (BILLED, 24_000_000_000, 33_420_000_000, WHOLE_PPB)
    assert fresh.again(dearer.pools["llama-ca"], start_us=HOUR, end_us=HOUR + 1) == []
    assert [e for e in booked(lite) if e.kind == "gpu"] == before


def test_coefficients_are_kept_as_they_were():
    """Text and back, to the picosecond."""
    odd = replace(DEFAULTS, step_ps=7 * PS_PER_US + 1)
    assert read_coefficients(coefficients_text(odd)) == odd


async def test_it_runs_beside_the_calls_and_outlives_a_database_that_is_away(lite):
    """The task closes what is due, and goes on after the store did not answer."""
    calls(lite)
    windows, _ = closing(lite, bank(), DUE)
    closed = asyncio.Event()
    real, tries = windows.step, 0
    loop = asyncio.get_running_loop()

    def step():
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("away")
        done = real()
        loop.call_soon_threadsafe(closed.set)
        return done

    windows.step = step
    task = asyncio.create_task(run(windows, lite, every_s=0))
    await asyncio.wait_for(closed.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sums(booked(lite))[0] == BILLED
