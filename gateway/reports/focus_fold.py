"""Attempts and ledger entries folded into FOCUS charges: one per SKU meter, share or entry. Pure.

An attempt's charge was rounded once, to a nano-unit; its meters share that amount by largest
remainder. So BilledCost sums to the ledger in every grouping, to the last nano-unit, and no
row is needed to make up for rounding. ListCost and ContractedCost are price × quantity, exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from gateway.adapters.store_sql.reports import LedgerRow
from gateway.core.entries import Entry
from gateway.core.gpu_books import read_id
from gateway.core.reserved import split
from gateway.core.windows import windows

HOUR_US = 3_600_000_000
RATIOS = 10**12
"""Parts in which the ratios of one origin sum to 1."""

_BUCKETS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "input_audio", "output_audio",
    "input_image",
)  # fmt: skip
_SLOT_US = 900_000_000
"""Time zones differ by quarters of an hour: all instants of one slot lie in one hour and day."""


class Who(NamedTuple):
    """Whose charge it is and where it was made."""

    team: str
    app: str
    cost_centre: str | None
    alias: str
    deployment: str
    vendor: str
    place: str
    model: str
    currency: str
    spend_currency: str  # "" where the amount has no rate
    estimated: bool


class Used(NamedTuple):
    """One meter of a price, as it was used in an hour or day."""

    start_us: int
    end_us: int
    who: Who
    price_id: str
    meter: str
    unit_price: str
    list_unit_price: str
    per: int
    tier: str
    served_place: str
    band: int


class Shared(NamedTuple):
    """One bearer's part of a charge that is paid by time."""

    start_us: int
    end_us: int
    kind: str  # gpu | reserved
    source: str  # the pool, or the price of the reservation
    part: str  # use | idle | unallocated
    who: Who


class Sum:
    """Quantity and amounts of one charge. ``micro`` is time in millionths of a second."""

    __slots__ = ("micro", "nano", "quantity", "spend_nano")

    def __init__(self) -> None:
        self.quantity = self.nano = self.spend_nano = self.micro = 0

    def add(self, nano: int, spend_nano: int, *, quantity: int = 0, micro: int = 0) -> None:
        """Add one attempt's or entry's part."""
        self.nano += nano
        self.spend_nano += spend_nano
        self.quantity += quantity
        self.micro += micro


class Charges:
    """What was charged in one billing period, folded as it is read.

    ``start_us`` ≤ t < ``end_us`` are the period's bounds; ``grain`` is ``day`` or ``hour``, in the
    organisation's time zone.
    """

    def __init__(self, *, start_us: int, end_us: int, timezone: str, grain: str) -> None:
        self.start_us, self.end_us = start_us, end_us
        self._timezone, self._grain = timezone, grain
        self._slots: dict[int, tuple[int, int]] = {}
        self.used: dict[Used, Sum] = {}
        self.shared: dict[Shared, Sum] = {}
        self.unitemised: dict[tuple[int, int, Who], Sum] = {}
        self.single: list[Entry] = []
        self.unpriced = 0

    def attempts(self, attempts: Iterable[LedgerRow]) -> None:
        """Add attempts: a row per meter that was used."""
        for attempt in attempts:
            self._attempt(attempt)

    def entries(self, entries: Iterable[Entry]) -> None:
        """Add entries: shares of capacity are summed, anything else stays a row of its own."""
        for entry in entries:
            self._entry(entry)

    def inside(self, start_us: int, end_us: int) -> bool:
        """Return whether a charge period lies in the billing period; what does not is a correction."""
        return self.start_us <= start_us and end_us <= self.end_us

    def _attempt(self, attempt: LedgerRow) -> None:
        if attempt.nano is None or attempt.currency is None:
            # A failed try without a charge was never billed; any other attempt without one lacks a price.
            self.unpriced += attempt.status != "failed"
            return
        who = Who(
            attempt.team,
            attempt.app,
            attempt.cost_centre,
            attempt.alias,
            attempt.deployment,
            attempt.vendor,
            attempt.place,
            attempt.model,
            attempt.currency,
            attempt.spend_currency or "",
            bool(attempt.estimated),
        )
        start, end = self._bucket(attempt.started_us)
        spend = attempt.spend_nano or 0
        lines = parsed(attempt.lines) or _unpriced_use(attempt)
        if not lines:
            if attempt.nano or spend:
                self.unitemised.setdefault((start, end, who), Sum()).add(attempt.nano, spend)
            return
        weights = [line[1] * weight(line[3], line[5]) for line in lines]
        nanos, spends = split(attempt.nano, weights), split(spend, weights)
        for (price_id, quantity, meter, price, listed, per), nano, part in zip(
            lines, nanos, spends, strict=True
        ):
            key = Used(
                start,
                end,
                who,
                price_id,
                meter,
                price,
                listed,
                per,
                attempt.tier,
                attempt.served_place,
                attempt.band,
            )
            found = self.used.get(key)
            if found is None:
                found = self.used[key] = Sum()
            found.add(nano, part, quantity=quantity)

    def _entry(self, entry: Entry) -> None:
        time = _time_of(entry)
        if time is None or not self.inside(entry.start_us, entry.end_us):
            self.single.append(entry)
            return
        kind, source, micro = time
        start, end = self._bucket(entry.start_us)
        if entry.end_us > end:  # a window longer than a bucket keeps its own bounds
            start, end = entry.start_us, entry.end_us
        who = Who(
            entry.team,
            entry.app,
            entry.cost_centre,
            entry.alias,
            entry.deployment,
            entry.vendor,
            entry.place,
            entry.model,
            entry.currency,
            entry.spend_currency,
            entry.estimated,
        )
        read = read_id(entry.id)
        part = read[2] if read else "use" if entry.team else "unallocated"
        key = Shared(start, end, kind, source, part, who)
        self.shared.setdefault(key, Sum()).add(entry.nano, entry.spend_nano, micro=micro)

    def _bucket(self, at_us: int) -> tuple[int, int]:
        slot = at_us // _SLOT_US
        found = self._slots.get(slot)
        if found is None:
            start, end = (bound // 1000 for bound in windows("day", self._timezone, at_us * 1000))
            if self._grain == "hour":
                start += (at_us - start) // HOUR_US * HOUR_US
                end = min(start + HOUR_US, end)
            if (
                start < self.start_us <= at_us
            ):  # a period that began inside a day, after a change of time zone
                start = self.start_us
            if at_us < self.end_us < end:
                end = self.end_us
            found = self._slots[slot] = (start, end)
        return found


_START = re.compile(r":\d{4}-\d\d-\d\dT[\d:]+Z$")
"""What ends the name of a reservation's charge: when its window began."""

Line = tuple[str, int, str, str, str, int]
"""(price id, quantity, meter, unit price, list unit price, per)."""


@lru_cache(maxsize=4096)
def parsed(lines: str) -> tuple[Line, ...]:
    """Return the charge lines of an attempt, as its ledger row holds them."""
    found: list[dict[str, Any]] = orjson.loads(lines)
    return tuple(
        (
            line["price_id"],
            int(line["quantity"]),
            line["meter"],
            line["unit_price"],
            line.get("list_unit_price") or line["unit_price"],
            int(line["per"]),
        )
        for line in found
        if line["quantity"]
    )


@lru_cache(maxsize=4096)
def weight(unit_price: str, per: int) -> int:
    """Return what one unit weighs beside other meters of the same attempt: its price, as a whole number."""
    # Prices have 24 decimals at most; per is a power of ten in every price sheet, and near enough in any.
    return int(Decimal(unit_price).scaleb(30) / per)


def _unpriced_use(attempt: LedgerRow) -> tuple[Line, ...]:
    """Return the use of a free attempt, whose charge has no lines: at a price of nothing."""
    if attempt.nano:
        return ()
    counts: dict[str, int] = {name: getattr(attempt, name) for name in _BUCKETS}
    counts |= {name: int(count) for name, count in orjson.loads(attempt.units or "{}").items()}
    price = f"{attempt.deployment}:free:{attempt.currency}"
    return tuple((price, count, meter, "0", "0", 1) for meter, count in counts.items() if count > 0)


def _time_of(entry: Entry) -> tuple[str, str, int] | None:
    """Return (kind, source, millionths of a second) of a share of capacity, or None if it is none."""
    origin, _, _ = entry.origin.partition(":")
    if origin == "gpu" and entry.unit == "micro-gpu-seconds":
        return "gpu", entry.origin.removeprefix("gpu:").rpartition(":")[0], entry.quantity
    if origin == "reserved" and entry.kind in {"reserved", "correction"} and entry.ratio_ppb:
        source = _START.sub("", entry.origin.removeprefix("reserved:"))
        return "reserved", source, (entry.end_us - entry.start_us) * entry.ratio_ppb // 1_000_000_000
    return None


class Part(NamedTuple):
    """One bearer's part of a charge: billionths of hours, its ratio, the unit price of the whole."""

    key: Shared
    sum: Sum
    nano_hours: int
    ratio: int  # of RATIOS
    unit_price: Decimal


def parts(shared: dict[Shared, Sum]) -> Iterator[tuple[tuple[Any, ...], list[Part]]]:
    """Yield each charge that is paid by time, with its parts: hours and ratios add up exactly.

    A charge is one pool or reservation in one hour or day and one currency. The unit price is what
    its hours cost, to a millionth.
    """
    origins: dict[tuple[Any, ...], list[Shared]] = {}
    for key in shared:
        origins.setdefault((key.kind, key.source, key.start_us, key.end_us, key.who.currency), []).append(key)
    for origin in sorted(origins):
        keys = sorted(origins[origin], key=repr)
        sums = [shared[key] for key in keys]
        micros = [found.micro for found in sums]
        if min(micros) < 0 or not sum(micros) or sum(found.nano for found in sums) < 0:
            yield origin, [Part(key, found, 0, 0, Decimal(0)) for key, found in zip(keys, sums, strict=True)]
            continue
        hours = split((sum(micros) * 10 + 18) // 36, micros)  # millionths of seconds → billionths of hours
        ratios = split(RATIOS, micros)
        cost = Decimal(sum(found.nano for found in sums))
        price = (cost / sum(hours)).quantize(Decimal("0.000001")) if sum(hours) else Decimal(0)
        yield origin, [Part(*part, price) for part in zip(keys, sums, hours, ratios, strict=True)]
