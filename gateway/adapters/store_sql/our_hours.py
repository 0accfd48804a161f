"""Our side of a bill: the ledger of one vendor by hour, model and meter, at the prices frozen in its rows.

INVARIANT: the amounts of a group's meters sum to the ledger's nano-units of that group: what a row
rounded, or a discount took off, is shared over its meters by what they cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import orjson
from sqlalchemy import Connection, RowMapping, and_, func, literal, select, text

from gateway.adapters.store_sql.reports import spend
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.adapters.store_sql.tables_rollups import rollup_groups, rollups
from gateway.core.adjusting import Share
from gateway.core.bill import meter_of
from gateway.core.entries import Entry
from gateway.core.money import NANO

HOUR_US = 3_600_000_000
_DAY_US = 24 * HOUR_US
_BUCKETS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output",
    "input_audio", "output_audio", "input_image",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterHour:
    """One meter of one model id in an hour. ``nano`` in ``currency``, the price's; None: no price.

    ``start_us`` is the hour's, or that of the cut within it.
    """

    start_us: int
    deployment: str
    model: str
    currency: str | None
    estimated: bool
    meter: str
    quantity: int
    nano: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Whose attempts, and when they started: ``start_us`` ≤ t < ``end_us``."""

    tenant: str
    vendor: str
    start_us: int
    end_us: int


_Group = tuple[int, str, str, str | None, bool]
"""Hour, deployment, model, currency, estimated."""
_Meters = dict[str, tuple[int, Fraction]]
"""Meter → quantity and what it weighs."""


def hours(connection: Connection, span: Span, *, cuts: Iterable[int] = ()) -> list[MeterHour]:
    """Return the hours of a vendor's attempts. ``cuts`` part an hour in which they lie.

    Whole hours are read from the roll-ups, at the unit prices of one row each; where these do not make
    up what the roll-up holds (two prices, an estimate, a rarer unit), and at ragged ends, every row is read.
    """
    edges = sorted({span.start_us, span.end_us, *(c for c in cuts if span.start_us < c < span.end_us)})
    known: _Prices = {}
    found: list[MeterHour] = []
    for start, end in pairwise(edges):
        first, last = -(-start // HOUR_US) * HOUR_US, end // HOUR_US * HOUR_US
        if first >= last:
            found += _exact(connection, replace(span, start_us=start, end_us=end))
            continue
        found += _exact(connection, replace(span, start_us=start, end_us=first))
        found += _kept(connection, replace(span, start_us=first, end_us=last), known)
        found += _exact(connection, replace(span, start_us=last, end_us=end))
    return found


# ---------------------------------------------------------------- from the roll-ups

_Prices = dict[tuple[str, str], dict[str, Fraction]]
"""(deployment, model) → the unit price of each meter, as its last row had it."""


def _kept(connection: Connection, span: Span, known: _Prices) -> list[MeterHour]:
    names = ("deployment", "model", "currency")
    measures = (*_BUCKETS, "reasoning", "nano", "attempts", "estimates")
    query = (
        select(
            rollups.c.start_us,
            *(rollup_groups.c[name] for name in names),
            *(func.sum(rollups.c[name]).label(name) for name in measures),
        )
        .join(rollup_groups, rollup_groups.c.id == rollups.c.group_id)
        .where(
            rollup_groups.c.span == "hour",
            rollup_groups.c.tenant == span.tenant,
            rollup_groups.c.vendor == span.vendor,
            rollups.c.start_us >= span.start_us,
            rollups.c.start_us < span.end_us,
        )
        .group_by(rollups.c.start_us, *(rollup_groups.c[name] for name in names))
        .order_by(rollups.c.start_us, *(rollup_groups.c[name] for name in names))
    )
    found: list[MeterHour] = []
    unclear: set[int] = set()
    for row in connection.execute(query).mappings().all():
        meters = None if row["estimates"] else _weighed(connection, span, row, known)
        if meters is None:
            unclear.add(int(row["start_us"]))
            continue
        group = (int(row["start_us"]), row["deployment"], row["model"], row["currency"] or None, False)
        found += _metered(group, meters, nano=int(row["nano"]), rows=int(row["attempts"]))
    # An hour is read one way or the other, whole.
    found = [one for one in found if one.start_us not in unclear]
    for start, end in _runs(sorted(unclear)):
        found += _exact(connection, replace(span, start_us=start, end_us=end))
    return found


def _weighed(connection: Connection, span: Span, row: RowMapping, known: _Prices) -> _Meters | None:
    """Return the meters of a roll-up with what they cost, None where one price does not make up its sum."""
    counts = {name: int(row[name]) for name in _BUCKETS if row[name]}
    nano = int(row["nano"])
    if not nano:
        return {name: (count, Fraction(0)) for name, count in counts.items()}
    key = (row["deployment"], row["model"])
    reasoning = int(row["reasoning"])
    for attempt in (0, 1):
        prices = known.get(key, {}) if not attempt else _sampled(connection, span, row)
        known[key] = prices
        costs: dict[str, Fraction] = {
            name: count * prices.get(name, Fraction(-1)) for name, count in counts.items()
        }
        if "reasoning" in prices and "output" in costs:
            costs["output"] += reasoning * (prices["reasoning"] - prices["output"])
        off = abs(sum(costs.values(), Fraction(0)) - nano)
        if min(costs.values(), default=off) >= 0 and off <= Fraction(int(row["attempts"])):
            return {name: (count, costs[name]) for name, count in counts.items()}
    return None


def _sampled(connection: Connection, span: Span, row: RowMapping) -> dict[str, Fraction]:
    """Return the unit prices, in nano-units, that rows of an hour were charged at: one row per bucket."""
    prices: dict[str, Fraction] = {}
    for bucket in (*_BUCKETS, "reasoning"):
        if not row[bucket] or bucket in prices:
            continue
        lines = connection.scalar(
            select(ledger.c.lines)
            .where(
                ledger.c.tenant == span.tenant,
                ledger.c.started_us >= row["start_us"],
                ledger.c.started_us < int(row["start_us"]) + HOUR_US,
                ledger.c.vendor == span.vendor,
                ledger.c.deployment == row["deployment"],
                ledger.c.model == row["model"],
                ledger.c[bucket] > 0,
                ledger.c.lines != "[]",
            )
            .limit(1)
        )
        for line in orjson.loads(lines or "[]"):
            unit = Fraction(Decimal(str(line["unit_price"]))) * NANO / int(line["per"])
            prices.setdefault(meter_name(str(line["meter"])), unit)
    return prices


def meter_name(name: str) -> str:
    """Return the bucket that a charge line's meter prices: ``cache_write`` is any cache write's."""
    return "cache_write_5m" if name == "cache_write" else name


def _runs(starts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Join hours that follow each other, a day at most: no statement runs longer than one may."""
    begin: int | None = None
    for number, start in enumerate(starts):
        begin = start if begin is None else begin
        following = starts[number + 1] if number + 1 < len(starts) else None
        if following != start + HOUR_US or following - begin >= _DAY_US:
            yield begin, start + HOUR_US
            begin = None


# ------------------------------------------------------------------- from every row

_GROUP = "started_us - started_us % 3600000000, deployment, model, currency, estimated"
_WHERE = "tenant = :tenant AND vendor = :vendor AND started_us >= :start AND started_us < :end"
_KEYS = "started_us - started_us % 3600000000 AS hour, deployment, model, currency, estimated"
# Counts without a price stand in the buckets only; where there are charge lines, these count too.
_SUMS = f"""
SELECT {_KEYS}, COUNT(*) AS n, COALESCE(SUM(nano), 0) AS nano,
  {", ".join(f"SUM(CASE WHEN lines = '[]' THEN {name} ELSE 0 END) AS {name}" for name in _BUCKETS)}
FROM ledger WHERE {_WHERE} GROUP BY {_GROUP}
"""  # noqa: S608 (our own constants)
_LINES = {
    "sqlite": f"""
SELECT {_KEYS}, json_extract(j.value, '$.meter') AS meter,
  json_extract(j.value, '$.unit_price') AS unit_price,
  json_extract(j.value, '$.per') AS per, SUM(json_extract(j.value, '$.quantity')) AS quantity
FROM ledger, json_each(ledger.lines) AS j WHERE {_WHERE} AND lines <> '[]'
GROUP BY {_GROUP}, 6, 7, 8
""",  # noqa: S608 (our own constants)
    "postgresql": f"""
SELECT {_KEYS}, j ->> 'meter' AS meter, j ->> 'unit_price' AS unit_price, (j ->> 'per')::bigint AS per,
  SUM((j ->> 'quantity')::bigint) AS quantity
FROM ledger, jsonb_array_elements(lines::jsonb) AS j WHERE {_WHERE} AND lines <> '[]'
GROUP BY {_GROUP}, 6, 7, 8
""",  # noqa: S608 (our own constants)
}


def _exact(connection: Connection, span: Span) -> list[MeterHour]:
    """Return the hours of a span from its rows, a day a statement."""
    found: list[MeterHour] = []
    start = span.start_us
    while start < span.end_us:
        end = min(start - start % _DAY_US + _DAY_US, span.end_us)
        given = {"tenant": span.tenant, "vendor": span.vendor, "start": start, "end": end}
        sums = connection.execute(text(_SUMS), given).mappings().all()
        if sums:
            lines = connection.execute(text(_LINES[connection.dialect.name]), given).mappings().all()
            weighed = _by_meter(lines)
            for row in sums:
                group = _group(row)
                meters = weighed.get(group, {})
                for name in _BUCKETS:
                    if count := int(row[name] or 0):
                        quantity, cost = meters.get(name, (0, Fraction(0)))
                        meters[name] = (quantity + count, cost)
                at = (max(group[0], start), *group[1:])
                found += _metered(at, meters, nano=int(row["nano"]), rows=int(row["n"]))
        start = end
    return found


def _by_meter(lines: Sequence[RowMapping]) -> dict[_Group, _Meters]:
    weighed: dict[_Group, _Meters] = defaultdict(dict)
    for row in lines:
        meters = weighed[_group(row)]
        meter = meter_of(str(row["meter"]))
        quantity, cost = meters.get(meter, (0, Fraction(0)))
        count = int(row["quantity"])
        price = Fraction(Decimal(str(row["unit_price"]))) / int(row["per"])
        meters[meter] = (quantity + count, cost + count * price)
    return weighed


def _group(row: RowMapping) -> _Group:
    return int(row["hour"]), row["deployment"], row["model"], row["currency"], bool(row["estimated"])


def _metered(group: _Group, meters: _Meters, *, nano: int, rows: int) -> list[MeterHour]:
    if not meters and nano:
        meters = {"": (0, Fraction(0))}
    shares = _shared(nano, [cost for _, cost in meters.values()])
    return [
        MeterHour(
            start_us=group[0], deployment=group[1], model=group[2], currency=group[3], estimated=group[4],
            meter=meter, quantity=quantity, nano=share, rows=rows,
        )
        for (meter, (quantity, _)), share in zip(meters.items(), shares, strict=True)
    ]  # fmt: skip


def _shared(nano: int, weights: Sequence[Fraction]) -> list[int]:
    """Share an amount by weight, to the nano-unit; by equal parts where nothing weighs."""
    if not weights:
        return []
    total = sum(weights, Fraction(0))
    parts = list(weights) if total else [Fraction(1)] * len(weights)
    total = total or Fraction(len(weights))
    exact = [nano * part / total for part in parts]
    floors = [part.numerator // part.denominator for part in exact]
    by_rest = sorted(range(len(exact)), key=lambda i: (floors[i] - exact[i], i))
    for i in by_rest[: nano - sum(floors)]:
        floors[i] += 1
    return floors


# ----------------------------------------------------------------------- others


def reported(connection: Connection, span: Span) -> list[tuple[str, str]]:
    """Return (model id, what the vendor's replies call it): of one row a day and deployment.

    Dated snapshots and spellings of one name are the same name anyway (:func:`gateway.core.bill.canonical`).
    """
    query = (
        select(rollups.c.start_us, rollup_groups.c.deployment, rollup_groups.c.model)
        .join(rollup_groups, rollup_groups.c.id == rollups.c.group_id)
        .where(
            rollup_groups.c.span == "day",
            rollup_groups.c.tenant == span.tenant,
            rollup_groups.c.vendor == span.vendor,
            rollups.c.start_us >= span.start_us - _DAY_US,
            rollups.c.start_us < span.end_us,
        )
        .distinct()
    )
    found: set[tuple[str, str]] = set()
    for day, deployment, model in connection.execute(query).all():
        name = connection.scalar(
            select(ledger.c.vendor_model)
            .where(
                ledger.c.tenant == span.tenant,
                ledger.c.started_us >= day,
                ledger.c.started_us < day + _DAY_US,
                ledger.c.deployment == deployment,
                ledger.c.model == model,
                ledger.c.vendor_model.is_not(None),
            )
            .limit(1)
        )
        found.add((model, name or model))
    return sorted(found)


def spenders(
    connection: Connection, *, tenant: str, start_us: int, end_us: int, currency: str
) -> list[tuple[str, str, int]]:
    """Return (vendor, currency, nano-units) of the period's spend, by name. ``currency``: our own."""
    sums = spend(
        connection, tenant=tenant, start_us=start_us, end_us=end_us, by=("vendor",), currency=currency
    )
    return sorted((one.group[0] or "", one.currency or "", one.nano) for one in sums if one.nano)


def booked(connection: Connection, span: Span) -> list[Entry]:
    """Return the entries beside the attempts that are about a vendor and a time."""
    query = (
        select(*(ledger_entries.c[field.name] for field in fields(Entry)))
        .where(
            ledger_entries.c.tenant == span.tenant,
            ledger_entries.c.vendor == span.vendor,
            ledger_entries.c.start_us >= span.start_us,
            ledger_entries.c.start_us < span.end_us,
        )
        .order_by(ledger_entries.c.id)
    )
    return [Entry(**row) for row in connection.execute(query).mappings()]


def shares(connection: Connection, span: Span, *, models: Sequence[str], estimated: bool) -> list[Share]:
    """Return who spent on models in a span. ``estimated``: the single calls whose usage never arrived."""
    who = (
        ledger.c.team, ledger.c.app, ledger.c.cost_centre, ledger.c.alias, ledger.c.deployment,
        ledger.c.place, ledger.c.model,
    )  # fmt: skip
    within = and_(
        ledger.c.tenant == span.tenant,
        ledger.c.vendor == span.vendor,
        ledger.c.started_us >= span.start_us,
        ledger.c.started_us < span.end_us,
        ledger.c.nano.is_not(None),
        ledger.c.estimated == estimated,
        ledger.c.model.in_(list(models)),
    )
    if estimated:
        query = select(
            *who,
            ledger.c.nano,
            ledger.c.currency,
            func.coalesce(ledger.c.spend_nano, 0).label("spend_nano"),
            ledger.c.attempt_id.label("attempt"),
        )
        query = query.where(within).order_by(ledger.c.attempt_id)
    else:
        query = select(*who, func.sum(ledger.c.nano).label("nano"), literal("").label("attempt"))
        query = query.where(within).group_by(*who).order_by(*who)
    return [Share(**{**row, "nano": int(row["nano"])}) for row in connection.execute(query).mappings()]
