"""Prices and rates of a bundle → the core's values: decimals and integers, sorted, nothing worked out yet."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from gateway.core.money import nano_of
from gateway.core.reserved import Reserved
from gateway.core.tariff import Band, Discount, Price, Rate, Terms, Uplift
from gateway.policy.bundle import Bundle, Placed
from gateway.policy.schema_prices import (
    DiscountModel,
    PriceModel,
    ReservedModel,
    TermsModel,
    UpliftModel,
    Validity,
)

K = TypeVar("K", bound=str)


def prices(bundle: Bundle) -> dict[str, tuple[Price, ...]]:
    """Return the prices by deployment, ordered by when they begin."""
    found: dict[str, list[Price]] = {}
    for placed in bundle.prices:
        found.setdefault(placed.value.deployment, []).append(price(placed))
    return {name: tuple(sorted(of_one, key=lambda p: p.valid_from)) for name, of_one in found.items()}


def price(placed: Placed[PriceModel]) -> Price:
    """Return one price. Reserved capacity is free by the call."""
    said = placed.value
    return Price(
        id=said.id,
        deployment=said.deployment,
        currency=said.currency,
        per=said.per,
        meters=_decimals(said.meters),
        valid_from=said.valid.from_,
        valid_to=said.valid.to,
        free=said.free or said.reserved is not None,
        source=said.source,
        at=placed.at,
        recorded_at=said.recorded,
        approved_by=tuple(said.approved_by),
        corrects=said.corrects,
        tiers=_tiers(said.tiers),
        bands=tuple(
            Band(above=band.above, terms=_terms(band), tiers=_tiers(band.tiers)) for band in said.bands
        ),
        uplifts=tuple(_uplift(uplift, said.valid) for uplift in said.uplifts),
        discounts=tuple(_discount(discount, said.valid) for discount in said.discounts),
        at_most={str(unit): most for unit, most in said.at_most.items()},
        reserved=None if said.reserved is None else _reserved(said.reserved),
    )


def rates(bundle: Bundle) -> tuple[Rate, ...]:
    """Return the exchange rates, oldest first."""
    found = [
        Rate(base=r.base, quote=r.quote, rate=Decimal(r.rate), valid_from=r.from_, source=r.source)
        for r in (placed.value for placed in bundle.rates)
    ]
    return tuple(sorted(found, key=lambda rate: rate.valid_from))


def _decimals(amounts: Mapping[K, str]) -> dict[str, Decimal]:
    return {str(name): Decimal(amount) for name, amount in amounts.items()}


def _terms(said: TermsModel) -> Terms:
    times = None if said.times is None else Decimal(said.times)
    return Terms(times=times, meters=_decimals(said.meters))


def _tiers(said: Mapping[str, TermsModel]) -> dict[str, Terms]:
    return {tier: _terms(terms) for tier, terms in said.items()}


def _uplift(said: UpliftModel, valid: Validity) -> Uplift:
    dated = said.valid or valid
    return Uplift(
        where=said.where,
        times=Decimal(said.times),
        valid_from=dated.from_,
        valid_to=dated.to,
        source=said.source,
    )


def _discount(said: DiscountModel, valid: Validity) -> Discount:
    dated = said.valid or valid
    return Discount(
        times=Decimal(said.times),
        valid_from=dated.from_,
        valid_to=dated.to,
        source=said.source,
        meters=tuple(str(meter) for meter in said.on),
    )


def _reserved(said: ReservedModel) -> Reserved:
    return Reserved(
        nano=nano_of(Decimal(said.amount) * said.units),
        per=said.per,
        split=said.split,
        weights=_decimals(said.weights),
        capacity=None if said.capacity_per_hour is None else Decimal(said.capacity_per_hour),
        window=said.window,
        unit=said.unit or "",
        units=said.units,
    )
