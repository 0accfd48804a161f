"""What an attempt costs, and at most costs, by the dated prices of the snapshot.

One rounding per row: the meters are summed exactly (integers over a common
denominator), then rounded half-even for a charge and upward for a bound. A price
that does not name a bucket that was used is *unknown*, never zero (promise 2).

Meters are per ``Price.per`` units, except ``request``, which is per single request.
"""

from __future__ import annotations

from gateway.core.errors import Code, Refusal
from gateway.core.money import INT64_MAX
from gateway.core.snapshot import Price, Snapshot
from gateway.core.tariff import Meter, Tariff
from gateway.core.values import Charge, ChargeLine, Usage


def price_at(snapshot: Snapshot, deployment_id: str, at: int) -> Price | None:
    """Return the price of a deployment that is valid at the instant, or None."""
    found = _tariff_at(snapshot, deployment_id, at)
    return None if found is None else found.price


def _tariff_at(snapshot: Snapshot, deployment_id: str, at: int) -> Tariff | None:
    for found in snapshot.tariffs.get(deployment_id, ()):
        price = found.price
        if price.valid_from <= at and (price.valid_to is None or at < price.valid_to):
            return found
    return None


def charge(snapshot: Snapshot, deployment_id: str, usage: Usage, *, at: int) -> Charge | Refusal:
    """Price disjoint usage buckets, rounded half-even once, in the price's currency.

    PRICE_UNKNOWN if no price is valid at the instant or a used bucket has no meter.
    """
    tariff = _tariff_at(snapshot, deployment_id, at)
    if tariff is None:
        return _unknown("no price is valid for this model now")
    price = tariff.price
    if price.free:
        return Charge(nano=0, currency=price.currency, lines=(), estimated=usage.estimated)
    used: list[tuple[Meter, int]] = []
    for bucket, quantity in _buckets(usage, tariff):
        meter = tariff.buckets.get(bucket)
        if meter is None:
            return _unknown(f"the price has no meter `{bucket}`, which this call used")
        used.append((meter, quantity))
    nano, lines = _rated(tariff, used, ceiling=False)
    if nano > INT64_MAX:
        return _unknown("the charge does not fit int64 nano-units: check the price")
    return Charge(nano=nano, currency=price.currency, lines=lines, estimated=usage.estimated)


def bound(
    snapshot: Snapshot, deployment_id: str, *, input_tokens: int, output_tokens: int, at: int
) -> Charge | Refusal:
    """Price the most that a call can use, rounded upward.

    INVARIANT: ≥ ``charge`` of any usage within the counts: every input token is
    taken at the dearest input meter of the price (uncached, cache write, media),
    every output token at the dearest output meter.
    """
    tariff = _tariff_at(snapshot, deployment_id, at)
    if tariff is None:
        return _unknown("no price is valid for this model now")
    price = tariff.price
    if price.free:
        return Charge(nano=0, currency=price.currency, lines=(), estimated=True)
    used: list[tuple[Meter, int]] = []
    if input_tokens > 0:
        if tariff.dearest_input is None:
            return _unknown("the price has no meter `input`")
        used.append((tariff.dearest_input, input_tokens))
    if output_tokens > 0:
        if tariff.dearest_output is None:
            return _unknown("the price has no meter `output`")
        used.append((tariff.dearest_output, output_tokens))
    nano, lines = _rated(tariff, used, ceiling=True)
    if nano > INT64_MAX:
        return _unknown("the bound does not fit int64 nano-units: check the price and max_tokens")
    return Charge(nano=nano, currency=price.currency, lines=lines, estimated=True)


def convert(snapshot: Snapshot, nano: int, base: str, quote: str, *, at: int, ceiling: bool) -> int | Refusal:
    """Convert nano-units of ``base`` into ``quote`` by the rate fixed at the instant.

    Half-even, or upward for holds. PRICE_UNKNOWN if the snapshot has no such rate.
    """
    if base == quote:
        return nano
    steps = snapshot.exchange.get((base, quote), ())
    if steps and steps[-1][0] <= at:  # the newest, nearly always
        _, top, bottom = steps[-1]
    elif (step := next((step for step in reversed(steps) if step[0] <= at), None)) is not None:
        _, top, bottom = step
    else:
        return _unknown(f"no exchange rate from `{base}` to `{quote}` is fixed for now")
    converted = _divide(nano * top, bottom, ceiling=ceiling)
    if abs(converted) > INT64_MAX:
        return _unknown(f"the amount in `{quote}` does not fit int64 nano-units")
    return converted


def _buckets(usage: Usage, tariff: Tariff) -> list[tuple[str, int]]:
    """Return the buckets that were used; reasoning apart only where it has its own meter."""
    reasoning = min(usage.reasoning, usage.output) if tariff.splits_reasoning else 0
    counts = (
        ("input", usage.input),
        ("cache_read", usage.cache_read),
        ("cache_write_5m", usage.cache_write_5m),
        ("cache_write_1h", usage.cache_write_1h),
        ("output", usage.output - reasoning),
        ("reasoning", reasoning),
        ("input_audio", usage.input_audio),
        ("output_audio", usage.output_audio),
        ("input_image", usage.input_image),
    )
    return [(bucket, count) for bucket, count in counts if count > 0]


def _rated(
    tariff: Tariff, used: list[tuple[Meter, int]], *, ceiling: bool
) -> tuple[int, tuple[ChargeLine, ...]]:
    """Sum meters exactly, the fee of the request included, and round once to nano-units."""
    if tariff.request is not None:
        used.append((tariff.request, 1))
    top = 0
    lines: list[ChargeLine] = []
    for meter, quantity in used:
        top += meter.factor * quantity
        lines.append(
            ChargeLine(
                meter=meter.name,
                quantity=quantity,
                price_id=tariff.price.id,
                unit_price=meter.unit_price,
                per=meter.per,
            )
        )
    return _divide(top, tariff.bottom, ceiling=ceiling), tuple(lines)


def _divide(top: int, bottom: int, *, ceiling: bool) -> int:
    """Divide integers: upward, or half-even."""
    if ceiling:
        return -(-top // bottom)
    whole, rest = divmod(top, bottom)
    twice = 2 * rest
    if twice > bottom or (twice == bottom and whole % 2):
        whole += 1
    return whole


def _unknown(what: str) -> Refusal:
    return Refusal(
        code=Code.PRICE_UNKNOWN,
        message=f"Nothing was sent: {what}, and a price that is not known cannot be held to a budget. "
        "Ask finance to add it to the prices.",
        retry=False,
    )
