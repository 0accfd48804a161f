"""A bank with a pool of own GPUs, its ledger and its clock, for the tests of what is booked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from gateway.adapters.gpu_windows import GpuWindows
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.entries import Entry
from gateway.core.gpu_pools import HOUR_US
from gateway.core.snapshot import Snapshot
from tests.people import book, row
from tests.policy.pools import FILES
from tests.policy.written import compiled

HOUR = 1_794_488_400_000_000 // HOUR_US * HOUR_US
"""A whole hour of November 2026, in µs; both replicas are there."""

MINUTE = 60_000_000


def bank(**changes: str) -> Snapshot:
    """The snapshot, with some files changed."""
    return compiled(**{**FILES, **changes})


def served(attempt: str, start_us: int, length_us: int, **changes: Any) -> dict[str, Any]:
    """A ledger row of a call that our own engine served."""
    return row(
        attempt,
        started_us=start_us,
        ended_us=start_us + length_us,
        deployment="own-llama",
        vendor="self",
        model="llama-3.1-8b",
        currency="CAD",
        nano=0,
        spend_nano=0,
        **changes,
    )


def write(store: Store, *rows: dict[str, Any]) -> None:
    """Put rows into the ledger."""
    with store.write() as connection:
        book(connection, *rows)


def booked(store: Store) -> list[Entry]:
    """Every entry there is, by id."""
    with store.read() as connection:
        return [
            Entry(**found)
            for found in connection.execute(select(ledger_entries).order_by(ledger_entries.c.id)).mappings()
        ]


class Clock:
    """A clock that is set; ns."""

    def __init__(self, at_us: int) -> None:
        self.at_us = at_us

    def __call__(self) -> int:
        return self.at_us * 1000


def closing(store: Store, snapshot: Snapshot, at_us: int, **changes: Any) -> tuple[GpuWindows, Clock]:
    """What closes hours, and its clock."""
    clock = Clock(at_us)
    return GpuWindows(store, lambda: replace(snapshot, **changes), clock), clock
