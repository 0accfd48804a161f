"""Random prices with every condition, and the plainest reading of them: a second opinion in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

from gateway.core.snapshot import Price
from gateway.core.tariff import (
    ALWAYS,
    INPUT_METERS,
    OUTPUT_METERS,
    TOKEN_METERS,
    Band,
    Discount,
    Terms,
    Uplift,
)
from gateway.core.values import Usage
from tests.core.maple import at, price

DAYS = [at(f"2026-11-{day:02}") for day in (1, 5, 10, 15, 20, 25)]
AMOUNTS = st.decimals("0", "900", places=6, allow_nan=False)
FACTORS = st.decimals("0", "3", places=3, allow_nan=False)
TOKENS = [*INPUT_METERS, *OUTPUT_METERS]
TOKENS.remove("cache_write")
SHEETS = st.fixed_dictionaries(
    {"input": AMOUNTS, "output": AMOUNTS},
    optional={name: AMOUNTS for name in TOKENS if name not in {"input", "output"}},
)
WHOLE = st.fixed_dictionaries(dict.fromkeys(TOKENS, AMOUNTS))
UNITS = ("web_search", "audio_second")
TIERS = ("batch", "priority")
PLACES = ("us", "eu")


def terms(sheets: st.SearchStrategy[dict[str, Decimal]]) -> st.SearchStrategy[Terms]:
    """A factor or a sheet."""
    return st.one_of(
        FACTORS.map(lambda times: Terms(times=times)), sheets.map(lambda meters: Terms(meters=meters))
    )


@st.composite
def spans(draw: st.DrawFn) -> tuple[int, int | None]:
    """A half-open stretch of November."""
    first, last = sorted(draw(st.lists(st.sampled_from(DAYS), min_size=2, max_size=2, unique=True)))
    return first, draw(st.sampled_from([last, None]))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """A price with bands, tiers, uplifts and discounts, whole in every meter."""
    meters = dict(draw(WHOLE))
    meters |= {unit: draw(AMOUNTS) for unit in (*UNITS, *(["request"] if draw(st.booleans()) else []))}
    if draw(st.booleans()):
        del meters["reasoning"]
    tiers = draw(st.dictionaries(st.sampled_from(TIERS), terms(WHOLE)))
    edges = draw(st.lists(st.sampled_from([10, 1_000, 50_000]), unique=True, max_size=2))
    bands = tuple(
        Band(above=above, terms=draw(terms(WHOLE)), tiers={name: draw(terms(WHOLE)) for name in tiers})
        for above in edges
    )
    uplifts = tuple(
        Uplift(where=where, times=draw(FACTORS), valid_from=span[0], valid_to=span[1])
        for where in draw(st.lists(st.sampled_from([*PLACES, ALWAYS]), unique=True, max_size=3))
        for span in [draw(spans())]
    )
    discounts = tuple(
        Discount(times=draw(FACTORS), valid_from=span[0], valid_to=span[1], meters=only)
        for only in draw(st.sampled_from([(), ((),), (("input",), ("output", "web_search"))]))
        for span in [draw(spans())]
    )
    return price(
        meters=meters,
        per=draw(st.sampled_from([1, 1_000, 1_000_000])),
        tiers=tiers,
        bands=bands,
        uplifts=uplifts,
        discounts=discounts,
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What a vendor may say, tier and place included."""
    count = st.integers(0, 60_000)
    output = draw(count)
    units = {
        name: draw(st.integers(1, 5_000))
        for name in ("input_video", "cache_read_audio", "output_image", *UNITS)
        if draw(st.booleans())
    }
    return Usage(
        input=draw(count),
        cache_read=draw(count),
        cache_write_5m=draw(count),
        cache_write_1h=draw(count),
        output=output,
        reasoning=draw(st.integers(0, output)),
        input_audio=draw(st.integers(0, 9)),
        output_audio=draw(st.integers(0, 9)),
        input_image=draw(st.integers(0, 9)),
        units=tuple(units.items()),
        tier=draw(st.sampled_from(["", "flex", *TIERS])),
        place=draw(st.sampled_from(["", "elsewhere", *PLACES])),
    )


def naive(price: Price, usage: Usage, now: int) -> tuple[Fraction, Fraction] | None:
    """List and contracted amount in nano-units by reading the price as its reference page says it.

    None: the tier has no price.
    """
    if usage.tier in price.tiers:
        tier = usage.tier
    elif usage.tier in {"", "batch", "flex"}:
        tier = ""
    else:
        return None
    meters = {name: Fraction(amount) for name, amount in price.meters.items()}
    passed = [band for band in price.bands if usage.total_input > band.above]
    band = max(passed, key=lambda band: band.above) if passed else None
    steps: list[Terms] = []
    if band is not None:
        own = band.tiers.get(tier) if tier else None
        steps = [own] if own is not None and own.times is None else [band.terms, *([own] if own else [])]
    elif tier:
        steps = [price.tiers[tier]]
    for step in steps:
        if step.times is not None:
            meters = {n: a * Fraction(step.times) if n in TOKEN_METERS else a for n, a in meters.items()}
        else:
            kept = {n: a for n, a in meters.items() if n not in TOKEN_METERS}
            meters = {**kept, **{n: Fraction(a) for n, a in step.meters.items()}}
    for uplift in price.uplifts:
        dated = uplift.valid_from <= now and (uplift.valid_to is None or now < uplift.valid_to)
        if dated and uplift.where in {ALWAYS, usage.place}:
            meters = {n: a * Fraction(uplift.times) if n in TOKEN_METERS else a for n, a in meters.items()}
    agreed = dict(meters)
    for discount in price.discounts:
        if discount.valid_from <= now and (discount.valid_to is None or now < discount.valid_to):
            for name in agreed:
                if not discount.meters or name in discount.meters:
                    agreed[name] *= Fraction(discount.times)
    used = {
        "input": usage.input,
        "cache_read": usage.cache_read,
        "cache_write_5m": usage.cache_write_5m,
        "cache_write_1h": usage.cache_write_1h,
        "output": usage.output,
        "input_audio": usage.input_audio,
        "output_audio": usage.output_audio,
        "input_image": usage.input_image,
        **dict(usage.units),
    }
    if "reasoning" in meters:
        used["reasoning"] = usage.reasoning
        used["output"] -= usage.reasoning
    if "request" in meters:
        used["request"] = 1
    listed, charged = (
        sum(
            (sheet[n] * q * 10**9 / (price.per if n in TOKEN_METERS else 1) for n, q in used.items() if q),
            Fraction(0),
        )
        for sheet in (meters, agreed)
    )
    return listed, charged
