"""Ledger rows as rating them again needs them, in the order of their start, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, select

from gateway.adapters.store_sql.tables import ledger
from gateway.core.record import BUCKETS

_BATCH = 2_000

_COLUMNS = (
    "attempt_id", "deployment", "started_us", *BUCKETS, "units", "tier", "served_place", "currency", "nano",
    "list_nano", "lines", "at_most",
)  # fmt: skip


def priced(
    connection: Connection, *, tenant: str, start_us: int, end_us: int
) -> Iterator[Mapping[str, object]]:
    """Yield the rows of attempts that started in the half-open period and carry a price."""
    columns = [ledger.c[name] for name in _COLUMNS]
    after: tuple[int, str] = (start_us, "")
    while True:
        started, attempt = after
        batch = (
            connection.execute(
                select(*columns)
                .where(
                    ledger.c.tenant == tenant,
                    ledger.c.started_us >= started,
                    ledger.c.started_us < end_us,
                    ledger.c.nano.is_not(None),
                    (ledger.c.started_us > started) | (ledger.c.attempt_id > attempt),
                )
                .order_by(ledger.c.started_us, ledger.c.attempt_id)
                .limit(_BATCH)
            )
            .mappings()
            .all()
        )
        for row in batch:
            yield dict(row)
        if len(batch) < _BATCH:
            return
        after = (int(batch[-1]["started_us"]), str(batch[-1]["attempt_id"]))
