"""What an attempt costs, and at most costs, by the dated prices of the snapshot.

One rounding per row: the meters are summed exactly (integers over a common
denominator), then rounded half-even for a charge and upward for a bound. A price
that does not name a bucket that was used is *unknown*, never zero (promise 2).

Token meters are per ``Price.per`` tokens; every other meter is per single unit. Tax is
no part of any amount here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter

from gateway.core.errors import Code, Refusal
from gateway.core.money import INT64_MAX
from gateway.core.snapshot import Price, Rate, Snapshot
from gateway.core.tariff import CHEAPER, Ceiling, Meter, Sheet, Tariff
from gateway.core.values import Charge, ChargeLine, Usage
from gateway.core.windows import calendar

NO_UNITS: Mapping[str, int | None] = {}


def price_at(snapshot: Snapshot, deployment_id: str, at: int) -> Price | None:
    """Return the price of a deployment that is used for calls of the instant, or None."""
    found = tariff_at(snapshot, deployment_id, at)
    return None if found is None else found.price


def tariff_at(
    snapshot: Snapshot, deployment_id: str, at: int, *, known_at: int | None = None
) -> Tariff | None:
    """Return the tariff of the instant, as it was known at ``known_at`` (None: at that instant).

    Where a price corrects another one, the later known of the two is found first.
    """
    known = at if known_at is None else known_at
    for found in snapshot.tariffs.get(deployment_id, ()):
        if found.since <= at < found.until and found.known <= known:
            return found
    return None


def charge(
    snapshot: Snapshot, deployment_id: str, usage: Usage, *, at: int, known_at: int | None = None
) -> Charge | Refusal:
    """Price disjoint usage buckets, rounded half-even once, in the price's currency.

    PRICE_UNKNOWN if no price is valid at the instant, a used bucket has no meter, or the
    vendor says that it served the call at a dearer tier which has no price.
    """
    tariff = tariff_at(snapshot, deployment_id, at, known_at=known_at)
    return _unknown("no price is valid for this model now") if tariff is None else rated(tariff, usage)


def rated(tariff: Tariff, usage: Usage) -> Charge | Refusal:
    """Price usage by one tariff."""
    price = tariff.price
    if price.free and not price.meters:
        return Charge(nano=0, currency=price.currency, lines=(), estimated=usage.estimated)
    sheets = tariff.standard
    if usage.tier or usage.place:
        tier = usage.tier
        if tier not in tariff.tiers:
            if tier and tier not in CHEAPER:
                return _unknown(f"the vendor served this call at the tier `{tier}`, which has no price")
            tier = ""
        sheets = tariff.sheets[tier, usage.place if usage.place in tariff.places else ""]
    sheet = sheets[-1] if len(sheets) == 1 else _band(sheets, usage.total_input)
    used = _used(usage, sheet)
    buckets = sheet.buckets
    top = 0
    lines: list[ChargeLine] = []
    for bucket, quantity in used:
        meter = buckets.get(bucket)
        if meter is None:
            if price.free:
                continue
            return _unknown(f"the price has no meter `{bucket}`, which this call used")
        top += meter.factor * quantity
        lines.append(
            ChargeLine(
                meter=meter.name,
                quantity=quantity,
                price_id=price.id,
                unit_price=meter.unit_price,
                per=meter.per,
                list_unit_price=meter.list_unit_price,
            )
        )
    nano = _half_even(top, tariff.bottom)
    if nano > INT64_MAX:
        return _unknown("the charge does not fit int64 nano-units: check the price")
    if sheet.plain:
        return Charge(nano=nano, currency=price.currency, lines=tuple(lines), estimated=usage.estimated)
    listed = _half_even(
        sum(buckets[bucket].list_factor * n for bucket, n in used if bucket in buckets), tariff.bottom
    )
    if listed > INT64_MAX:
        return _unknown("the list price does not fit int64 nano-units: check the price")
    return Charge(
        nano=0 if price.free else nano,
        currency=price.currency,
        lines=tuple(lines),
        estimated=usage.estimated,
        list_nano=listed if listed != nano or price.free else None,
        contracted_nano=nano if price.free else None,
        band=sheet.above,
    )


def bound(
    snapshot: Snapshot,
    deployment_id: str,
    *,
    input_tokens: int,
    output_tokens: int,
    at: int,
    units: Mapping[str, int | None] = NO_UNITS,
    tier: str | None = None,
) -> Charge | Refusal:
    """Price the most that a call can use, rounded upward.

    INVARIANT: ≥ ``charge`` of any usage within the counts, whatever tier, region and
    band the vendor bills it at: every input token is taken at the dearest input meter
    (uncached, cache write, media) of every sheet that so long a prompt can reach, every
    output token at the dearest output meter. ``units`` counts what is no token, at most;
    None: the price's own ``at_most``. ``tier`` is the service tier that the request asks
    for, "" the standard one; None: it leaves that open. One that is dearer and has no
    price is refused.
    """
    tariff = tariff_at(snapshot, deployment_id, at)
    if tariff is None:
        return _unknown("no price is valid for this model now")
    price = tariff.price
    if price.free:
        return Charge(nano=0, currency=price.currency, lines=(), estimated=True, at_most=True)
    ceilings = tariff.ceilings
    if tier is not None:
        if not tier or tier in CHEAPER:
            ceilings = tariff.plain_ceilings
        elif tier not in tariff.tiers:
            return _unknown(f"this call asks for the tier `{tier}`, which has no price")
    ceiling = ceilings[-1] if len(ceilings) == 1 else _reached(ceilings, input_tokens)
    top = listed = 0
    lines: list[ChargeLine] = []
    if input_tokens > 0:
        meter = ceiling.dearest_input
        if meter is None:
            return _unknown("the price has no meter `input`")
        top += meter.factor * input_tokens
        listed += meter.list_factor * input_tokens
        lines.append(_line(price, meter, input_tokens))
    if output_tokens > 0:
        meter = ceiling.dearest_output
        if meter is None:
            return _unknown("the price has no meter `output`")
        top += meter.factor * output_tokens
        listed += meter.list_factor * output_tokens
        lines.append(_line(price, meter, output_tokens))
    dearest = ceiling.units
    if dearest or units:
        for unit, most in {**units, "request": 1}.items():
            meter = dearest.get(unit)
            quantity = price.at_most.get(unit) if most is None else most
            if quantity is None:
                return _unbounded(unit)
            if meter is not None:
                top += meter.factor * quantity
                listed += meter.list_factor * quantity
                lines.append(_line(price, meter, quantity))
            elif unit != "request" and quantity:
                return _unknown(f"the price has no meter `{unit}`, which this call may use")
    nano = -(-top // tariff.bottom)
    if nano > INT64_MAX:
        return _unknown("the bound does not fit int64 nano-units: check the price and max_tokens")
    return Charge(
        nano=nano,
        currency=price.currency,
        lines=tuple(lines),
        estimated=True,
        list_nano=None if listed == top else min(INT64_MAX, -(-listed // tariff.bottom)),
        at_most=True,
    )


def convert(
    snapshot: Snapshot,
    nano: int,
    base: str,
    quote: str,
    *,
    at: int,
    ceiling: bool,
    window: int | None = None,
) -> int | Refusal:
    """Convert nano-units of ``base`` into ``quote`` by the rate that its window was opened with.

    ``window`` is the start of a budget's window; None: the ledger's, which is the calendar
    month of the organisation that holds ``at``. So one rate holds for all of a budget's
    holds and spend, and one for a month of the ledger, of reports and of entries beside it.
    A window that began before any rate was fixed takes the first one that was. Half-even,
    or upward for holds. PRICE_UNKNOWN if the snapshot has no such rate.
    """
    if base == quote:
        return nano
    steps = snapshot.exchange.get((base, quote), ())
    fixed = calendar("month", snapshot.timezone, at).start if window is None else window
    if steps and steps[-1][0] <= fixed:  # the newest, nearly always
        _, top, bottom = steps[-1]
    elif (
        step := next((step for step in reversed(steps) if step[0] <= fixed), None)
        or next((step for step in steps if step[0] <= at), None)
    ) is not None:
        _, top, bottom = step
    else:
        return _unknown(f"no exchange rate from `{base}` to `{quote}` is fixed for now")
    product = nano * top
    converted = -(-product // bottom) if ceiling else _half_even(product, bottom)
    if abs(converted) > INT64_MAX:
        return _unknown(f"the amount in `{quote}` does not fit int64 nano-units")
    return converted


def rate_of_window(snapshot: Snapshot, base: str, quote: str, *, start: int, end: int) -> Rate | None:
    """Return the rate that converts everything of the half-open window, as finance declared it.

    The one in force at its start, else the first one fixed within it; None if there is none.
    It may be declared the other way round.
    """
    pair = {base, quote}
    known = [rate for rate in snapshot.rates if {rate.base, rate.quote} == pair and rate.valid_from < end]
    before = [rate.valid_from for rate in known if rate.valid_from <= start]
    if not known:
        return None
    fixed = max(before) if before else min(rate.valid_from for rate in known)
    of_then = [rate for rate in known if rate.valid_from == fixed]
    return next((rate for rate in reversed(of_then) if rate.base == base), of_then[0])


_PLAIN: tuple[str, ...] = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "input_audio", "output_audio",
    "input_image",
)  # fmt: skip
_counts: Callable[[Usage], tuple[int, ...]] = attrgetter(*_PLAIN)


def _used(usage: Usage, sheet: Sheet) -> list[tuple[str, int]]:
    """Return what was used, the request itself included; reasoning apart only where it has its own meter."""
    used: list[tuple[str, int]] = [pair for pair in zip(_PLAIN, _counts(usage), strict=True) if pair[1]]
    if sheet.splits_reasoning and usage.reasoning:
        reasoning = min(usage.reasoning, usage.output)
        shown = usage.output - reasoning
        used = [(name, shown if name == "output" else n) for name, n in used if name != "output" or shown]
        used.append(("reasoning", reasoning))
    if usage.units:
        used.extend(usage.units)
    if sheet.request is not None:
        used.append(("request", 1))
    return used


def _band(sheets: tuple[Sheet, ...], prompt: int) -> Sheet:
    """Return the sheet of the longest band that the prompt passes; the base has no lower end."""
    return next((sheet for sheet in sheets if prompt > sheet.above), sheets[-1])


def _reached(ceilings: tuple[Ceiling, ...], prompt: int) -> Ceiling:
    return next((ceiling for ceiling in ceilings if prompt > ceiling.above), ceilings[-1])


def _line(price: Price, meter: Meter, quantity: int) -> ChargeLine:
    return ChargeLine(
        meter=meter.name,
        quantity=quantity,
        price_id=price.id,
        unit_price=meter.unit_price,
        per=meter.per,
        list_unit_price=meter.list_unit_price,
    )


def _half_even(top: int, bottom: int) -> int:
    """Divide integers, half-even."""
    whole, rest = divmod(top, bottom)
    twice = 2 * rest
    if twice > bottom or (twice == bottom and whole % 2):
        whole += 1
    return whole


def _unbounded(unit: str) -> Refusal:
    return Refusal(
        code=Code.PRICE_UNKNOWN,
        message=f"Nothing was sent: this call may use `{unit}` without a limit, so its cost cannot be held. "
        "Send max_uses (or max_tool_calls), or ask finance to declare `at_most` in the price.",
        retry=False,
    )


def _unknown(what: str) -> Refusal:
    return Refusal(
        code=Code.PRICE_UNKNOWN,
        message=f"Nothing was sent: {what}, and a price that is not known cannot be held to a budget. "
        "Ask finance to add it to the prices.",
        retry=False,
    )
