"""Books reserved capacity: each closed window of each reservation, split over who used it.

Runs beside the calls in every worker; whichever comes first books a window, the others find it
booked. After downtime it catches up. A window is closed :data:`GRACE_S` after its end, so that
attempts which started in it are in the ledger; what comes later changes no booked share.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql import reserved as rows
from gateway.core.entries import Entry
from gateway.core.errors import Refusal
from gateway.core.prices import convert, tariff_at
from gateway.core.reserved import IDLE, Share, amount, entry_id, origin, shares, windows
from gateway.core.snapshot import Price, Snapshot

log = logging.getLogger("gateway.reserved")

GRACE_S = 7_200
"""Seconds after its end from which a window is booked: longer than any call may last."""

BACK_DAYS = 62
"""How far back is looked for windows that nobody booked; older ones are booked by hand."""

EVERY_S = 300

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND


class ReservedCapacity:
    """Books what is due. ``step`` is synchronous; ``run`` calls it for ever."""

    def __init__(
        self,
        store: Store,
        snapshot: Callable[[], Snapshot],
        *,
        now: Callable[[], int] = time.time_ns,
        every_s: float = EVERY_S,
    ) -> None:
        """``snapshot`` gives the prices in force."""
        self._store = store
        self._snapshot = snapshot
        self._now = now
        self._every_s = every_s
        self.unconverted: tuple[str, ...] = ()
        """Prices in a currency that no rate leads from: their windows wait."""

    def step(self) -> int:
        """Book every window that is due; return how many shares were booked. Raises StoreUnavailable."""
        snapshot, now = self._snapshot(), self._now()
        added = 0
        waiting: set[str] = set()
        for price in reserved_prices(snapshot):
            since = now - BACK_DAYS * _DAY
            with self._store.read() as connection:
                done = rows.booked(
                    connection,
                    tenant=snapshot.tenant,
                    deployment=price.deployment,
                    since_us=(since - 40 * _DAY) // 1000,  # a month's window begins before `since`
                )
            for start, end in due(snapshot, price, since=since, closed=now - GRACE_S * _SECOND):
                if origin(price.id, start) in done:
                    continue
                with self._store.write() as connection:
                    booked = book(
                        connection, snapshot, price, start=start, end=end, now=now, by="reserved-capacity"
                    )
                if booked is None:
                    waiting.add(price.id)
                    break
                added += booked
        if waiting - set(self.unconverted):
            log.warning("reserved capacity waits for an exchange rate", extra={"prices": sorted(waiting)})
        self.unconverted = tuple(sorted(waiting))
        return added

    async def run(self) -> None:
        """Book for ever; a database that is away is asked again."""
        while True:
            with contextlib.suppress(StoreUnavailable, SQLAlchemyError):
                await self._store.call(self.step)
            await asyncio.sleep(self._every_s)


def reserved_prices(snapshot: Snapshot) -> Iterator[Price]:
    """Yield the prices that are reservations, in the order of their deployments."""
    for deployment in sorted(snapshot.prices):
        for price in snapshot.prices[deployment]:
            if price.reserved is not None and deployment in snapshot.deployments:
                yield price


def due(snapshot: Snapshot, price: Price, *, since: int, closed: int) -> Iterator[tuple[int, int]]:
    """Yield the closed windows of a reservation that its price pays for."""
    if price.reserved is None:
        return
    for start, end in windows(
        price.reserved,
        valid_from=price.valid_from,
        valid_to=price.valid_to,
        timezone=snapshot.timezone,
        since=since,
        closed=closed,
    ):
        # Of a price and its correction, the one that was known when the window ended pays.
        used = tariff_at(snapshot, price.deployment, start, known_at=end)
        if used is not None and used.price.id == price.id:
            yield start, end


def book(
    connection: Connection, snapshot: Snapshot, price: Price, *, start: int, end: int, now: int, by: str
) -> int | None:
    """Split a window and book its shares; None where no rate leads to the organisation's currency."""
    made = entries(connection, snapshot, price, start=start, end=end, now=now, by=by)
    return None if made is None else rows.book(connection, made)


def entries(
    connection: Connection, snapshot: Snapshot, price: Price, *, start: int, end: int, now: int, by: str
) -> list[Entry] | None:
    """Return the shares of a window as ledger entries, idle first; see :func:`book`."""
    reserved = price.reserved
    if reserved is None:
        raise ValueError(f"`{price.id}` is no reservation")
    nano = amount(reserved, start, end, valid_from=price.valid_from, timezone=snapshot.timezone)
    spend = convert(snapshot, nano, price.currency, snapshot.currency, at=start, ceiling=False)
    if isinstance(spend, Refusal):
        return None
    used = rows.uses(
        connection,
        tenant=snapshot.tenant,
        deployment=price.deployment,
        start_us=start // 1000,
        end_us=end // 1000,
    )
    parts = shares(reserved, used, start=start, end=end, nano=nano, spend_nano=spend)
    return [_entry(snapshot, price, share, start=start, end=end, now=now, by=by) for share in parts]


def _entry(
    snapshot: Snapshot, price: Price, share: Share, *, start: int, end: int, now: int, by: str
) -> Entry:
    facts = snapshot.deployments[price.deployment]
    connection = snapshot.connections.get(price.deployment)
    charged = origin(price.id, start)
    team, app, centre = share.user
    zone = ZoneInfo(snapshot.timezone)
    local = datetime.fromtimestamp(start // _SECOND, UTC).astimezone(zone)
    idle = share.user == IDLE
    return Entry(
        id=entry_id(charged, share.user),
        kind="reserved",
        tenant=snapshot.tenant,
        billing_period=local.strftime("%Y-%m"),
        start_us=start // 1000,
        end_us=end // 1000,
        team=team,
        app=app,
        cost_centre=centre,
        alias="",
        deployment=price.deployment,
        vendor=facts.vendor,
        place=facts.place,
        model=connection.model if connection is not None else "",
        currency=price.currency,
        nano=share.nano,
        spend_currency=snapshot.currency,
        spend_nano=share.spend_nano,
        quantity=share.tokens,
        unit="tokens",
        reason=_reason(price, idle=idle),
        refers=price.id,
        origin=charged,
        ratio_ppb=share.ratio_ppb,
        estimated=False,
        created_us=now // 1000,
        created_by=by,
    )


def _reason(price: Price, *, idle: bool) -> str:
    reserved = price.reserved
    what = f"{reserved.units} {reserved.unit}".strip() if reserved is not None else ""
    whose = "idle part" if idle else "share by use"
    return f"reserved capacity of {price.deployment} ({what} per {reserved.per if reserved else ''}): {whose}"
