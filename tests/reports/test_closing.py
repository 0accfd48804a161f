"""Closing months: one instant, in order, to the same hash; what comes late never changes what is closed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, make_url, select, text

from gateway.adapters.store_sql import books as rows
from gateway.adapters.store_sql import reports as query
from gateway.adapters.store_sql.budgets import Writer, open_writer
from gateway.adapters.store_sql.periods import hold
from gateway.adapters.store_sql.projection import nothing_new
from gateway.adapters.store_sql.tables import admin_log, cursors, ledger
from gateway.adapters.store_sql.tables_books import closed_periods, ledger_entries
from gateway.core.gl import Books
from gateway.core.periods import following
from gateway.reports.closing import periods, standing, window
from gateway.reports.correcting import correct
from gateway.reports.statements import NotClosed
from gateway.reports.verifying import verify
from tests.adapters.store_sql.databases import emptied, opened, sqlite_url
from tests.bookkeeping import FINA, FRED, add, arrive, at, bank, closed, come, database, entry
from tests.people import TORONTO, snapshot

OCT, NOV = at("2026-10-15 12:00"), at("2026-11-15 12:00")
AFTER = at("2026-11-02 09:00")
LATER = at("2026-12-02 09:00")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """Empty books in each kind of database."""
    with database(request.param, request, tmp_path) as made:
        yield made


def spend(store, month, now=AFTER):
    """What a month's figures sum to, and in how many rows."""
    with store.read() as connection:
        where = standing(connection, bank(), month, now=now, journals=None)
        found = list(
            rows.rows(connection, tenant="maple", period=month, start_us=where.start_us, end_us=where.end_us)
        )
    return sum(int(row["spend_nano"]) for _, row in found), len(found)


def checks(store, month):
    with store.read() as connection:
        return verify(connection, "maple", month, genuine=lambda *_: "")


def test_a_month_goes_from_open_to_restated(store):
    """Open, preliminary, closed, and what came after counts as later."""
    come(store, ("a1", OCT))
    states = []
    for now in (OCT, AFTER):
        with store.read() as connection:
            states.append(standing(connection, bank(), "2026-10", now=now, journals=None).status)
    closed(store, "2026-10", now=AFTER)
    come(store, ("a2", OCT))
    with store.read() as connection:
        found = standing(connection, bank(), "2026-10", now=AFTER, journals=None)
    assert [*states, found.status] == ["open", "preliminary", "closed"]
    assert found.later == 1


def test_closing_twice_gives_the_same_hash(store):
    """The second time nothing is made; the hash is that of the rows, whenever it is computed."""
    come(store, *((f"a{n}", OCT + n) for n in range(5)))
    add(store, entry("gpu:1", "2026-10", start=OCT))
    first = closed(store, "2026-10", now=AFTER)
    again = closed(store, "2026-10", now=LATER, by=FRED)
    assert (first.fresh, again.fresh) == (True, False)
    assert first.sha256 == again.sha256
    assert first.statement == again.statement
    assert first.statement["rows"] == {"ledger": 5, "ledger_entries": 1, "late": 0}
    assert [check.problems for check in checks(store, "2026-10")] == [()]


@pytest.fixture
def in_english(request):
    """A PostgreSQL database that sorts as English does: `a` before `B`."""
    url = make_url(request.getfixturevalue("postgres_url"))
    server = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    name = f"{url.database}_en"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
        )
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_hash_does_not_hang_on_the_database(tmp_path, in_english):
    """The same rows in SQLite and in PostgreSQL are the same books, whatever language that sorts in."""
    found = set()
    for url in (sqlite_url(tmp_path), in_english):
        with opened(url) as made:
            # Same instants and ids of every case: an order that hangs on a language would show.
            come(made, *((f"{name}1", OCT) for name in ("b", "A", "a", "B", "_")))
            come(made, ("z", OCT + 1_000), estimated=True, cost_centre=None)
            add(made, entry("B:1", "2026-10", start=OCT), entry("a:1", "2026-10", start=OCT, cad="-3.5"))
            found.add(closed(made, "2026-10", now=AFTER).sha256)
    assert len(found) == 1


def test_a_late_record_never_changes_the_closed_month(store):
    """It is booked in the open month, about its own time; the closed figures stand, and verify."""
    come(store, ("a1", OCT))
    was = closed(store, "2026-10", now=AFTER)
    before = spend(store, "2026-10")
    come(store, ("a2", OCT), usd="4")
    assert spend(store, "2026-10") == before
    assert spend(store, "2026-11") == (4 * 1_392_500_000, 1)
    assert closed(store, "2026-10", now=AFTER).sha256 == was.sha256
    assert checks(store, "2026-10")[0].problems == ()
    [november] = [closed(store, "2026-11", now=LATER)]
    assert november.statement["rows"]["late"] == 1
    assert [group["about"] for group in november.statement["groups"]] == ["earlier"]


def test_an_entry_about_a_closed_month_goes_to_the_open_one(store):
    """Whoever books it need not know what is closed; the same entry again is booked once."""
    come(store, ("a1", OCT))
    closed(store, "2026-10", now=AFTER)
    late = entry("gpu:late", "2026-10", start=OCT)
    add(store, late)
    add(store, late)
    with store.read() as connection:
        assert connection.execute(
            select(ledger_entries.c.billing_period, ledger_entries.c.start_us)
        ).all() == [("2026-11", OCT // 1000)]


def test_a_running_month_is_not_closed(store):
    """The refusal says when it ends, in the organisation's time."""
    come(store, ("a1", OCT))
    with pytest.raises(NotClosed, match=r"runs until 2026-11-01 00:00 \(America/Toronto\)"):
        closed(store, "2026-10", now=at("2026-10-31 23:59"))
    with pytest.raises(ValueError, match="is no month"):
        closed(store, "October", now=AFTER)


def test_months_close_in_order(store):
    """An earlier month with rows comes first; an empty one needs no closing, and is shut with the next."""
    come(store, ("a1", at("2026-08-10 12:00")), ("a2", OCT))
    with pytest.raises(NotClosed, match="close 2026-08 first"):
        closed(store, "2026-10", now=AFTER)
    closed(store, "2026-08", now=AFTER)
    add(store, entry("gpu:sep", "2026-09", start=at("2026-09-05 12:00")))
    with pytest.raises(NotClosed, match="close 2026-09 first"):
        closed(store, "2026-10", now=AFTER)
    closed(store, "2026-09", now=AFTER)
    closed(store, "2026-10", now=AFTER)
    come(store, ("a3", at("2026-07-10 12:00")))
    assert spend(store, "2026-11")[1] == 1
    with pytest.raises(NotClosed, match="takes none any more"):
        closed(store, "2026-07", now=AFTER)


def test_an_unread_journal_stops_the_closing_and_is_named(store):
    """A writer that is open and was not read past the end, with an hour for what still ran then."""
    come(store, ("a1", OCT))
    with store.write() as connection:
        open_writer(connection, Writer(id="w7", place="CA-QC", host="node-3"), now_us=OCT // 1000)
    with pytest.raises(NotClosed, match=r"`w7` on node-3 \(CA-QC\): its journal was never read to its end"):
        closed(store, "2026-10", now=AFTER)
    with pytest.raises(NotClosed, match="needs a --reason"):
        closed(store, "2026-10", now=AFTER, force=True, reason=" ")
    with store.write() as connection:
        connection.execute(cursors.insert().values(writer="w7", seq=3, updated_us=1))
        nothing_new(connection, "w7", seen=seq_of(connection), read_us=at("2026-11-01 00:59") // 1000)
    with pytest.raises(NotClosed, match="last read to its end at 2026-11-01T04:59"):
        closed(store, "2026-10", now=AFTER)
    forced = closed(store, "2026-10", now=AFTER, force=True, reason="node-3 burnt down")
    assert forced.statement["reason"] == "node-3 burnt down"
    assert [item["writer"] for item in forced.statement["unread"]] == ["w7"]


def seq_of(connection):
    return int(connection.execute(select(cursors.c.seq).where(cursors.c.writer == "w7")).scalar_one())


def test_a_journal_that_was_read_far_enough_does_not_stop_it(store):
    """Read to its end an hour after the month; or opened later than that; or closed."""
    come(store, ("a1", OCT))
    with store.write() as connection:
        open_writer(connection, Writer(id="w7", place="CA-QC", host="node-3"), now_us=OCT // 1000)
        open_writer(connection, Writer(id="w8", place="CA-QC", host="node-3"), now_us=AFTER // 1000)
        connection.execute(cursors.insert().values(writer="w7", seq=3, updated_us=1))
        nothing_new(connection, "w7", seen=3, read_us=at("2026-11-01 01:00") // 1000)
    assert closed(store, "2026-10", now=AFTER).fresh


def test_where_two_people_close_one_does_not(store):
    """The first asks, the second closes the very same rows; rows that came in between ask again."""
    policy = bank(books=Books(two_people=True))
    come(store, ("a1", OCT))
    asked = closed(store, "2026-10", now=AFTER, policy=policy)
    assert asked.waits
    assert closed(store, "2026-10", now=AFTER, policy=policy).waits  # the same person again
    come(store, ("a2", OCT))
    assert closed(store, "2026-10", now=AFTER, policy=policy, by=FRED).waits  # not what Fina saw
    done = closed(store, "2026-10", now=AFTER, policy=policy)
    assert not done.waits
    assert (done.statement["closed_by"], done.statement["asked_by"]) == ("fina", "fred")
    with store.read() as connection:
        actions = connection.execute(select(admin_log.c.action).order_by(admin_log.c.id)).scalars().all()
    assert actions == ["period.proposed"] * 3 + ["period.closed"]


def test_closing_goes_on_where_it_stopped(store, monkeypatch):
    """Killed between closing and stating: the month takes nothing any more, and is stated next time."""
    come(store, ("a1", OCT))
    with monkeypatch.context() as patch:
        patch.setattr("gateway.reports.closing.first", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            closed(store, "2026-10", now=AFTER)
    come(store, ("a2", OCT))
    done = closed(store, "2026-10", now=LATER)
    assert done.fresh
    assert done.statement["rows"]["ledger"] == 1
    assert checks(store, "2026-10")[0].problems == ()


def test_two_who_close_at_once_make_one_statement(store):
    """Whoever comes second gets the first one's."""
    come(store, *((f"a{n}", OCT + n) for n in range(50)))
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(closed, store, "2026-10", now=AFTER, by=by) for by in (FINA, FRED)]
        done = [item.result(timeout=60) for item in both]
    assert sorted(item.fresh for item in done) == [False, True]
    assert done[0].statement == done[1].statement


def test_a_row_in_flight_is_in_the_month_or_in_the_next_never_lost(request, tmp_path):
    """PostgreSQL: closing waits for a transaction that is booking, and what comes behind it is late."""
    with database("postgresql", request, tmp_path) as store:
        come(store, ("a1", OCT))
        results = []
        with store.write() as booking:
            arrive(booking, "a2", OCT)
            closer = threading.Thread(target=lambda: results.append(closed(store, "2026-10", now=AFTER)))
            closer.start()
            with store.read() as other:
                for _ in range(400):
                    waiting = other.execute(
                        text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                    ).scalar_one()
                    if waiting:
                        break
                    other.execute(text("SELECT pg_sleep(0.02)"))
            assert waiting
        closer.join(30)
        come(store, ("a3", OCT))
        assert results[0].statement["rows"]["ledger"] == 2
        assert spend(store, "2026-11")[1] == 1
        with store.write() as connection:
            hold(connection, closing=True)  # nobody holds it any more


def test_moving_a_team_does_not_rewrite_its_rows(store):
    """The cost centre is the row's own: the closed figures name the one of that day."""
    come(store, ("a1", OCT), cost_centre="4410")
    come(store, ("a2", OCT), cost_centre=None)
    done = closed(store, "2026-10", now=AFTER, policy=bank())
    come(store, ("a3", NOV), cost_centre="4900")
    assert {group["cost_centre"] for group in done.statement["groups"]} == {"4410", ""}
    november = closed(store, "2026-11", now=LATER)
    assert {group["cost_centre"] for group in november.statement["groups"]} == {"4900"}
    assert checks(store, "2026-10")[0].problems == ()


def test_a_new_time_zone_loses_no_instant(store):
    """Closed in Toronto, then the organisation moves west: what lies between is November's."""
    between = at("2026-11-01 01:30")  # still October in Vancouver
    come(store, ("a1", OCT), ("a2", between))
    closed(store, "2026-10", now=AFTER)
    west = replace(bank(), timezone="America/Vancouver")
    done = closed(store, "2026-11", now=LATER, policy=west)
    assert done.statement["rows"]["ledger"] == 1
    assert done.statement["end_us"] > done.statement["start_us"] == at("2026-11-01 00:00") // 1000


def test_the_periods_there_are(store):
    """Closed ones, those with rows, and the running one."""
    with store.read() as connection:
        assert periods(connection, bank(), now=AFTER) == ["2026-11"]
    come(store, ("a1", at("2026-09-10 12:00")))
    closed(store, "2026-09", now=AFTER)
    with store.read() as connection:
        assert periods(connection, bank(), now=AFTER) == ["2026-09", "2026-11"]
    come(store, ("a2", OCT))
    with store.read() as connection:
        assert periods(connection, bank(), now=AFTER) == ["2026-09", "2026-10", "2026-11"]


# --------------------------------------------------------------------------- the property

MONTHS = ["2026-08", "2026-09", "2026-10", "2026-11"]
_start = st.sampled_from(MONTHS).flatmap(
    lambda month: st.integers(1, 28).map(lambda day: at(f"{month}-{day:02d} 12:00"))
)
_step = st.one_of(
    st.tuples(st.just("arrive"), _start, st.integers(0, 10**12), st.booleans()),
    st.tuples(st.just("entry"), _start, st.integers(-(10**11), 10**11), st.booleans()),
    st.tuples(st.just("correct"), st.integers(0, 30), st.integers(0, 10**12), st.booleans()),
    st.tuples(st.just("close"), st.just(0), st.just(0), st.just(False)),
)


@pytest.fixture(scope="module")
def books_of_all(tmp_path_factory):
    """One SQLite file for all examples, emptied before each."""
    with opened(sqlite_url(tmp_path_factory.mktemp("books"))) as made:
        yield made


@settings(max_examples=60)
@given(st.lists(_step, max_size=25))
def test_nothing_is_lost_doubled_or_changed_whatever_comes_when(books_of_all, steps):
    """After any sequence of arrivals, closings, late arrivals, entries and corrections: every closed
    month verifies, and the months together are all rows and entries there are.
    """
    store, closed_so_far, hashes, known = books_of_all, [], {}, []
    with store.write() as connection:
        emptied(connection)
    for number, (what, when, nano, flag) in enumerate(steps):
        name = f"a{number}"
        if what == "arrive":
            usd = str(Decimal(nano).scaleb(-9))
            come(store, (name, when), usd=usd, estimated=flag)
            known.append(name)
        elif what == "entry":
            month = f"{_month(when)}"
            add(store, entry(f"e{number}", month, start=when, cad=str(Decimal(nano).scaleb(-9))))
        elif what == "correct" and known:
            with store.write() as connection:
                correct(
                    connection,
                    bank(),
                    known[when % len(known)],
                    to=Decimal(nano).scaleb(-9),
                    reason="the vendor's bill",
                    now=LATER,
                    by=FINA,
                )
        elif what == "close" and len(closed_so_far) < len(MONTHS):
            month = MONTHS[len(closed_so_far)]
            done = closed(store, month, now=LATER)
            closed_so_far.append(month)
            hashes[month] = (done.sha256, spend(store, month, now=LATER))
        for month, (sha256, figures) in hashes.items():
            assert spend(store, month, now=LATER) == figures
            assert (checks(store, month)[0].problems, checks(store, month)[0].sha256) == ((), sha256)
    every = [*MONTHS, following(MONTHS[-1]), following(following(MONTHS[-1]))]
    together = [spend(store, month, now=LATER) for month in every]
    assert [reported(store, month) for month in every] == [item[0] for item in together]
    with store.read() as connection:
        all_rows = connection.execute(
            select(func.coalesce(func.sum(ledger.c.spend_nano), 0), func.count())
        ).one()
        all_entries = connection.execute(
            select(func.coalesce(func.sum(ledger_entries.c.spend_nano), 0), func.count())
        ).one()
        assert connection.execute(select(func.count()).select_from(closed_periods)).scalar_one() == len(
            closed_so_far
        )
    assert sum(item[0] for item in together) == all_rows[0] + all_entries[0]
    assert sum(item[1] for item in together) == all_rows[1] + all_entries[1]


def reported(store, month):
    """What every report of a month is made of."""
    with store.read() as connection:
        start_us, end_us = window(connection, bank(), month)
        sums = query.spend(
            connection, tenant="maple", start_us=start_us, end_us=end_us, by=("team",), currency="CAD",
            billing=month,
        )  # fmt: skip
    return sum(item.spend_nano for item in sums)


def _month(when):
    from gateway.reports.period import month_of

    return month_of(when, TORONTO)


def test_no_rate_no_correction(store):
    """Where no exchange rate is known for that day, a correction says so and books nothing."""
    from gateway.reports.correcting import NotCorrected

    come(store, ("a1", OCT))
    with pytest.raises(NotCorrected, match="exchange rate"), store.write() as connection:
        correct(
            connection, snapshot(), "a1", to=Decimal(1), reason="x", now=AFTER, by=FINA
        )  # rates from November on
