"""Billing periods: which month a row is booked in, and what may still be booked there.

A month is open while it runs, preliminary once it has ended, closed when finance closed it, and
restated when later entries about it were stated again. Months close in order: the books of an
organisation are closed up to one instant, the *frontier*. What starts before it and arrives after it
is booked in the first open month, about its own time. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["open", "preliminary", "closed", "restated"]

SETTLE_US = 3600 * 1_000_000
"""How long after the end of a month an attempt that started in it may still run: no route's
``timeout_ms`` is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The last closed period of an organisation: nothing is booked before ``end_us`` any more."""

    period: str  # 2026-10
    end_us: int


def following(period: str) -> str:
    """Return the month after a month: ``2026-12`` → ``2027-01``."""
    year, month = int(period[:4]), int(period[5:])
    return f"{year + month // 12:04d}-{month % 12 + 1:02d}"


def preceding(period: str) -> str:
    """Return the month before a month: ``2027-01`` → ``2026-12``."""
    year, month = int(period[:4]), int(period[5:])
    return f"{year - (month == 1):04d}-{(month - 2) % 12 + 1:02d}"


def late_in(started_us: int, frontier: Frontier | None) -> str | None:
    """Return the period in which a late row is booked, or None: it is in time, the month of its start."""
    if frontier is None or started_us >= frontier.end_us:
        return None
    return following(frontier.period)


def bookable(period: str, frontier: Frontier | None) -> str:
    """Return the period in which something about ``period`` can be booked now."""
    if frontier is None or period > frontier.period:
        return period
    return following(frontier.period)


def bounds(period: str, calendar: tuple[int, int], frontier: Frontier | None) -> tuple[int, int]:
    """Return the half-open bounds of a period that is not closed.

    By the calendar; but the month after the frontier begins where the closed one ended, also where
    the organisation changed its time zone in between: no instant is in two months or in none.
    """
    start, end = calendar
    if frontier is not None and period == following(frontier.period):
        start = frontier.end_us
    return start, max(start, end)


def status(*, versions: int, closed: bool, end_us: int, now_us: int) -> Status:
    """Return the state of a period. ``versions`` counts its statements."""
    if closed:
        return "restated" if versions > 1 else "closed"
    return "open" if now_us < end_us else "preliminary"
