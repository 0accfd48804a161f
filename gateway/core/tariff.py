"""Prices and rates: as declared, and as integers, compiled once per snapshot.

A decimal price is exact but slow to add up; over one denominator per price sheet its
meters become whole numbers, so that a charge is a few multiplications and one
division, as exact as before. :mod:`gateway.core.prices` does the arithmetic and owns
its rounding; a :class:`~gateway.core.snapshot.Snapshot` keeps what is compiled here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import lcm

from gateway.core.money import NANO

# Where a bucket may take another's meter. INVARIANT: only ever a dearer one, so that
# a gap in a price sheet never books below the vendor's meter.
_INSTEAD: Mapping[str, tuple[str, ...]] = {
    "input": (),
    "cache_read": ("input",),
    "cache_write_5m": ("cache_write", "cache_write_1h"),
    "cache_write_1h": (),
    "output": (),
    "reasoning": ("output",),
    "input_audio": (),
    "output_audio": (),
    "input_image": (),
}
_INPUT_METERS = (
    "input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "input_audio", "input_image",
)  # fmt: skip
_OUTPUT_METERS = ("output", "reasoning", "output_audio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A dated price of one deployment. ``meters`` are decimals per ``per`` units."""

    id: str
    deployment: str
    currency: str
    per: int
    meters: Mapping[str, Decimal]  # input, cache_read, cache_write_5m, cache_write_1h, output, request …
    valid_from: int
    valid_to: int | None
    free: bool
    source: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """An exchange rate fixed from an instant on: 1 ``base`` is ``rate`` ``quote``."""

    base: str
    quote: str
    rate: Decimal
    valid_from: int
    source: str


Step = tuple[int, int, int]
"""An exchange rate from an instant on: (valid from, numerator, denominator)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One meter of a price: ``quantity × factor ÷`` the tariff's ``bottom`` is its nano-units."""

    name: str
    factor: int
    unit_price: str
    per: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One price, ready to be multiplied.

    ``buckets`` names the meter that each usage bucket is priced at, where there is one;
    ``dearest_input`` and ``dearest_output`` are what a bound takes (None: the price names no
    ``input`` or no ``output``); ``request`` is the fee of a single request.
    """

    price: Price
    bottom: int
    buckets: Mapping[str, Meter]
    dearest_input: Meter | None
    dearest_output: Meter | None
    request: Meter | None
    splits_reasoning: bool


def tariff(price: Price) -> Tariff:
    """Compile a price."""
    ratios = {
        name: _ratio(unit, 1 if name == "request" else price.per) for name, unit in price.meters.items()
    }
    bottom = lcm(*(below for _, below in ratios.values())) if ratios else 1
    meters = {
        name: Meter(
            name=name,
            factor=top * (bottom // below),
            unit_price=format(price.meters[name], "f"),
            per=1 if name == "request" else price.per,
        )
        for name, (top, below) in ratios.items()
    }
    return Tariff(
        price=price,
        bottom=bottom,
        buckets={
            bucket: meters[name]
            for bucket, instead in _INSTEAD.items()
            if (name := next((m for m in (bucket, *instead) if m in meters), None)) is not None
        },
        dearest_input=_dearest(price, meters, "input", _INPUT_METERS),
        dearest_output=_dearest(price, meters, "output", _OUTPUT_METERS),
        request=meters.get("request"),
        splits_reasoning="reasoning" in meters,
    )


def _ratio(unit: Decimal, per: int) -> tuple[int, int]:
    """Return nano-units per single unit as a fraction of integers."""
    top, bottom = unit.as_integer_ratio()
    return top * NANO, bottom * per


def _dearest(price: Price, meters: Mapping[str, Meter], needed: str, among: Iterable[str]) -> Meter | None:
    if needed not in meters:
        return None
    return meters[max((name for name in among if name in meters), key=lambda name: price.meters[name])]


def exchange(rates: Iterable[Rate]) -> Mapping[tuple[str, str], tuple[Step, ...]]:
    """Return the steps of every pair of currencies in both directions, oldest first.

    A direct rate wins over the inverse of another that was fixed at the same instant.
    """
    found: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
    known = list(rates)
    for rate in known:
        top, bottom = rate.rate.as_integer_ratio()
        found.setdefault((rate.quote, rate.base), {}).setdefault(rate.valid_from, (bottom, top))
    for rate in known:
        found.setdefault((rate.base, rate.quote), {})[rate.valid_from] = rate.rate.as_integer_ratio()
    return {
        pair: tuple((since, *ratio) for since, ratio in sorted(steps.items()))
        for pair, steps in found.items()
    }
