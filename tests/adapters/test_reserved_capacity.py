"""Reserved capacity in the ledger: booked once whatever runs beside, whole, and caught up after downtime."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.adapters.reserved_capacity import GRACE_S, ReservedCapacity
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.reserved import BILLION, Reserved
from gateway.core.snapshot import Snapshot
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.core.maple import at, attempt, price, snapshot

NANO = 10**9
HOUR = 3_600 * NANO
BEGIN = at("2026-11-01T04:00:00")  # the first of November in Toronto
RESERVED = Reserved(nano=721 * NANO, per="month", split="tokens", unit="PTU", units=15)  # a dollar an hour


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Both databases."""
    url = sqlite_url(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
    with opened(url) as made:
        yield made


def bank(reserved: Reserved = RESERVED, **changes: object) -> Snapshot:
    """A bank whose model is reserved from November on."""
    deployment = attempt().deployment
    one = price(free=True, meters={}, reserved=reserved, valid_from=BEGIN, **changes)
    made = snapshot(prices={"here": (one,)}, deployments={"here": deployment})
    assert made.deployments["here"].id == "here"
    return made


def used(store: Store, when: str, app: str, tokens: int, *, centre: str | None = "4410") -> None:
    """Put one attempt into the ledger."""
    started = at(when) // 1000
    with store.write() as connection:
        connection.execute(
            ledger.insert().values(
                attempt_id=f"{when}.{app}", call_id=f"{when}.{app}", writer="w",
                seq=zlib.crc32(f"{when}.{app}".encode()), number=1, started_us=started, ended_us=started + 5,
                tenant="maple", team="branch", app=app, key_id="k", cost_centre=centre, alias="chat",
                deployment="here", vendor="v", place="CA-QC", model="m", surface="chat", status="served",
                input=tokens, estimated=False, overrun=False, snapshot="s", currency="USD", nano=0,
                spend_currency="CAD", spend_nano=0,
            )
        )  # fmt: skip


def shares(store: Store) -> list[tuple[str, str, int, int, int]]:
    """What was booked: window, app, amounts, ratio."""
    columns = ledger_entries.c
    with store.read() as connection:
        rows = connection.execute(
            select(columns.start_us, columns.app, columns.nano, columns.spend_nano, columns.ratio_ppb)
            .where(columns.kind == "reserved")
            .order_by(columns.start_us, columns.app)
        )
        return [tuple(row) for row in rows]  # type: ignore[misc]  # five columns


def test_a_closed_day_is_split_over_who_used_it(store: Store) -> None:
    """In both currencies, at the month's rate, idle first; nothing before the day is over and quiet."""
    used(store, "2026-11-01T12:00:00", "teller", 3_000)
    used(store, "2026-11-01T13:00:00", "vault", 1_000)
    used(store, "2026-11-02T06:00:00", "teller", 9)  # the next day in Toronto
    now = [BEGIN + 25 * HOUR + GRACE_S * NANO - 1]  # that Sunday has 25 hours
    work = ReservedCapacity(store, bank, now=lambda: now[0])
    assert work.step() == 0
    now[0] += 1
    assert work.step() == 3
    day = BEGIN // 1000
    assert shares(store) == [
        (day, "", 0, 0, 0),
        (day, "teller", 18_750_000_000, 26_109_375_000, 750_000_000),
        (day, "vault", 6_250_000_000, 8_703_125_000, 250_000_000),
    ]
    assert work.step() == 0  # idempotent


def test_what_was_missed_is_caught_up_and_the_month_is_whole(store: Store) -> None:
    """A worker that comes back in December books every day of November, to the last nano-dollar."""
    for day in range(1, 29, 3):
        used(store, f"2026-11-{day:02}T15:00:00", "teller", day)
        used(store, f"2026-11-{day:02}T16:00:00", "vault", 7, centre=None)
    declared = replace(RESERVED, capacity=Decimal(3), nano=2_448 * NANO + 1)
    now = at("2026-12-01T05:00:00") + GRACE_S * NANO
    ReservedCapacity(store, lambda: bank(declared), now=lambda: now).step()
    found = shares(store)
    assert len({start for start, *_ in found}) == 30
    assert sum(nano for _, _, nano, _, _ in found) == 2_448 * NANO + 1
    for start in {start for start, *_ in found}:
        of_day = [row for row in found if row[0] == start]
        assert sum(ratio for *_, ratio in of_day) == BILLION
        assert of_day[0][1] == ""


def test_use_that_comes_late_changes_no_booked_share(store: Store) -> None:
    """A window is booked once and whole: a user found later gets no share of a window that is closed."""
    used(store, "2026-11-01T12:00:00", "teller", 10)
    now = BEGIN + 26 * HOUR + GRACE_S * NANO
    work = ReservedCapacity(store, bank, now=lambda: now)
    work.step()
    before = shares(store)
    used(store, "2026-11-01T14:00:00", "vault", 10)
    assert work.step() == 0
    assert ReservedCapacity(store, bank, now=lambda: now).step() == 0
    assert shares(store) == before


def test_replicas_that_race_book_a_window_once(store: Store) -> None:
    """Also where one counted a user more than the other: the shares are of one count, and add up."""
    for day in range(1, 20):
        used(store, f"2026-11-{day:02}T12:00:00", "teller", 10)
    now = at("2026-11-20T12:00:00")
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def replica(number: int) -> None:
        try:
            start.wait(30)
            ReservedCapacity(store, bank, now=lambda: now).step()
            used(store, f"2026-11-{number + 1:02}T13:00:00", "vault", 5)
            ReservedCapacity(store, bank, now=lambda: now).step()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=replica, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    found = shares(store)
    windows = {start_us for start_us, *_ in found}
    assert len(windows) == 19
    for window in windows:
        assert sum(nano for start_us, _, nano, _, _ in found if start_us == window) in {24 * NANO, 25 * NANO}


def test_a_currency_without_a_rate_waits_and_says_so(store: Store) -> None:
    """Nothing is booked at a guess; once finance adds the rate, the windows are caught up."""
    now = BEGIN + 26 * HOUR + GRACE_S * NANO
    foreign = bank(currency="EUR")
    work = ReservedCapacity(store, lambda: foreign, now=lambda: now)
    assert work.step() == 0
    assert work.unconverted == ("here-2026-11",)
    rate = replace(foreign.rates[0], base="EUR")
    ready = replace(foreign, rates=(rate,))
    work = ReservedCapacity(store, lambda: ready, now=lambda: now)
    assert work.step() == 1
    assert work.unconverted == ()


def test_the_correction_of_a_reservation_pays_from_when_it_was_known(store: Store) -> None:
    """No window is paid twice: those that ended before keep the old amount."""
    made = bank()
    (old,) = made.prices["here"]
    known = at("2026-11-03T12:00:00")
    new = replace(
        old, id="new", corrects=old.id, recorded_at=known, reserved=replace(RESERVED, nano=1_442 * NANO)
    )
    both = replace(made, prices={"here": (old, new)})
    now = at("2026-11-06T00:00:00")
    ReservedCapacity(store, lambda: both, now=lambda: now).step()
    assert [nano for _, _, nano, _, _ in shares(store)] == [
        25 * NANO, 24 * NANO, 48 * NANO, 48 * NANO,
    ]  # fmt: skip
