"""What ten million ledger rows cost: reports over them, and one more call booked after them.

    python -m bench.scale                                     # SQLite, 10 million rows, some minutes
    python -m bench.scale --rows 1000000 --url postgresql://postgres@127.0.0.1:5432/bench_scale
    python -m bench.scale --keep /var/tmp/scale.db            # keeps the file; again: only the reports

Rows are made by SQL: 200 apps of 40 teams on three deployments each over one month, every hundredth a
second attempt, every fiftieth rated. The database must be empty or one that this made.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, func, select, text

from gateway.adapters.store_sql import Store, rollups
from gateway.adapters.store_sql.projection import book
from gateway.adapters.store_sql.reports import spend
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_rollups import rollup_groups
from gateway.adapters.store_sql.tables_rollups import rollups as sums
from gateway.core.fold import Booking
from gateway.core.snapshot import Snapshot
from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from gateway.reports.kinds import KINDS, Asked
from gateway.reports.period import month

POLICIES = Path(__file__).parent / "policies"
MONTH = "2026-11"
STRIDE_US = 259_200  # ten million rows fill 30 days
BY = ("cost_centre", "team", "app", "model", "place")
LINES = (
    '[{"meter":"input","quantity":400,"price_id":"p-2026-11","unit_price":"0.44","per":1000000},'
    '{"meter":"output","quantity":80,"price_id":"p-2026-11","unit_price":"1.76","per":1000000}]'
)


def grow(store: Store, tenant: str, start_us: int, first: int, last: int) -> None:
    """Insert rows ``first`` ≤ i < ``last``, and ratings of some."""
    second, app = "(CASE WHEN i % 100 = 99 THEN 1 ELSE 0 END)", "(i * 7919 % 200)"
    at = f"{start_us} + i * {STRIDE_US}"
    series = (
        f"generate_series(CAST({first} AS BIGINT), {last - 1}) AS s(i)"
        if store.dialect == "postgresql"
        else f"(WITH RECURSIVE s(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM s WHERE i < {last - 1})"
        " SELECT i FROM s) s"
    )
    columns = {
        "attempt_id": f"'req_' || (i - {second}) || '#' || (1 + {second})",
        "call_id": f"'req_' || (i - {second})", "number": f"1 + {second}", "writer": "'w1'", "seq": "i",
        "started_us": at, "ended_us": f"{at} + 900000", "tenant": f"'{tenant}'",
        "team": f"'team' || ({app} / 5)",
        "app": f"'app' || {app}", "key_id": "'key' || (i * 7919 % 600)",
        "cost_centre": f"'44' || ({app} / 5)",
        "alias": "'chat' || (i % 3)", "deployment": f"'dep' || (({app} + i % 3) % 9)",
        "vendor": f"'vendor' || (({app} + i % 3) % 3)", "place": "'CA-QC'",
        "model": f"'model-' || (({app} + i % 3) % 9)", "surface": "'chat'", "status": "'served'",
        "input": "100 + i % 900", "output": "50 + i % 300", "currency": "'USD'",
        "nano": "1000000 + i % 7777777",
        "spend_currency": "'CAD'", "spend_nano": "1392500 + i % 9999999", "estimated": "i % 200 = 7",
        "overrun": "i < 0", "snapshot": "'sha256:" + "3f" * 32 + "'", "price_ids": "'p-2026-11'",
        "lines": f"'{LINES}'",
    }  # fmt: skip
    rated = {
        "target": "'req_' || i", "key": "'thumbs'", "rater": "'r' || (i % 997)", "feedback_id": "'f' || i",
        "tenant": f"'{tenant}'", "app": f"'app' || {app}", "call_id": "'req_' || i", "thumb": "(i / 50) % 2",
        "value": "CAST((i / 50) % 2 AS VARCHAR)", "occurred_us": at, "received_us": at, "writer": "'w1'",
        "seq": "i",
    }  # fmt: skip
    with store.write() as connection:
        unbounded(connection)
        for table, made, where in (("ledger", columns, ""), ("feedback", rated, " WHERE i % 50 = 0")):
            names, values = ", ".join(made), ", ".join(made.values())
            sql = f"INSERT INTO {table} ({names}) SELECT {values} FROM {series}{where}"
            connection.exec_driver_sql(sql.replace("%", "%%") if store.dialect == "postgresql" else sql)


def unbounded(connection: Connection) -> None:
    """Lift the time that PostgreSQL gives a statement: a report must do without this."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def fill(store: Store, tenant: str) -> float:
    """Make the sums from the rows, day by day; return seconds."""
    began = time.perf_counter()
    with store.read() as connection:
        days = rollups.days(connection, tenant=tenant)
    for day in days:
        with store.write() as connection:
            unbounded(connection)
            rollups.rebuild(connection, tenant=tenant, day_us=day)
    return time.perf_counter() - began


def counted(store: Store) -> None:
    """Let PostgreSQL look at its tables, as its autovacuum does within minutes of such growth."""
    if store.dialect == "postgresql":
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for command in ("SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT"):
                connection.execute(text(command))


def booked(store: Store, at_us: int, size: int) -> tuple[float, float]:
    """Return the microseconds per row of booking batches of new rows, in the median: by the clock, of CPU."""
    with store.read() as connection:
        like = dict(connection.execute(select(ledger).limit(1)).mappings().one())
        number = int(connection.scalar(select(func.count()).select_from(ledger)) or 0) * 1000
    took = []
    for _ in range(15):
        facts = []
        for _ in range(size):
            number += 1
            own = {
                "attempt_id": f"new_{number}#1", "call_id": f"new_{number}", "seq": 10**12 + number,
                "number": 1, "started_us": at_us + number % 1_000_000, "app": f"app{number % 200}",
            }  # fmt: skip
            facts.append(Booking(row={**like, **own}, spends=(), owner="w1", adopted=False))
        began, used = time.perf_counter(), time.process_time()
        with store.write() as connection:
            book(connection, facts)
        took.append((time.perf_counter() - began, time.process_time() - used))
    clock, cpu = (statistics.median(each) / size * 1e6 for each in zip(*took, strict=True))
    return clock, cpu


def best(work: Callable[[], object], times: int = 5) -> str:
    """Return the least seconds of several runs, the first (cold) one left out: by the clock, of CPU here."""
    work()
    found = []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - began, time.process_time() - used))
    return f"{min(clock for clock, _ in found):8.2f}{min(cpu for _, cpu in found):10.2f}"


def reports(store: Store, snapshot: Snapshot, start_us: int) -> None:
    """Time what finance asks for."""

    def ask(work: Callable[[Connection], object]) -> Callable[[], object]:
        def run() -> object:
            with store.read() as connection:
                return work(connection)

        return run

    def query(timezone: str, *by: str) -> Callable[[], object]:
        span = month(MONTH, timezone)
        return ask(
            lambda connection: spend(
                connection, tenant=snapshot.tenant, start_us=span.start_us, end_us=span.end_us, by=by,
                currency=snapshot.currency, billing=MONTH,
            )
        )  # fmt: skip

    print(f"\n{'report':58}{'seconds':>8}{'CPU here':>10}")
    for title, work in (
        ("sums by cost_centre,team,app,model,place", query("America/Toronto", *BY)),
        ("the same, month of Asia/Kolkata", query("Asia/Kolkata", *BY)),
        ("sums by key", query("America/Toronto", "key")),
        ("sums by nothing", query("America/Toronto")),
    ):
        print(f"{title:58}{best(work)}")
    end = (start_us + 29 * rollups.DAY) * 1000
    for kind, (module, _) in KINDS.items():
        try:
            work = ask(importlib.import_module(module).build(snapshot, Asked(month=MONTH, by=(), now=end)))
        except ValueError:  # such as: no pools are declared
            continue
        print(f"{'report ' + kind:58}{best(work, 3)}", flush=True)


def run(url: str, rows: int) -> None:
    """Make or open the database and print what things cost."""
    now = time.time_ns()
    snapshot = compile_bundle(load_bundle(POLICIES, now=now), now=now)
    store = Store(url)
    migrate(store)
    start_us = month(MONTH, "America/Toronto").start_us
    with store.read() as connection:
        made = int(connection.scalar(select(func.count()).select_from(ledger)) or 0)
    print(f"{store.dialect}, load average {os.getloadavg()[0]:.1f}")
    for size in (10_000, 1_000_000, 10_000_000):
        if size > rows or made >= size:
            continue
        began = time.perf_counter()
        grow(store, snapshot.tenant, start_us, made, size)
        print(f"{size:12,} rows made in {time.perf_counter() - began:6.1f} s", flush=True)
        made = size
        print(f"{'':12} sums made in {fill(store, snapshot.tenant):6.1f} s", flush=True)
        counted(store)
        at_us = start_us + size * STRIDE_US
        for batch in (64, 1024):
            clock, cpu = booked(store, at_us, batch)
            print(
                f"{'':12} booking one more, {batch} at a time: {clock:6.1f} µs, CPU here {cpu:6.1f}",
                flush=True,
            )
    counted(store)
    with store.read() as connection:
        kept = connection.scalar(select(func.count()).select_from(sums))
        groups = connection.scalar(select(func.count()).select_from(rollup_groups))
    print(f"{made:12,} rows, {kept:,} sums in {groups:,} groups; load average {os.getloadavg()[0]:.1f}")
    reports(store, snapshot, start_us)
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--url", default="")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(sys.argv[1:])
    if asked.url or asked.keep:
        run(asked.url or f"sqlite:///{asked.keep}", asked.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        run(f"sqlite:///{folder}/scale.db", asked.rows)


if __name__ == "__main__":
    main()
