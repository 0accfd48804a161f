"""How long a month of one vendor takes to reconcile: reading our hours, and matching.

Run: ``python -m bench.reconciling [rows] [database URL]``. Without a URL: a SQLite file, thrown away.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

from sqlalchemy import insert

from gateway.adapters.store_sql import Store, rollups
from gateway.adapters.store_sql.our_hours import Span, hours
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import ledger
from gateway.core.reconcile import Billed, reconcile
from gateway.core.variance import Hour

START = 1_793_491_200_000_000  # 2026-11-01
DAY = 86_400_000_000
END = START + 30 * DAY
SPAN = Span(tenant="maple", vendor="microsoft", start_us=START, end_us=END)
MODELS = ("mini", "large", "sonnet", "haiku", "embed")
PRICE = {"input": ("0.44", 440), "output": ("1.76", 1760)}


def rows(count):
    step = (END - START) // count
    for number in range(count):
        tokens = {"input": 500 + number % 4_001, "output": 50 + number % 307}
        lines = [
            {"meter": m, "quantity": n, "price_id": "p", "unit_price": PRICE[m][0], "per": 1_000_000}
            for m, n in tokens.items()
        ]
        nano = sum(n * PRICE[m][1] for m, n in tokens.items())
        yield {
            "attempt_id": f"a{number}/1", "call_id": f"a{number}", "writer": "w", "seq": number, "number": 1,
            "started_us": START + number * step, "ended_us": START + number * step + 1, "tenant": "maple",
            "team": f"t{number % 20}", "app": "a", "key_id": "k", "alias": "chat", "deployment": "d",
            "vendor": "microsoft", "place": "CA", "model": MODELS[number % 5], "surface": "chat",
            "status": "served", **tokens, "currency": "USD", "nano": nano, "spend_currency": "CAD",
            "spend_nano": nano, "estimated": False, "overrun": False, "snapshot": "s",
            "lines": json.dumps(lines),
        }  # fmt: skip


def put(connection, batch):
    connection.execute(insert(ledger), batch)
    rollups.add(connection, batch)


def main(count, url):
    store = Store(url)
    migrate(store)
    batch = []
    started = time.perf_counter()
    with store.write() as connection:
        for one in rows(count):
            batch.append(one)
            if len(batch) == 5_000:
                put(connection, batch)
                batch = []
        if batch:
            put(connection, batch)
    print(f"{count:,} rows in {store.dialect}, put in within {time.perf_counter() - started:.0f} s")
    started = time.perf_counter()
    with store.read() as connection:
        found = hours(connection, SPAN)
    print(f"our hours:  {time.perf_counter() - started:6.2f} s  ({len(found):,} of a model and meter)")
    ours = [
        Hour(start_us=h.start_us, model=h.model, meter=h.meter, quantity=h.quantity, nano=h.nano, rows=h.rows)
        for h in found
    ]
    sums = defaultdict(lambda: [0, 0])
    for hour in ours:
        one = sums[(hour.start_us - START) // DAY, hour.model, hour.meter]
        one[0] += hour.quantity
        one[1] += hour.nano
    bill = [
        Billed(
            start_us=START + day * DAY, end_us=START + (day + 1) * DAY, model=model, meter=meter,
            kind="usage", quantity=Fraction(q), nano=n * 101 // 100, ref=f"{day}{model}{meter}",
        )
        for (day, model, meter), (q, n) in sums.items()
    ]  # fmt: skip
    started = time.perf_counter()
    result = reconcile(bill, ours, period=(START, END), covered=(START, END))
    print(f"matching:   {time.perf_counter() - started:6.2f} s  ({len(result.cells):,} days of a model)")
    print("causes:", dict(result.causes))
    store.close()


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if len(sys.argv) > 2:
        main(size, sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(size, f"sqlite:///{Path(folder) / 'bench.db'}")
