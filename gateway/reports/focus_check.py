"""Our own check of FOCUS rows, row by row and as a whole: the validator of the FinOps Foundation misses most.

Nothing is exported that fails here. Each finding names the row, the column and what is wrong,
so that it can be mended without reading the specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

import orjson
from typing_extensions import override

from gateway.policy.schema_prices import CURRENCIES
from gateway.reports.focus_columns import (
    ALLOWED,
    ALWAYS_NULL,
    NEVER_NULL,
    TWINS,
    UNITS,
    Row,
    Type,
    Value,
    Version,
    columns,
)

MOST = 50
"""Findings that are told; a file with one error in each row is not told row by row."""

_UNIT = re.compile(r"(?:[1-9]\d* )?(.+)")
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. ``row`` counts from 1; 0 is the file as a whole."""

    row: int
    column: str
    what: str

    @override
    def __str__(self) -> str:
        """Read as a sentence."""
        where = f"row {self.row}" if self.row else "the file"
        return f"{where}, {self.column}: {self.what}"


@dataclass(slots=True, kw_only=True)
class _Sku:
    # What a price id stands for: it may stand for one thing only.

    sku: Value
    meter: Value
    unit: Value
    listed: Value
    currency: Value


@dataclass(slots=True)
class _File:
    # What is known of the rows before.

    skus: dict[Value, _Sku] = field(default_factory=dict)
    meters: dict[Value, Value] = field(default_factory=dict)
    ratios: dict[Value, Decimal] = field(default_factory=dict)
    billed: dict[Value, Decimal] = field(default_factory=dict)
    spend: dict[Value, Decimal] = field(default_factory=dict)
    periods: set[tuple[Value, Value]] = field(default_factory=set)
    entries: set[Value] = field(default_factory=set)


def check(
    rows: Iterable[Row],
    *,
    version: Version,
    billed: Mapping[str, Decimal] | None = None,
    spend: Mapping[str, Decimal] | None = None,
) -> list[Finding]:
    """Return what is wrong with the rows, :data:`MOST` findings at most.

    ``billed`` and ``spend`` are what the spend report says per currency; None: not compared.
    """
    found: list[Finding] = []
    known = _File()
    types = columns(version)
    with localcontext() as context:
        context.prec = 100
        for number, row in enumerate(rows, 1):
            for column, what in _row(row, types, known):
                found.append(Finding(row=number, column=column, what=what))
                if len(found) >= MOST:
                    return found
        found += [Finding(row=0, column=column, what=what) for column, what in _whole(known, billed, spend)]
    return found[:MOST]


Told = Iterator[tuple[str, str]]


def _row(row: Row, types: Mapping[str, Type], known: _File) -> Told:
    missing = [name for name in types if name not in row]
    if missing:
        yield missing[0], "the column is missing"
        return
    unknown = [name for name in row if name not in types]
    if unknown:
        yield unknown[0], "is no column of this version"
    wrong = list(_types(row, types))
    yield from wrong
    if wrong:
        return
    yield from _words(row)
    yield from _times(row, known)
    yield from _nulls(row)
    yield from _costs(row)
    yield from _skus(row, known)
    yield from _shares(row, known)
    for column, totals, currency in (
        ("BilledCost", known.billed, row["BillingCurrency"]),
        ("x_SpendCost", known.spend, row["x_SpendCurrency"]),
    ):
        if currency is not None:
            totals[currency] = totals.get(currency, _NOTHING) + _number(row[column])


# ------------------------------------------------------------------------------- a cell


def _types(row: Row, types: Mapping[str, Type]) -> Told:
    for name, kind in types.items():
        value = row[name]
        if value is None:
            if name in NEVER_NULL:
                yield name, "is empty, and must not be"
        elif name in ALWAYS_NULL:
            yield name, "must be empty"
        elif kind == "decimal":
            if not isinstance(value, Decimal) or not value.is_finite():
                yield name, f"{value!r} is no finite decimal"
        elif kind == "instant":
            if not isinstance(value, datetime) or value.utcoffset() != timedelta(0):
                yield name, f"{value!r} is no instant in UTC"
        elif not isinstance(value, str) or not value.strip():
            yield name, f"{value!r} is no text"
        elif kind == "json" and not _is_object(value):
            yield name, f"{value[:80]!r} is no JSON object"


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _words(row: Row) -> Told:
    for name, words in ALLOWED.items():
        if name in row and row[name] is not None and row[name] not in words:
            yield name, f"`{row[name]}` is none of {', '.join(sorted(words))}"
    for name in ("BillingCurrency", "x_SpendCurrency"):
        if row[name] is not None and row[name] not in CURRENCIES:
            yield name, f"`{row[name]}` is no currency of ISO 4217"
    for name in ("PricingUnit", "ConsumedUnit"):
        value = row[name]
        if isinstance(value, str):
            read = _UNIT.fullmatch(value)
            if read is None or read[1] not in UNITS or (name == "ConsumedUnit" and value not in UNITS):
                yield name, f"`{value}` is no unit known here"


# --------------------------------------------------------------------------------- time


def _times(row: Row, known: _File) -> Told:
    start, end = row["ChargePeriodStart"], row["ChargePeriodEnd"]
    first, last = row["BillingPeriodStart"], row["BillingPeriodEnd"]
    if not (
        isinstance(start, datetime)
        and isinstance(end, datetime)
        and isinstance(first, datetime)
        and isinstance(last, datetime)
    ):
        return
    if start >= end:
        yield "ChargePeriodEnd", "is not after ChargePeriodStart"
    if first >= last:
        yield "BillingPeriodEnd", "is not after BillingPeriodStart"
    inside = first <= start and end <= last
    if row["ChargeClass"] is None and not inside:
        yield "ChargePeriodStart", "the charge lies outside its billing period and is no Correction"
    if row["ChargeClass"] == "Correction" and inside:
        yield "ChargeClass", "a correction within its own billing period is not called Correction"
    known.periods.add((first, last))


# -------------------------------------------------------------------------------- nulls


def _nulls(row: Row) -> Told:
    usage, correction = row["ChargeCategory"] == "Usage", row["ChargeClass"] == "Correction"
    priced = (
        "ConsumedQuantity", "PricingQuantity", "PricingCategory", "ListUnitPrice", "ContractedUnitPrice",
        "SkuId", "SkuMeter", "SkuPriceId",
    )  # fmt: skip
    for name in priced:
        if usage and not correction and row[name] is None:
            yield name, "is empty on Usage"
    if not usage and row["ConsumedQuantity"] is not None:
        yield "ConsumedQuantity", "is filled on what is no Usage"
    for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
        if (row[quantity] is None) != (row[unit] is None):
            yield unit, f"must be empty if and only if {quantity} is"
    for child, parent in (
        ("SkuMeter", "SkuId"), ("SkuPriceId", "SkuId"), ("SkuPriceDetails", "SkuPriceId"),
        ("SubAccountName", "SubAccountId"), ("SubAccountType", "SubAccountId"), ("RegionName", "RegionId"),
        ("ResourceName", "ResourceId"), ("ResourceType", "ResourceId"), ("x_App", "x_Team"),
        ("x_AllocatedRatio", "x_OriginId"), ("x_SpendCost", "x_SpendCurrency"),
    ):  # fmt: skip
        if row[child] is not None and row[parent] is None:
            yield child, f"is filled although {parent} is empty"
    if (row["SubAccountType"] is None) != (row["SubAccountId"] is None):
        yield "SubAccountType", "must be empty if and only if SubAccountId is"
    if row["x_SpendCurrency"] is not None and row["x_SpendCost"] is None:
        yield "x_SpendCost", "is empty although x_SpendCurrency is not"


# -------------------------------------------------------------------------------- costs


def _costs(row: Row) -> Told:
    correction = row["ChargeClass"] == "Correction"
    for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
        unit = row[price]
        if isinstance(unit, Decimal) and unit < 0:
            yield price, "is negative"
        quantity = row["PricingQuantity"]
        if isinstance(unit, Decimal) and isinstance(quantity, Decimal):
            if not correction and unit * quantity != row[cost]:
                yield cost, f"{_text(row[cost])} is not {price} × PricingQuantity = {_text(unit * quantity)}"
        elif row[cost] != row["BilledCost"]:
            yield cost, f"{_text(row[cost])} is not BilledCost, and the charge has no {price}"
    for twin, name in TWINS.items():
        if row[twin] != row[name]:
            yield twin, f"{_text(row[twin])} is not {name} {_text(row[name])}, and the currency is the same"
    if row["EffectiveCost"] != row["BilledCost"]:
        yield "EffectiveCost", f"{_text(row['EffectiveCost'])} is not BilledCost {_text(row['BilledCost'])}"
    usage = row["ChargeCategory"] == "Usage" and not correction
    for name in ("ConsumedQuantity", "PricingQuantity", "BilledCost"):
        if usage and _number(row[name]) < 0:
            yield name, "is negative on Usage that corrects nothing"
    yield from _sizes(row)


def _sizes(row: Row) -> Told:
    """Compare the two quantities through the unit of price: ``1000000 Tokens`` of ``Tokens``."""
    unit, consumed = row["PricingUnit"], row["ConsumedUnit"]
    priced, counted = row["PricingQuantity"], row["ConsumedQuantity"]
    if not isinstance(unit, str) or not isinstance(consumed, str):
        return
    head, _, name = unit.rpartition(" ") if unit[:1].isdigit() else ("1", "", unit)
    if name != consumed:
        yield "PricingUnit", f"`{unit}` is not counted in ConsumedUnit `{consumed}`"
    elif isinstance(priced, Decimal) and isinstance(counted, Decimal):
        # To half a billionth: a unit that is no power of ten has no exact decimal.
        apart = abs(priced * int(head) - counted)
        if apart > Decimal("5e-10") * max(Decimal(1), abs(counted)):
            yield "PricingQuantity", f"{_text(priced)} × {head} is not ConsumedQuantity {_text(counted)}"


# --------------------------------------------------------------------------------- SKUs


def _skus(row: Row, known: _File) -> Told:
    sku, price = row["SkuId"], row["SkuPriceId"]
    if sku is None:
        return
    before = known.meters.setdefault(sku, row["SkuMeter"])
    if before != row["SkuMeter"]:
        yield "SkuMeter", f"`{row['SkuMeter']}` of the SKU `{sku}`, which was `{before}` in a row before"
    if price is None:
        return
    this = _Sku(
        sku=sku, meter=row["SkuMeter"], unit=row["PricingUnit"], listed=row["ListUnitPrice"],
        currency=row["BillingCurrency"],
    )  # fmt: skip
    first = known.skus.setdefault(price, this)
    for name, now, then in (
        ("SkuId", this.sku, first.sku), ("PricingUnit", this.unit, first.unit),
        ("ListUnitPrice", this.listed, first.listed), ("BillingCurrency", this.currency, first.currency),
    ):  # fmt: skip
        if now != then:
            yield name, f"{_text(now)} at the price `{price}`, which was at {_text(then)} in a row before"


# ------------------------------------------------------------------------------- shares


def _shares(row: Row, known: _File) -> Told:
    ratio, origin = row["x_AllocatedRatio"], row["x_OriginId"]
    if (ratio is None) != (row["x_AllocatedMethodId"] is None):
        yield "x_AllocatedMethodId", "must be empty if and only if x_AllocatedRatio is"
    if "AllocatedMethodId" in row:
        if (ratio is None) != (row["AllocatedMethodId"] is None):
            yield "AllocatedMethodId", "must be empty if and only if the row is no share"
        yield from _elements(row, ratio)
    if isinstance(ratio, Decimal):
        if not 0 <= ratio <= 1:
            yield "x_AllocatedRatio", f"{_text(ratio)} is not between 0 and 1"
        known.ratios[origin] = known.ratios.get(origin, _NOTHING) + ratio
    entry = row["x_EntryId"]
    if entry is not None:
        if entry in known.entries:
            yield "x_EntryId", f"`{entry}` stands in the file twice"
        known.entries.add(entry)


def _elements(row: Row, ratio: Value) -> Told:
    text = row["AllocatedMethodDetails"]
    if not isinstance(text, str):
        if ratio is not None:
            yield "AllocatedMethodDetails", "is empty on a share"
        return
    elements = orjson.loads(text).get("Elements")
    if not isinstance(elements, list) or len(elements) != 1 or not isinstance(elements[0], dict):
        yield "AllocatedMethodDetails", "has not one element"
        return
    # Read as text: a JSON number would become a binary float.
    said = re.search(r'"AllocatedRatio":([0-9.]+)', text)
    if said is None or Decimal(said[1]) != ratio:
        yield "AllocatedMethodDetails", f"says another ratio than x_AllocatedRatio {_text(ratio)}"


# ---------------------------------------------------------------------------- the whole


def _whole(known: _File, billed: Mapping[str, Decimal] | None, spend: Mapping[str, Decimal] | None) -> Told:
    for origin, ratio in known.ratios.items():
        if ratio != 1:
            yield "x_AllocatedRatio", f"the shares of `{origin}` sum to {_text(ratio)}, not to 1"
    if len(known.periods) > 1:
        yield "BillingPeriodStart", f"there are {len(known.periods)} billing periods in one file"
    for column, found, wanted in (("BilledCost", known.billed, billed), ("x_SpendCost", known.spend, spend)):
        if wanted is None:
            continue
        for currency in sorted({*map(str, found), *wanted}):
            ours, theirs = found.get(currency, _NOTHING), wanted.get(currency, _NOTHING)
            if ours != theirs:
                yield column, f"sums to {_text(ours)} {currency}, the spend report to {_text(theirs)}"


def _number(value: Value) -> Decimal:
    return value if isinstance(value, Decimal) else _NOTHING


def _text(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
