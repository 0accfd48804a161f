"""What the tests of the books share: months of the small bank, rows that arrive, entries, closing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Column, Connection

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.projection import book
from gateway.adapters.store_sql.tables import ledger
from gateway.core.entries import Entry
from gateway.core.fold import Booking
from gateway.core.gl import Account, Books
from gateway.core.money import nano_of
from gateway.core.snapshot import Rate, Snapshot
from gateway.reports.closing import close
from gateway.reports.statements import By, Stated
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.people import TORONTO, row, snapshot

FINA = By(name="fina", role="finance")
FRED = By(name="fred", role="finance")
RATE = Decimal("1.3925")


def at(text: str) -> int:
    """An instant (ns) from a local minute: ``2026-11-30 23:59``."""
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(TORONTO))
    return int(moment.timestamp()) * 1_000_000_000


def bank(**changes: Any) -> Snapshot:
    """The bank with a rate for every month."""
    rate = Rate(base="USD", quote="CAD", rate=RATE, valid_from=0, source="Bank of Canada")
    return snapshot(**{"rates": (rate,), **changes})


def gl(*lines: tuple[str, str, str | None, str | None, str | None]) -> Books:
    """Accounts: (account, side, cost centre, vendor, kind)."""
    return Books(
        accounts=tuple(
            Account(
                account=account,
                side=side,  # type: ignore[arg-type]
                cost_centre=centre,
                vendor=vendor,
                kind=kind,
                from_="2026-01-01",
                at="teams.yaml:3",
            )
            for account, side, centre, vendor, kind in lines
        )
    )


@contextmanager
def database(kind: str, request: Any, folder: Path) -> Iterator[Store]:
    """An empty database of a kind."""
    url = sqlite_url(folder) if kind == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as store:
        yield store


def arrive(connection: Connection, attempt: str, started: int, *, usd: str = "1", **changes: Any) -> None:
    """An attempt's row comes in, as the projector books it: with every column."""
    nano = nano_of(Decimal(usd))
    plain = {column.name: None if column.nullable else _default(column) for column in ledger.columns}
    values = {
        **plain,
        **row(attempt, nano=nano, spend_nano=nano_of(Decimal(usd) * RATE)),
        "call_id": attempt,
        "started_us": started // 1000,
        "ended_us": started // 1000 + 1_000_000,
        "seq": zlib.crc32(attempt.encode()),
        **changes,
    }
    book(connection, [Booking(row=values, spends=(), owner="w1", adopted=False)])


def _default(column: Column[Any]) -> Any:
    default = column.server_default
    text = str(getattr(default, "arg", ""))
    return {str: text, bool: False}.get(column.type.python_type, 0)


def entry(name: str, period: str, *, start: int, cad: str = "1", **changes: Any) -> Entry:
    """A share of a GPU pool that nobody used."""
    made = Entry(
        id=name,
        kind="gpu",
        tenant="maple",
        billing_period=period,
        start_us=start // 1000,
        end_us=start // 1000 + 10_000_000,
        team="",
        app="",
        cost_centre=None,
        alias="",
        deployment="own-ca",
        vendor="self",
        place="CA-QC",
        model="glm-5",
        currency="CAD",
        nano=nano_of(Decimal(cad)),
        spend_currency="CAD",
        spend_nano=nano_of(Decimal(cad)),
        quantity=0,
        unit="",
        reason="idle",
        refers="",
        origin="",
        ratio_ppb=0,
        estimated=False,
        created_us=start // 1000,
        created_by="gpu",
    )
    return replace(made, **changes)


def add(store: Store, *entries: Entry) -> None:
    """Book entries."""
    with store.write() as connection:
        append(connection, entries)


def come(store: Store, *attempts: tuple[str, int], **changes: Any) -> None:
    """Rows come in, in a transaction of their own."""
    with store.write() as connection:
        for name, started in attempts:
            arrive(connection, name, started, **changes)


def closed(store: Store, month: str, *, now: int, policy: Snapshot | None = None, **options: Any) -> Stated:
    """Finance closes a month."""
    return close(
        store,
        policy or bank(),
        month,
        now=now,
        by=options.pop("by", FINA),
        journals=options.pop("journals", None),
        **options,
    )
