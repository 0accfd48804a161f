"""Folded charges as FOCUS rows: which column says what. Pure.

Charges that an attempt's meters made are Usage at their price. Shares of capacity that is
paid by time are Usage in hours; the charge that they are shares of is never beside them.
What reconciliation and corrections booked is an Adjustment, or, about an earlier period, a
Correction of Usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache

import orjson

from gateway.core.entries import Entry
from gateway.core.gpu import METHOD
from gateway.core.money import decimal_of
from gateway.reports.document import places_of
from gateway.reports.focus_columns import METERS, TWINS, Metered, Row, Value, Version, columns
from gateway.reports.focus_fold import RATIOS, Charges, Part, Shared, Sum, Used, Who, parts

_METHODS = {"gpu": METHOD, "reserved": "reserved-capacity-v1"}
_OWN = "self"
"""The vendor of what the organisation runs itself."""

SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = {"use": "used", "idle": "idle, borne by rule", "unallocated": "idle, borne by nobody"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Whose charges the rows tell, of which billing period, in which version."""

    organisation: str
    start_us: int
    end_us: int
    version: Version


def rows(charges: Charges, book: Book) -> Iterator[Row]:
    """Yield the rows in one order, whatever order the charges were read in. May be called again."""
    names = columns(book.version)
    for found in (
        _used(charges, book),
        _shared(charges, book),
        _unitemised(charges, book),
        _single(charges, book),
    ):
        for row in found:
            yield {name: row.get(TWINS.get(name, name)) for name in names}


# -------------------------------------------------------------------------------- usage


def _used(charges: Charges, book: Book) -> Iterator[dict[str, Value]]:
    for key in sorted(charges.used, key=_used_order):
        found = charges.used[key]
        meter = METERS.get(key.meter) or Metered(sku=key.meter.replace("_", " ").title(), unit="Units")
        quantity = Decimal(found.quantity)
        priced = ratio_of(found.quantity, key.per)
        listed, agreed = Decimal(key.list_unit_price), Decimal(key.unit_price)
        late = not charges.inside(key.start_us, key.end_us)
        row = _row(book, key.who, key.start_us, key.end_us, found)
        row |= {
            "ChargeCategory": "Usage",
            "ChargeClass": "Correction" if late else None,
            "ChargeDescription": f"{meter.sku} of {key.who.model} at {key.who.deployment}"
            + (", booked late" if late else ""),
            "ChargeFrequency": "Usage-Based",
            "ConsumedQuantity": quantity,
            "ConsumedUnit": meter.unit,
            "PricingCategory": "Standard",
            "PricingQuantity": priced,
            "PricingUnit": meter.unit if key.per == 1 else f"{key.per} {meter.unit}",
            "ListUnitPrice": listed,
            "ListCost": product(listed, priced),
            "ContractedUnitPrice": agreed,
            "ContractedCost": product(agreed, priced),
            "SkuId": f"{key.who.deployment}/{key.meter}",
            "SkuMeter": meter.sku,
            "SkuPriceId": _price_id(key),
            "SkuPriceDetails": _details(key, meter),
            "x_EntryKind": "usage",
            "x_ServiceTier": key.tier or None,
        }
        yield row


def _used_order(key: Used) -> tuple[object, ...]:
    who = key.who
    return (
        key.start_us, key.end_us, who.team, who.app, who.cost_centre or "", who.deployment, key.price_id,
        key.meter, repr(key),
    )  # fmt: skip


def _price_id(key: Used) -> str:
    """Return the name of one price: the sheet's, the meter's, what else it depended on, and its amount.

    With the amount, so that a sheet whose price was mended in place is two prices, not a contradiction.
    """
    more = [key.tier, key.served_place, f"over-{key.band}" if key.band else ""]
    listed = Decimal(key.list_unit_price).normalize()
    return f"{'/'.join([key.price_id, key.meter, *filter(None, more)])}@{listed:f}"


@lru_cache(maxsize=4096)
def _details(key: Used, meter: Metered) -> str:
    # Up to 1.4 the keys of AI spend are not defined, so they are marked as ours.
    found = {
        "x_ModelId": key.who.model,
        "x_TokenDirection": meter.direction,
        "x_TokenCacheAction": meter.cache,
    }
    found |= {"x_ServiceTier": key.tier, "x_PromptTokensOver": str(key.band) if key.band else ""}
    return _json({name: value for name, value in found.items() if value})


# ------------------------------------------------------------------------------- shares


def _shared(charges: Charges, book: Book) -> Iterator[dict[str, Value]]:
    for (kind, source, start_us, end_us, currency), found in parts(charges.shared):
        origin = (
            f"{kind}:{source}:{_instant(start_us):%Y-%m-%dT%H:%M:%SZ}/{_instant(end_us):%Y-%m-%dT%H:%M:%SZ}"
        )
        for part in found:
            yield _share(book, part, f"{origin}:{currency}")


def _share(book: Book, part: Part, origin: str) -> dict[str, Value]:
    key = part.key
    row = _row(book, key.who, key.start_us, key.end_us, part.sum)
    row |= {"x_EntryKind": key.kind, "x_OriginId": origin}
    what = "GPU time of pool" if key.kind == "gpu" else "reserved capacity"
    row["ChargeDescription"] = f"{what} {key.source}, {_WORDS[key.part]}"
    if not part.ratio and not part.nano_hours and part.sum.nano:
        # No time to split by: an amount alone.
        return row | _amount(part.sum.nano)
    unit = "GPU-Hours" if key.kind == "gpu" else "Hours"
    hours = Decimal(part.nano_hours).scaleb(-9)
    ratio = Decimal(part.ratio) / RATIOS
    sku = f"{key.kind}/{key.source}"
    row |= {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Recurring",
        "ConsumedQuantity": hours,
        "ConsumedUnit": unit,
        "PricingCategory": "Other",
        "PricingQuantity": hours,
        "PricingUnit": unit,
        "ListUnitPrice": part.unit_price,
        "ListCost": product(part.unit_price, hours),
        "ContractedUnitPrice": part.unit_price,
        "ContractedCost": product(part.unit_price, hours),
        "ResourceId": key.source,
        "ResourceName": key.source,
        "ResourceType": "GPU pool" if key.kind == "gpu" else "Reserved capacity",
        "SkuId": sku,
        "SkuMeter": "GPU Hours" if key.kind == "gpu" else "Reserved Hours",
        "SkuPriceId": f"{sku}/{part.unit_price:f}",
        "x_AllocatedMethodId": _METHODS[key.kind],
        "x_AllocatedRatio": ratio,
    }
    return row if book.version == "1.2" else row | _allocated(key, unit, hours, ratio)


def _allocated(key: Shared, unit: str, hours: Decimal, ratio: Decimal) -> dict[str, Value]:
    # The specification wants the dimensions of the charge on each share of it; the bearer has columns
    # of its own, empty on what nobody bears.
    who = f"{key.who.team}/{key.who.app}" if key.who.team else None
    # JSON numbers without a binary float between.
    ratio_text, hours_text = (orjson.Fragment(f"{number:f}") for number in (ratio, hours))
    element = {"AllocatedRatio": ratio_text, "UsageUnit": unit, "UsageQuantity": hours_text}
    return {
        "AllocatedMethodId": _METHODS[key.kind],
        "AllocatedMethodDetails": _json({"Elements": [element]}),
        "AllocatedResourceId": who,
        "AllocatedResourceName": f"{key.who.app} ({key.who.team})" if who else None,
        "AllocatedTags": _tags(key.who),
        "SubAccountId": None,
        "SubAccountName": None,
        "SubAccountType": None,
        "Tags": None,
        "RegionId": None,
        "RegionName": None,
    }


# ------------------------------------------------------------------------------ entries


def _unitemised(charges: Charges, book: Book) -> Iterator[dict[str, Value]]:
    for (start_us, end_us, who), found in sorted(charges.unitemised.items(), key=lambda item: repr(item[0])):
        late = not charges.inside(start_us, end_us)
        row = _row(book, who, start_us, end_us, found) | _amount(found.nano)
        yield row | {
            "ChargeClass": "Correction" if late else None,
            "ChargeDescription": f"Attempts at {who.deployment} whose charge has no meter lines",
            "x_EntryKind": "usage",
        }


def _single(charges: Charges, book: Book) -> Iterator[dict[str, Value]]:
    for entry in sorted(charges.single, key=lambda one: (one.start_us, one.id)):
        found = Sum()
        found.add(entry.nano, entry.spend_nano)
        # Instants of a file are whole seconds: outward, so that no charge lasts no time.
        start_us = entry.start_us // SECOND_US * SECOND_US
        end_us = max(-(-entry.end_us // SECOND_US), start_us // SECOND_US + 1) * SECOND_US
        past = end_us <= book.start_us or start_us >= book.end_us
        if not past:
            # A vendor's day in UTC reaches over the end of a local month: told as far as it lies in it.
            start_us, end_us = max(start_us, book.start_us), min(end_us, book.end_us)
        row = _row(book, _who(entry), start_us, end_us, found) | _amount(entry.nano)
        # A correction of usage keeps its category; within its own period it is an adjustment like any other.
        category = "Usage" if past and entry.kind != "adjust" else "Adjustment"
        yield row | {
            "ChargeCategory": category,
            "ChargeClass": "Correction" if past else None,
            "ChargeDescription": entry.reason or f"{entry.kind} without a stated reason",
            "x_EntryKind": entry.kind,
            "x_EntryId": entry.id,
            "x_OriginId": entry.origin or entry.refers or None,
        }


def _who(entry: Entry) -> Who:
    return Who(
        entry.team, entry.app, entry.cost_centre, entry.alias, entry.deployment, entry.vendor, entry.place,
        entry.model, entry.currency, entry.spend_currency, entry.estimated,
    )  # fmt: skip


def _amount(nano: int) -> dict[str, Value]:
    """Return the costs of an amount that has no price: all of them are what was booked."""
    cost = decimal_of(nano)
    return {
        "ChargeCategory": "Adjustment",
        "ChargeFrequency": "One-Time",
        "ListCost": cost,
        "ContractedCost": cost,
    }


# ------------------------------------------------------------------------------- common


def _row(book: Book, who: Who, start_us: int, end_us: int, found: Sum) -> dict[str, Value]:
    own = who.vendor in {_OWN, ""}
    provider = book.organisation if own else who.vendor
    cost = decimal_of(found.nano)
    row: dict[str, Value] = {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "BillingAccountId": f"{book.organisation}/{provider}",
        "BillingAccountName": f"{book.organisation} at {provider}",
        "BillingCurrency": who.currency,
        "BillingPeriodStart": _instant(book.start_us),
        "BillingPeriodEnd": _instant(book.end_us),
        "ChargePeriodStart": _instant(start_us),
        "ChargePeriodEnd": _instant(end_us),
        "InvoiceIssuerName": provider,
        "RegionId": who.place or None,
        "RegionName": who.place or None,
        "ResourceId": who.deployment or None,
        "ResourceName": who.deployment or None,
        "ResourceType": "Model deployment" if who.deployment else None,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Self-hosted inference" if own else "Model inference",
        "ServiceSubcategory": "Generative AI",
        "Tags": _tags(who),
        "x_SpendCost": decimal_of(found.spend_nano) if who.spend_currency else None,
        "x_SpendCurrency": who.spend_currency or None,
        "x_Team": who.team or None,
        "x_App": who.app or None,
        "x_CostCentre": who.cost_centre,
        "x_Alias": who.alias or None,
        "x_Model": who.model or None,
        "x_Estimated": "true" if who.estimated else "false",
    }
    if who.team:
        account = f"{who.team}/{who.app}" if who.app else who.team
        name = f"{who.app} ({who.team})" if who.app else who.team
        row |= {"SubAccountId": account, "SubAccountName": name, "SubAccountType": "App"}
    if book.version == "1.2":
        return row | {"ProviderName": provider, "PublisherName": provider}
    return row | {"ServiceProviderName": provider, "HostProviderName": provider}


@lru_cache(maxsize=4096)
def _tags(who: Who) -> str | None:
    found = {"app": who.app, "cost_centre": who.cost_centre, "team": who.team}
    told = {name: value for name, value in found.items() if value}
    return _json(told) if told else None


def product(price: Decimal, quantity: Decimal) -> Decimal:
    """Return price × quantity, exactly."""
    with localcontext() as context:
        context.prec = _DIGITS
        return price * quantity


def ratio_of(quantity: int, per: int) -> Decimal:
    """Return a quantity in units of ``per``: exact where ``per`` is a power of ten, else to 18 decimals."""
    with localcontext() as context:
        context.prec = _DIGITS
        found = Decimal(quantity) / per
        return found if places_of(found) <= _PLACES else found.quantize(Decimal(1).scaleb(-_PLACES))


_DIGITS, _PLACES = 80, 18


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _instant(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)
