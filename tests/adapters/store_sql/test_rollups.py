"""The sums kept beside the ledger are what its rows sum to: any order, split and retry, both databases."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from gateway.adapters.store_sql import Store, rollups
from gateway.adapters.store_sql.budgets import Writer
from gateway.adapters.store_sql.projection import CursorMoved, apply, book
from gateway.adapters.store_sql.reports import GROUPINGS, spend
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_rollups import rollup_groups
from gateway.adapters.store_sql.tables_rollups import rollups as sums
from gateway.core.fold import Booking
from tests.adapters.store_sql.databases import opened, sqlite_url

HOUR = rollups.HOUR
BASE = 1_793_491_200_000_000  # 2026-11-01 00:00 UTC
NAMES = count()
slow_is_fine = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One database of each kind for all examples: each is a tenant of its own."""
    folder: Path = tmp_path_factory.mktemp("rollups")
    url = sqlite_url(folder) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def row(tenant: str, call: str, number: int, **changes: Any) -> dict[str, Any]:
    """A whole ledger row."""
    blank: dict[str, Any] = {}
    for column in ledger.columns:
        blank[column.name] = (
            None if column.nullable else "" if column.type.python_type is str else column.type.python_type(0)
        )
    return {
        **blank,
        "attempt_id": f"{tenant}/{call}#{number}",
        "call_id": f"{tenant}/{call}",
        "writer": f"w{tenant}",
        "seq": next(NAMES) + 1,
        "number": number,
        "tenant": tenant,
        "team": "branch",
        "app": "teller",
        "key_id": "k1",
        "alias": "chat",
        "deployment": "here",
        "vendor": "v",
        "place": "CA",
        "model": "m",
        "surface": "chat",
        "status": "served",
        "started_us": BASE,
        "ended_us": BASE,
        "units": "{}",
        "lines": "[]",
        **changes,
    }


priced = st.one_of(
    st.just((None, None, None, None)),
    st.tuples(
        st.sampled_from(["USD", "CAD"]), st.integers(0, 10**12), st.just("CAD"), st.integers(0, 10**12)
    ),
    st.tuples(st.just("EUR"), st.integers(0, 10**12), st.none(), st.none()),
)
changed = st.fixed_dictionaries({
    "started_us": st.integers(BASE - 30 * HOUR, BASE + 30 * HOUR)
    | st.integers(-30, 30).map(lambda hours: BASE + hours * HOUR)
    | st.integers(-30, 30).map(lambda hours: BASE + hours * HOUR - 1),
    "team": st.sampled_from(["branch", "lab"]),
    "app": st.sampled_from(["teller", "hackathon"]),
    "key_id": st.sampled_from(["k1", "k2"]),
    "cost_centre": st.sampled_from(["4410", "4900", None]),
    "deployment": st.sampled_from(["here", "there"]),
    "status": st.sampled_from(["served", "failed", "abandoned"]),
    "estimated": st.booleans(),
    "overrun": st.booleans(),
    "input": st.integers(0, 10**6),
    "cache_read": st.integers(0, 10**6),
    "output": st.integers(0, 10**6),
    "list_nano": st.none() | st.integers(0, 10**12),
    "billing_period": st.sampled_from([None, None, None, "2026-12"]),
    "money": priced,
})  # fmt: skip
calls = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(changed, min_size=1, max_size=3), min_size=1, max_size=6
)


def made(tenant: str, drawn: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of drawn calls."""
    rows = []
    for call, attempts in drawn.items():
        for number, attempt in enumerate(attempts, 1):
            values = dict(attempt)
            currency, nano, spend_currency, spend_nano = values.pop("money")
            if nano is None:
                values["list_nano"] = None
            money = {
                "currency": currency, "nano": nano, "spend_currency": spend_currency, "spend_nano": spend_nano
            }  # fmt: skip
            rows.append(row(tenant, call, number, **values, **money))
    return rows


def booking(values: dict[str, Any], *, adopted: bool = False) -> Booking:
    """A fact of one row that spends nothing."""
    return Booking(row=dict(values), spends=(), owner=values["writer"], adopted=adopted)


def batches(rows: list[dict[str, Any]], random: Random) -> list[list[dict[str, Any]]]:
    """The rows in any order, split anywhere; some told again by another entry, as adopters do."""
    shuffled = rows[:]
    random.shuffle(shuffled)
    again = [
        {
            **values,
            "nano": 1,
            # By another writer's entry, whatever its number, or by a later one of the same.
            **(
                {"writer": f"{values['writer']}x", "seq": 1 + number}
                if random.random() < 0.5
                else {"seq": values["seq"] + 10**9}
            ),
        }
        for number, values in enumerate(shuffled)
        if random.random() < 0.3
    ]
    split: list[list[dict[str, Any]]] = []
    for values in shuffled:
        if not split or random.random() < 0.5:
            split.append([])
        split[-1].append(values)
    return [*split, again] if again else split


def put(store: Store, rows: list[dict[str, Any]], random: Random) -> None:
    """Book rows in batches, one transaction each."""
    for batch in batches(rows, random):
        with store.write() as connection:
            book(connection, [booking(values, adopted=random.random() < 0.3) for values in batch])


def unlike(store: Store, tenant: str) -> list[rollups.Difference]:
    """Where the sums of a tenant are not those of its rows."""
    with store.read() as connection:
        return [
            found
            for day in rollups.days(connection, tenant=tenant)
            for found in rollups.differences(connection, tenant=tenant, day_us=day)
        ]


# ------------------------------------------------------------------------- the oracle


def naive(
    rows: list[dict[str, Any]], start: int, end: int, by: tuple[str, ...], *, billing: str = ""
) -> dict[Any, tuple[int, ...]]:
    """What a report shows, counted from the rows one by one."""
    last: dict[str, int] = {}
    for values in rows:
        last[values["call_id"]] = max(values["number"], last.get(values["call_id"], 0))
    found: dict[Any, list[int]] = defaultdict(lambda: [0] * 12)
    for values in rows:
        inside = start <= values["started_us"] < end
        if billing:
            inside = values["billing_period"] == billing or (inside and values["billing_period"] is None)
        if not inside:
            continue
        ours = values["spend_currency"] == "CAD"
        bare = values["nano"] is None
        nano = values["nano"] or 0
        listed = nano if values["list_nano"] is None else values["list_nano"]
        spent = (values["spend_nano"] or 0) if ours else 0
        into = found[tuple(values[GROUPINGS[name]] for name in by), values["currency"]]
        for at, number in enumerate((
            values["number"] == last[values["call_id"]], 1, values["status"] == "served",
            bare and values["status"] != "failed", not bare and not ours, values["overrun"],
            values["input"] + values["cache_read"], values["output"],
            nano, listed, spent, spent if values["estimated"] else 0,
        )):  # fmt: skip
            into[at] += int(number)
    return {key: tuple(numbers) for key, numbers in found.items()}


def reported(store: Store, tenant: str, start: int, end: int, by: tuple[str, ...], billing: str = "") -> Any:
    """The same numbers by the query."""
    with store.read() as connection:
        found = spend(
            connection, tenant=tenant, start_us=start, end_us=end, by=by, currency="CAD", billing=billing
        )
    return {
        (item.group, item.currency): (
            item.calls, item.attempts, item.served, item.unpriced, item.unconverted, item.overruns,
            item.tokens_in, item.tokens_out, item.nano, item.list_nano, item.spend_nano, item.estimated_nano,
        )
        for item in found
    }  # fmt: skip


# -------------------------------------------------------------------------- properties


@slow_is_fine
@given(
    drawn=calls,
    seed=st.randoms(use_true_random=False),
    by=st.sampled_from([(), ("team",), ("cost_centre", "app"), ("key",), ("deployment", "key", "place")]),
    start=st.integers(BASE - 31 * HOUR, BASE + 31 * HOUR) | st.just(BASE - 30 * HOUR),
    length=st.integers(0, 62 * HOUR) | st.just(24 * HOUR),
    billing=st.sampled_from(["", "2026-11", "2026-12"]),
)
def test_any_order_split_and_retry_gives_the_sums_of_the_rows(
    store: Store, drawn: Any, seed: Random, by: tuple[str, ...], start: int, length: int, billing: str
) -> None:
    """Kept sums, the database's own check of them, and a report of any span agree with counting by hand."""
    tenant = f"t{next(NAMES)}"
    rows = made(tenant, drawn)
    # Nothing is closed here, so stamp() books in time: late rows are told by the column alone.
    late = {values["attempt_id"]: values["billing_period"] for values in rows}
    for values in rows:
        values["billing_period"] = None
    put(store, rows, seed)
    assert unlike(store, tenant) == []
    assert reported(store, tenant, start, start + length, by) == naive(rows, start, start + length, by)
    if billing:
        later = f"{tenant}L"
        moved = [
            {
                **values, "tenant": later, "attempt_id": f"L{values['attempt_id']}",
                "call_id": f"L{values['call_id']}", "billing_period": late[values["attempt_id"]],
            }
            for values in rows
        ]  # fmt: skip
        with store.write() as connection:
            connection.execute(ledger.insert(), moved)
            rollups.add(connection, moved)
        assert unlike(store, later) == []
        assert reported(store, later, start, start + length, by, billing) == naive(
            moved, start, start + length, by, billing=billing
        )


# ------------------------------------------------------------------------- single cases


def test_a_group_that_is_taken_off_altogether_is_not_shown(store: Store) -> None:
    """A key with calls before the span only, within a day that the span has most of: no line of zeros."""
    tenant = f"t{next(NAMES)}"
    rows = [
        row(tenant, "a", 1, started_us=BASE + HOUR, key_id="k1"),
        row(tenant, "b", 1, started_us=BASE + 9 * HOUR, key_id="k2"),
    ]
    put(store, rows, Random(3))  # noqa: S311 (an order)
    start, end = BASE + 2 * HOUR, BASE + 40 * HOUR
    assert reported(store, tenant, start, end, ("key",)) == naive(rows, start, end, ("key",))


def test_late_rows_at_ragged_ends_are_of_the_month_they_are_booked_in(store: Store) -> None:
    """In whole hours and in the half hours at both ends, in this month or in another one."""
    tenant = f"t{next(NAMES)}"
    half = HOUR // 2
    rows = [
        row(tenant, f"c{number}", 1, started_us=BASE + offset, billing_period=period)
        for number, (offset, period) in enumerate(
            (offset, period)
            for offset in (
                -half,
                -1,
                half - 1,
                half,
                HOUR,
                2 * HOUR,
                3 * HOUR - 1,
                3 * HOUR + half - 1,
                9 * HOUR,
            )
            for period in (None, "2026-11", "2026-12")
        )
    ]
    with store.write() as connection:
        connection.execute(ledger.insert(), rows)
        rollups.add(connection, rows)
    start, end = BASE + half, BASE + 3 * HOUR + half
    for billing in ("", "2026-10", "2026-11", "2026-12"):
        for by in ((), ("key",)):
            assert reported(store, tenant, start, end, by, billing) == naive(
                rows, start, end, by, billing=billing
            )


def test_a_call_moves_to_where_its_last_attempt_went(store: Store) -> None:
    """Counted at the first attempt while there is no other; then there no more."""
    tenant = f"t{next(NAMES)}"
    with store.write() as connection:
        book(connection, [booking(row(tenant, "a", 1, deployment="us", status="failed"))])
    assert reported(store, tenant, BASE, BASE + HOUR, ("deployment",))[("us",), None][0] == 1
    with store.write() as connection:
        book(connection, [booking(row(tenant, "a", 2, deployment="ca", started_us=BASE + 2 * HOUR))])
    found = reported(store, tenant, BASE, BASE + 24 * HOUR, ("deployment",))
    assert (found[("us",), None][0], found[("ca",), None][0]) == (0, 1)
    assert unlike(store, tenant) == []


def test_a_transaction_that_fails_adds_nothing(store: Store) -> None:
    """The cursor, the rows and the sums stand or fall together; the retry adds them once."""
    tenant = f"t{next(NAMES)}"
    writer = Writer(id=f"w{tenant}", place="CA")
    facts = [booking(row(tenant, "a", 1, writer=writer.id, seq=1))]

    def project(*, seen: int) -> None:
        apply(connection, writer, facts, seen=seen, last=1, handlers={}, now_us=1)

    def die() -> None:
        project(seen=0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), store.write() as connection:
        die()
    assert reported(store, tenant, BASE, BASE + HOUR, ()) == {}
    with store.write() as connection:
        project(seen=0)
    with pytest.raises(CursorMoved), store.write() as connection:
        project(seen=0)
    assert reported(store, tenant, BASE, BASE + HOUR, ())[(), None][:2] == (1, 1)


def test_writers_at_once_wait_for_each_other_and_lose_nothing(store: Store) -> None:
    """Replicas project into the same groups and hours in different orders: no ring, no lost sum."""
    tenant = f"t{next(NAMES)}"
    teams = ["a", "b", "c", "d", "e", "f"]
    failures: list[BaseException] = []
    gate = threading.Barrier(4)

    def replica(number: int) -> None:
        random = Random(number)  # noqa: S311 (an order)
        try:
            gate.wait(30)
            for batch in range(12):
                rows = [
                    row(
                        tenant, f"{number}-{batch}-{team}", 1, writer=f"w{tenant}{number}", team=team,
                        started_us=BASE + random.randrange(5) * HOUR,
                    )
                    for team in random.sample(teams, len(teams))
                ]  # fmt: skip
                with store.write() as connection:
                    book(connection, [booking(values) for values in rows])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=replica, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)
    assert unlike(store, tenant) == []
    found = reported(store, tenant, BASE, BASE + 24 * HOUR, ())
    assert found[(), None][:2] == (4 * 12 * 6, 4 * 12 * 6)


def test_a_wrong_sum_is_told_and_made_right(store: Store) -> None:
    """Altered, lost and invented sums: each is found, named with both numbers, and rebuilt from the rows."""
    tenant = f"t{next(NAMES)}"
    with store.write() as connection:
        hours = (0, 1, 30)
        book(
            connection,
            [booking(row(tenant, f"c{hour}", 1, started_us=BASE + hour * HOUR, input=5)) for hour in hours],
        )
        mine = select(rollup_groups.c.id).where(
            rollup_groups.c.tenant == tenant, rollup_groups.c.span == "hour"
        )
        ours = sums.c.group_id.in_(mine)
        connection.execute(update(sums).where(ours, sums.c.start_us == BASE).values(input=7))
        connection.execute(delete(sums).where(ours, sums.c.start_us == BASE + HOUR))
        group = connection.scalar(mine)
        blank = dict.fromkeys(rollups.MEASURES, 0)
        connection.execute(
            sums.insert().values(group_id=group, start_us=BASE + 5 * HOUR, **{**blank, "calls": 9})
        )
    told = {(item.start_us, item.measure): (item.kept, item.rows) for item in unlike(store, tenant)}
    assert told[BASE, "input"] == (7, 5)
    assert told[BASE + HOUR, "attempts"] == (0, 1)
    assert told[BASE + 5 * HOUR, "calls"] == (9, 0)
    with store.read() as connection:
        days = rollups.days(connection, tenant=tenant)
    assert len(days) == 2
    for day in days:
        with store.write() as connection:
            rollups.rebuild(connection, tenant=tenant, day_us=day)
    assert unlike(store, tenant) == []
    with store.read() as connection:
        assert tenant in rollups.tenants(connection)
        assert rollups.days(connection, tenant="nobody") == range(0)


def test_rebuilding_while_replicas_book_is_exact(store: Store) -> None:
    """Nothing is lost or doubled when a day is rebuilt between other writers' transactions."""
    tenant = f"t{next(NAMES)}"
    failures: list[BaseException] = []
    done = threading.Event()

    def replica() -> None:
        try:
            for number in range(30):
                with store.write() as connection:
                    book(connection, [booking(row(tenant, f"c{number}", 1))])
        except BaseException as failure:
            failures.append(failure)
        finally:
            done.set()

    thread = threading.Thread(target=replica)
    thread.start()
    while not done.is_set():
        with store.write() as connection:
            rollups.rebuild(connection, tenant=tenant, day_us=BASE)
    thread.join(60)
    assert failures == []
    assert unlike(store, tenant) == []
    assert reported(store, tenant, BASE, BASE + HOUR, ())[(), None][1] == 30


def test_the_groups_use_up_no_numbers(store: Store) -> None:
    """A batch of known groups makes none and draws no number: the sequence must outlast the ledger."""
    tenant = f"t{next(NAMES)}"
    for call in range(20):
        with store.write() as connection:
            book(connection, [booking(row(tenant, f"c{call}", 1))])
    with store.write() as connection:
        book(connection, [booking(row(tenant, "z", 1, team="other"))])
        ids = sorted(connection.scalars(select(rollup_groups.c.id).where(rollup_groups.c.tenant == tenant)))
    assert ids == list(range(ids[0], ids[0] + 4))


def test_a_report_of_whole_hours_reads_no_rows(store: Store) -> None:
    """The plan of a month names the sums, not the ledger: ten million rows cost what their sums cost."""
    tenant = f"t{next(NAMES)}"
    with store.write() as connection:
        book(connection, [booking(row(tenant, f"c{n}", 1, started_us=BASE + n * HOUR)) for n in range(48)])
        connection.execute(
            # Take away the rows' numbers: a report that looked at the rows would not see them.
            sums.update()
            .where(sums.c.group_id.in_(select(rollup_groups.c.id).where(rollup_groups.c.tenant == tenant)))
            .values(attempts=sums.c.attempts + 1000)
        )
    whole = reported(store, tenant, BASE, BASE + 48 * HOUR, ())
    assert whole[(), None][1] == 48 * 1001
    # A quarter of an hour is added from its row; three quarters are the hour less the rest of its rows.
    quarter = reported(store, tenant, BASE - HOUR // 2, BASE + 47 * HOUR + HOUR // 4, ())
    assert quarter[(), None][1] == 47 * 1001 + 1
    most = reported(store, tenant, BASE - HOUR // 2, BASE + 47 * HOUR + 3 * HOUR // 4, ())
    assert most[(), None][1] == 48 * 1001
    with store.read() as connection:
        assert connection.scalar(select(func.count()).where(ledger.c.tenant == tenant)) == 48
