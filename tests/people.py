"""What the tests of keys, feedback and reports share: a small bank, its database, its ledger rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, insert

from gateway.adapters.store_sql import Store, rollups
from gateway.adapters.store_sql.schema import migrate
from gateway.adapters.store_sql.tables import ledger, records
from gateway.core.money import NANO
from gateway.core.snapshot import App, BudgetLimit, Rate, Snapshot

NOW = 1_795_460_400_000_000_000  # 2026-11-23 14:00 in Toronto
US = NOW // 1000
TORONTO = "America/Toronto"


def limit(budget: str, level: str, name: str, amount: str, *, per: str = "month") -> BudgetLimit:
    """A money budget in CAD."""
    nano = int(Decimal(amount) * NANO)
    return BudgetLimit(
        id=budget,
        level=level,
        name=name,
        unit="CAD",
        limit=nano,
        per=per,
        timezone=TORONTO,
        at="teams.yaml:1",
    )


def app(
    name: str = "teller", *, team: str = "branch", tenant: str = "maple", budgets: Sequence[Any] = ()
) -> App:
    """A registered app."""
    return App(
        id=name,
        team=team,
        tenant=tenant,
        data=(),
        models=("chat",),
        groups=frozenset(),
        purpose=None,
        cost_centres=(),
        budgets=tuple(budgets),
        key_budgets=(),
        at="teams.yaml:9",
    )


def snapshot(*apps: App, **changes: Any) -> Snapshot:
    """A bundle of the bank: these apps, one rate of exchange, no rules."""
    found = {item.id: item for item in apps or (app(),)}
    values: dict[str, Any] = {
        "hash": "sha256:3f9c",
        "policy_name": "Maple Bank",
        "policy_version": 7,
        "facts_hash": "sha256:a81e",
        "prices_hash": "sha256:c07d1122334455",
        "tenant": "maple",
        "timezone": TORONTO,
        "currency": "CAD",
        "deployments": {},
        "connections": {},
        "routes": {},
        "apps": found,
        "prices": {},
        "rates": (
            Rate(
                base="USD",
                quote="CAD",
                rate=Decimal("1.3925"),
                valid_from=1_793_505_600_000_000_000,  # 2026-11-01, Toronto
                source="Bank of Canada",
            ),
        ),
        # Rules decide calls; nothing of this room reads them.
        "rules": cast("Any", None),
        "detectors_for": {},
    }
    return Snapshot(**{**values, **changes})


@contextmanager
def database(url: str) -> Iterator[Store]:
    """A migrated database by URL."""
    store = Store(url)
    migrate(store)
    try:
        yield store
    finally:
        store.close()


def sqlite(folder: Path) -> str:
    """The URL of a database in a folder."""
    return f"sqlite:///{folder / 'bank.db'}"


def row(attempt: str, **changes: Any) -> dict[str, Any]:
    """A ledger row: one served attempt of the teller in CA-QC."""
    values: dict[str, Any] = {
        "attempt_id": attempt,
        "call_id": attempt.partition("/")[0],
        "writer": "w1",
        "seq": abs(hash(attempt)) % 2**40,
        "number": 1,
        "started_us": US - 60_000_000,
        "ended_us": US,
        "tenant": "maple",
        "team": "branch",
        "app": "teller",
        "key_id": "k1",
        "cost_centre": "4410",
        "alias": "chat",
        "deployment": "azure-cae-41mini",
        "vendor": "microsoft",
        "place": "CA-QC",
        "model": "gpt-4.1-mini",
        "surface": "chat",
        "status": "served",
        "input": 100,
        "output": 50,
        "currency": "USD",
        "nano": 1_000_000_000,
        "spend_currency": "CAD",
        "spend_nano": 1_392_500_000,
        "estimated": False,
        "overrun": False,
        "snapshot": "sha256:3f9c",
    }
    return {**values, **changes}


def book(connection: Connection, *rows: dict[str, Any]) -> None:
    """Put rows into the ledger, as the projector does: with their sums."""
    for values in rows:
        connection.execute(insert(ledger).values(values))
    rollups.add(connection, rows)


def record(connection: Connection, call: str, **changes: Any) -> None:
    """Put the record of one call into the tables."""
    values: dict[str, Any] = {
        "call_id": call,
        "writer": "w1",
        "seq": abs(hash(call)) % 2**40,
        "tenant": "maple",
        "team": "branch",
        "app": "teller",
        "key_id": "k1",
        "surface": "chat",
        "asked": "chat",
        "stream": False,
        "received_us": US,
        "ended_us": US,
        "outcome": "served",
        "status": 200,
        "rules": "[]",
        "labels": "[]",
        "features": "[]",
        "masked": "{}",
        "masked_reply": "{}",
        "attempts": 1,
        "snapshot": "sha256:3f9c",
    }
    connection.execute(insert(records).values({**values, **changes}))
