"""The slips that are really made in price sheets, each with a name and its place in the file.

Every one of them was found in a public price map: an amount per thousand entered per token,
a cache read that costs as much as the input, a missing price for a longer cache life, a model
past its end. They are warnings of a bundle, and stop an import until somebody has looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from gateway.policy.bundle import Bundle, Placed
from gateway.policy.problems import Problem
from gateway.policy.schema_prices import TOKEN_NAMES, Meter, PriceModel, RateModel
from gateway.policy.source import Key

TOO_DEAR = Decimal(1_000)
"""More than this per million tokens is a slip: the amount was meant per thousand, or per token."""

JUMP = 20
"""A price that changes by more than this factor is a slip of the decimal point."""

FX_JUMP = Decimal("1.5")
"""An exchange rate that changes by more than this factor is upside down or mistyped."""

_SMALL = frozenset({"USD", "EUR", "GBP", "CAD", "AUD", "CHF", "NZD", "SGD"})
_WEAKER = 200  # how many units of another currency may stand for one of those

CODES: Mapping[str, str] = {
    "too_dear": "more than 1,000 per million tokens",
    "cache_read_not_cheaper": "a cache read costs as much as the input",
    "missing_ttl_price": "cache writes without a price for the longer life",
    "missing_cache_read": "cache writes without a price for cache reads",
    "jump": f"more than {JUMP} times the price before, or less than a {JUMP}th",
    "retired": "a model past its end",
    "no_input_price": "input costs nothing",
    "alias_unlike_snapshot": "a model's alias is priced unlike its dated version",
    "fx_jump": f"more than {FX_JUMP} times the exchange rate before, or less than two thirds",
}
"""Every lint by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One slip. ``price`` is the id of the price that it is in; "" for a rate."""

    code: str
    price: str
    problem: Problem


def lint(bundle: Bundle, *, today: date) -> list[Finding]:
    """Return every slip in the prices and rates of a bundle."""
    found = [finding for placed in bundle.prices for finding in _price(placed, today)]
    found += _jumps(bundle.prices)
    found += _aliases(bundle)
    found += _rates(bundle.rates)
    return found


def _found(
    placed: Placed[PriceModel] | Placed[RateModel], path: Key, code: str, message: str, fix: str
) -> Finding:
    name = placed.value.id if isinstance(placed.value, PriceModel) else ""
    problem = placed.document.problem((*placed.path, *path), f"{message} ({code})", fix)
    return Finding(code=code, price=name, problem=problem)


def _sheets(price: PriceModel) -> Iterator[tuple[Key, Mapping[Meter, str]]]:
    yield ("meters",), price.meters
    for tier, terms in price.tiers.items():
        yield ("tiers", tier, "meters"), terms.meters
    for i, band in enumerate(price.bands):
        yield ("bands", i, "meters"), band.meters
        for tier, terms in band.tiers.items():
            yield ("bands", i, "tiers", tier, "meters"), terms.meters


def _price(placed: Placed[PriceModel], today: date) -> Iterator[Finding]:
    price = placed.value
    most = TOO_DEAR if price.currency in _SMALL else TOO_DEAR * _WEAKER
    for path, meters in _sheets(price):
        amounts = {str(name): Decimal(amount) for name, amount in meters.items() if name in TOKEN_NAMES}
        for name, amount in amounts.items():
            per_million = amount * 1_000_000 / price.per
            if per_million > most:
                message = f"{per_million:,.2f} {price.currency} per million tokens is beyond any model"
                yield _found(placed, (*path, name), "too_dear", message, "was it meant per thousand?")
        yield from _cache(placed, path, amounts)
    free = price.free or price.reserved is not None
    if not free and not Decimal(price.meters.get("input", "1")):
        message = "input costs nothing"
        yield _found(
            placed, ("meters", "input"), "no_input_price", message, "write free: true if the model is free"
        )
    over = price.valid.to is not None and price.valid.to <= _midnight(today)
    if price.retires is not None and price.retires < today and not over:
        message = f"the model ended on {price.retires}, and the price goes on"
        yield _found(placed, ("retires",), "retired", message, "end it with to, and route to its successor")


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400 * 1_000_000_000


def _cache(placed: Placed[PriceModel], path: Key, amounts: Mapping[str, Decimal]) -> Iterator[Finding]:
    fresh, read = amounts.get("input"), amounts.get("cache_read")
    if fresh and read is not None and read >= fresh:
        message = f"a cache read costs {read}, input {fresh}"
        yield _found(
            placed, (*path, "cache_read"), "cache_read_not_cheaper", message, "look it up at the vendor's"
        )
    writes = {"cache_write_5m", "cache_write_1h"} & set(amounts)
    if writes == {"cache_write_5m"}:
        message = "cache writes have a price for the short life only, so one of an hour is unknown"
        yield _found(placed, (*path, "cache_write_5m"), "missing_ttl_price", message, "add cache_write_1h")
    if writes and read is None:
        message = "cache writes have a price, reads have none and are charged as input"
        yield _found(placed, (*path, min(writes)), "missing_cache_read", message, "add cache_read")


def _jumps(prices: Iterable[Placed[PriceModel]]) -> Iterator[Finding]:
    ordered = sorted(prices, key=lambda placed: (placed.value.deployment, placed.value.valid.from_))
    before: Placed[PriceModel] | None = None
    for placed in ordered:
        price = placed.value
        if before is not None and (before.value.deployment, before.value.currency) == (
            price.deployment,
            price.currency,
        ):
            for name in sorted(set(price.meters) & set(before.value.meters)):
                old = Decimal(before.value.meters[name]) / before.value.per
                new = Decimal(price.meters[name]) / price.per
                if old and new and not old / JUMP <= new <= old * JUMP:
                    message = f"`{name}` was {before.value.meters[name]} per {before.value.per:,} before"
                    fix = f"compare with {before.at}"
                    yield _found(placed, ("meters", name), "jump", message, fix)
        before = placed


_DATED = re.compile(r"[-@.]?(20\d{2}-?\d{2}-?\d{2}|\d{4}|latest)(-v\d+(:\d+)?)?$")


def _aliases(bundle: Bundle) -> Iterator[Finding]:
    """Compare prices of deployments whose models are one model by an alias and by a dated name."""
    families: dict[tuple[str, str, str], list[tuple[str, Placed[PriceModel]]]] = {}
    for placed in bundle.prices:
        price = placed.value
        connection = bundle.connections.get(price.deployment)
        facts = bundle.deployments.get(price.deployment)
        if connection is None or facts is None or price.free or price.reserved is not None:
            continue
        family = (facts.vendor, _DATED.sub("", connection.model), price.currency)
        families.setdefault(family, []).append((connection.model, placed))
    for members in families.values():
        for i, (model, placed) in enumerate(members):
            for other_model, other in members[:i]:
                if model != other_model and _at_once(placed, other) and _unlike(placed, other):
                    message = (
                        f"`{model}` costs unlike `{other_model}`, which is the same model by another name"
                    )
                    fix = f"compare with {other.at}"
                    yield _found(placed, ("meters",), "alias_unlike_snapshot", message, fix)


def _at_once(one: Placed[PriceModel], other: Placed[PriceModel]) -> bool:
    a, b = one.value.valid, other.value.valid
    return a.from_ < (b.to or 2**63) and b.from_ < (a.to or 2**63)


def _unlike(one: Placed[PriceModel], other: Placed[PriceModel]) -> bool:
    def unit(placed: Placed[PriceModel], name: Meter) -> Decimal | None:
        amount = placed.value.meters.get(name)
        return None if amount is None else Decimal(amount) / placed.value.per

    return unit(one, "input") != unit(other, "input") or unit(one, "output") != unit(other, "output")


def _rates(rates: Iterable[Placed[RateModel]]) -> Iterator[Finding]:
    before: dict[tuple[str, str], Placed[RateModel]] = {}
    for placed in sorted(rates, key=lambda placed: placed.value.from_):
        rate = placed.value
        known = before.get((rate.base, rate.quote))
        if known is not None:
            old, new = Decimal(known.value.rate), Decimal(rate.rate)
            if not old / FX_JUMP <= new <= old * FX_JUMP:
                message = f"the rate was {known.value.rate} before"
                yield _found(placed, ("rate",), "fx_jump", message, f"compare with {known.at}")
        before[rate.base, rate.quote] = placed
