"""What a month still lacks of capacity paid by time: asked before it is closed.

Workers book windows of reserved capacity and hours of GPU pools by themselves, some hours late. A month
that is closed before would show the calls without their share of it.
"""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.adapters.reserved_capacity import due, reserved_prices
from gateway.adapters.store_sql import gpu
from gateway.adapters.store_sql.books import Unread
from gateway.adapters.store_sql.reserved import booked
from gateway.core.reserved import origin
from gateway.core.snapshot import Snapshot
from gateway.reports.period import minute_of

_HOUR_US = 3_600_000_000
_LONGEST_US = 40 * 24 * _HOUR_US  # a month's window began before the month did, after a change of time zone


def unbooked(connection: Connection, snapshot: Snapshot, *, start_us: int, end_us: int) -> list[Unread]:
    """Return the reservations and pools of which something in a span is not booked."""
    return [
        *_reservations(connection, snapshot, start_us, end_us),
        *_pools(connection, snapshot, end_us),
    ]


def _reservations(connection: Connection, snapshot: Snapshot, start_us: int, end_us: int) -> list[Unread]:
    found: list[Unread] = []
    for price in reserved_prices(snapshot):
        done = booked(
            connection,
            tenant=snapshot.tenant,
            deployment=price.deployment,
            since_us=start_us - _LONGEST_US,
        )
        windows = due(snapshot, price, since=start_us * 1000, closed=end_us * 1000)
        count = sum(start >= start_us * 1000 and origin(price.id, start) not in done for start, _ in windows)
        if count:
            why = f"{count} of its windows are not booked; `borderpost prices reserved --month` books them"
            found.append(Unread(writer=f"reserved capacity `{price.id}`", host="", place="", why=why))
    return found


def _pools(connection: Connection, snapshot: Snapshot, end_us: int) -> list[Unread]:
    found: list[Unread] = []
    last_hour = (end_us - 1) // _HOUR_US * _HOUR_US
    for pool in sorted(snapshot.pools):
        since = gpu.since(connection, tenant=snapshot.tenant, pool=pool)
        if since is None or since > last_hour:
            continue  # nobody has used it yet
        last = gpu.last_closed(connection, tenant=snapshot.tenant, pool=pool)
        if last is None or last < last_hour:
            until = since if last is None else last + _HOUR_US
            why = (
                f"it is booked up to {minute_of(until * 1000, snapshot.timezone)}; a gateway books each hour "
                "soon after it ends, `borderpost gpu close` does it by hand"
            )
            found.append(Unread(writer=f"GPU pool `{pool}`", host="", place="", why=why))
    return found
