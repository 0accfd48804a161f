"""Prices and rates: as declared, and as integers, compiled once per snapshot.

A decimal price is exact but slow to add up; over one denominator per price its meters
become whole numbers, so that a charge is a few multiplications and one division, as
exact as before. The conditions of a price (service tier, region, long prompts, dated
multipliers) are multiplied out here too, into one :class:`Sheet` for each combination.
:mod:`gateway.core.prices` does the arithmetic and owns its rounding; a
:class:`~gateway.core.snapshot.Snapshot` keeps what is compiled here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from itertools import pairwise
from math import lcm

from gateway.core.money import NANO
from gateway.core.reserved import Reserved

INPUT_METERS = (
    "input", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "input_audio", "input_image",
    "input_video", "cache_read_audio", "cache_read_image",
)  # fmt: skip
OUTPUT_METERS = ("output", "reasoning", "output_audio", "output_image")
TOKEN_METERS = frozenset((*INPUT_METERS, *OUTPUT_METERS))
"""Meters of tokens, priced per ``Price.per`` of them; every other one is priced per single unit."""

UNIT_METERS = (
    "request", "web_search", "file_search", "code_session", "source", "audio_second", "video_second",
    "second", "image", "page", "character", "search_unit",
)  # fmt: skip
"""Meters that are no tokens. Each has the name of the unit that it prices."""

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
    "input_video": (),
    "cache_read_audio": ("input_audio",),
    "cache_read_image": ("input_image",),
    "output_image": (),
    **dict.fromkeys(UNIT_METERS, ()),
}

ALWAYS = "always"
"""An uplift that does not depend on where the vendor says that it ran."""

CHEAPER = frozenset({"batch", "flex", "scale", "reserved", "provisioned"})
"""Service tiers that cost no more than the standard one: without a price, they are charged as standard."""

ONE = Decimal(1)
_DIGITS = 200  # more than four amounts of 24 digits multiplied: products stay exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a tier or a band changes: all token meters ``times`` a factor, or a token sheet of its own.

    ``meters`` with token meters replaces every token meter; other units only where it names them.
    """

    times: Decimal | None = None
    meters: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Prompts of more than ``above`` tokens: the whole request, input and output, has these terms."""

    above: int
    terms: Terms
    tiers: Mapping[str, Terms] = field(default_factory=dict[str, Terms])


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplift:
    """A dated multiplier on token meters where the vendor says it ran ``where`` (or :data:`ALWAYS`)."""

    where: str
    times: Decimal
    valid_from: int
    valid_to: int | None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """A dated multiplier of a contract, on the meters it names or on all."""

    times: Decimal
    valid_from: int
    valid_to: int | None
    source: str = ""
    meters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A dated price of one deployment. ``meters`` are decimals per ``per`` tokens, or per single unit.

    Bitemporal: it is valid from ``valid_from``, and known since ``recorded_at`` (None: in
    time). A price that ``corrects`` another one is used from when it was known.
    """

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
    recorded_at: int | None = None
    approved_by: tuple[str, ...] = ()
    corrects: str | None = None
    tiers: Mapping[str, Terms] = field(default_factory=dict[str, Terms])
    bands: tuple[Band, ...] = ()
    uplifts: tuple[Uplift, ...] = ()
    discounts: tuple[Discount, ...] = ()
    at_most: Mapping[str, int] = field(default_factory=dict[str, int])  # unit → what one call can use
    reserved: Reserved | None = None

    @property
    def known(self) -> int:
        """The instant from which the gateway may use it."""
        return self.valid_from if self.recorded_at is None else self.recorded_at


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
    """One meter of a sheet: ``quantity × factor ÷`` the tariff's ``bottom`` is its nano-units.

    ``factor`` is what the contract says, ``list_factor`` before any discount. The texts are
    what a charge line says: what is charged per ``per``, and the list price where it differs.
    """

    name: str
    factor: int
    list_factor: int
    unit_price: str
    list_unit_price: str | None
    per: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The meters of one combination of tier, region and band, ready to be multiplied.

    ``buckets`` names the meter that each usage bucket or unit is priced at, where there is one.
    """

    above: int  # the band: prompts of more tokens; 0 for the base
    buckets: Mapping[str, Meter]
    request: Meter | None
    splits_reasoning: bool
    plain: bool  # neither a band nor discounted nor free: a charge says nothing beside its amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The dearest meters of every tier and region, for prompts that can reach these bands only."""

    above: int
    dearest_input: Meter | None  # None: no sheet names ``input``
    dearest_output: Meter | None
    units: Mapping[str, Meter]


Sheets = tuple[Sheet, ...]
"""Sheets of one tier and region, longest prompts first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """One price over a stretch of time in which none of its multipliers changes."""

    price: Price
    since: int
    until: int
    known: int
    bottom: int
    standard: Sheets
    sheets: Mapping[tuple[str, str], Sheets]  # (tier, where the vendor says that it ran)
    tiers: frozenset[str]
    places: frozenset[str]
    ceilings: tuple[Ceiling, ...]  # longest prompts first
    plain_ceilings: tuple[Ceiling, ...]  # of the standard tier and those that cost no more


_FOREVER = 2**63


def tariffs(prices: Iterable[Price]) -> tuple[Tariff, ...]:
    """Compile the prices of a deployment: what was known last comes first."""
    ordered = sorted(prices, key=lambda price: (price.known, price.valid_from), reverse=True)
    return tuple(stretch for price in ordered for stretch in reversed(_stretches(price)))


def _stretches(price: Price) -> list[Tariff]:
    """Cut the validity of a price where a multiplier begins or ends."""
    end = _FOREVER if price.valid_to is None else price.valid_to
    dated: tuple[Uplift | Discount, ...] = (*price.uplifts, *price.discounts)
    cuts = {price.valid_from, end}
    cuts |= {day for one in dated for day in (one.valid_from, one.valid_to) if day is not None}
    edges = sorted(cut for cut in cuts if price.valid_from <= cut <= end)
    return [tariff(price, since, until) for since, until in pairwise(edges)]


def tariff(price: Price, since: int, until: int) -> Tariff:
    """Compile a price for a stretch of time in which no multiplier changes."""
    uplifts = [one for one in price.uplifts if _covers(one, since)]
    discounts = [one for one in price.discounts if _covers(one, since)]
    places = sorted({one.where for one in uplifts} - {ALWAYS})
    known = sorted({*price.tiers, *(tier for band in price.bands for tier in band.tiers)})
    bands = sorted(price.bands, key=lambda band: band.above, reverse=True)
    listed: dict[tuple[str, str, int], dict[str, Decimal]] = {}
    with localcontext() as exact:
        exact.prec = _DIGITS
        for tier in ("", *known):
            for place in ("", *places):
                lift = ONE
                for one in uplifts:
                    if one.where in {ALWAYS, place}:
                        lift *= one.times
                for band in (*bands, None):
                    above = band.above if band is not None else 0
                    meters = _resolved(price, band, tier)
                    if lift != ONE:
                        meters = _multiplied(meters, lift)
                    listed[tier, place, above] = meters
        agreed = {key: _discounted(meters, discounts) for key, meters in listed.items()}
        bottom = lcm(
            *(
                _below(price, name, value)
                for sheets in (listed, agreed)
                for meters in sheets.values()
                for name, value in meters.items()
            ),
            1,
        )
        made = {
            key: {
                name: _meter(price, name, agreed[key][name], value, bottom) for name, value in meters.items()
            }
            for key, meters in listed.items()
        }
    sheets = {
        (tier, place): tuple(
            _sheet(price, made[tier, place, above], above) for above in (*(band.above for band in bands), 0)
        )
        for tier in ("", *known)
        for place in ("", *places)
    }
    return Tariff(
        price=price,
        since=since,
        until=until,
        known=price.known,
        bottom=bottom,
        standard=sheets["", ""],
        sheets=sheets,
        tiers=frozenset(known),
        places=frozenset(places),
        ceilings=_ceilings(made, bands, {"", *known}),
        plain_ceilings=_ceilings(made, bands, {"", *known} & {"", *CHEAPER}),
    )


def _covers(one: Uplift | Discount, at: int) -> bool:
    return one.valid_from <= at and (one.valid_to is None or at < one.valid_to)


def _resolved(price: Price, band: Band | None, tier: str) -> dict[str, Decimal]:
    """Return the list meters of a band and a tier, before uplifts."""
    meters = dict(price.meters)
    if band is not None:
        if tier in band.tiers and band.tiers[tier].times is None:
            return _under(meters, band.tiers[tier])
        meters = _under(meters, band.terms)
        if tier in band.tiers:
            return _under(meters, band.tiers[tier])
    return _under(meters, price.tiers[tier]) if tier in price.tiers else meters


def _under(meters: Mapping[str, Decimal], terms: Terms) -> dict[str, Decimal]:
    changed = dict(meters) if terms.times is None else _multiplied(meters, terms.times)
    if TOKEN_METERS & set(terms.meters):
        changed = {name: value for name, value in changed.items() if name not in TOKEN_METERS}
    return {**changed, **terms.meters}


def _multiplied(meters: Mapping[str, Decimal], times: Decimal) -> dict[str, Decimal]:
    return {name: value * times if name in TOKEN_METERS else value for name, value in meters.items()}


def _discounted(meters: Mapping[str, Decimal], discounts: Iterable[Discount]) -> dict[str, Decimal]:
    agreed = dict(meters)
    for discount in discounts:
        for name in agreed:
            if not discount.meters or name in discount.meters:
                agreed[name] *= discount.times
    return agreed


def _per(price: Price, name: str) -> int:
    return price.per if name in TOKEN_METERS else 1


def _below(price: Price, name: str, unit: Decimal) -> int:
    return unit.as_integer_ratio()[1] * _per(price, name)


def _meter(price: Price, name: str, unit: Decimal, listed: Decimal, bottom: int) -> Meter:
    """Return a meter over the common denominator."""

    def factor(value: Decimal) -> int:
        top, below = value.as_integer_ratio()
        return top * NANO * (bottom // (below * _per(price, name)))

    return Meter(
        name=name,
        factor=factor(unit),
        list_factor=factor(listed),
        unit_price="0" if price.free else _text(unit),
        list_unit_price=_text(listed) if price.free or unit != listed else None,
        per=_per(price, name),
    )


def _text(value: Decimal) -> str:
    """Return a decimal as plain text; what was multiplied loses the zeros that this gave it."""
    text = format(value, "f")
    whole, _, decimals = text.partition(".")
    kept = decimals.rstrip("0")
    return text if len(decimals) <= 2 else f"{whole}.{kept.ljust(2, '0')}"


def _sheet(price: Price, meters: Mapping[str, Meter], above: int) -> Sheet:
    discounted = any(meter.factor != meter.list_factor for meter in meters.values())
    return Sheet(
        above=above,
        buckets={
            bucket: meters[name]
            for bucket, instead in _INSTEAD.items()
            if (name := next((m for m in (bucket, *instead) if m in meters), None)) is not None
        },
        request=meters.get("request"),
        splits_reasoning="reasoning" in meters,
        plain=not (discounted or above or price.free),
    )


def _ceilings(
    made: Mapping[tuple[str, str, int], dict[str, Meter]], bands: list[Band], tiers: set[str]
) -> tuple[Ceiling, ...]:
    return tuple(
        _ceiling(
            above,
            [meters for (tier, _, reached), meters in made.items() if tier in tiers and reached <= above],
        )
        for above in (*(band.above for band in bands), 0)
    )


def _ceiling(above: int, sheets: list[dict[str, Meter]]) -> Ceiling:
    units: dict[str, Meter] = {}
    for meters in sheets:
        for name in UNIT_METERS:
            meter = meters.get(name)
            if meter is not None and (name not in units or units[name].factor < meter.factor):
                units[name] = meter
    return Ceiling(
        above=above,
        dearest_input=_dearest(sheets, "input", INPUT_METERS),
        dearest_output=_dearest(sheets, "output", OUTPUT_METERS),
        units=units,
    )


def _dearest(sheets: list[dict[str, Meter]], needed: str, among: tuple[str, ...]) -> Meter | None:
    """Return the dearest meter of any sheet; None where a sheet lacks the plain one."""
    if any(needed not in meters for meters in sheets):
        return None
    named = (meters[name] for meters in sheets for name in among if name in meters)
    return max(named, key=lambda meter: meter.factor)


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
