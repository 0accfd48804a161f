"""A pool's hour as ledger entries: who used it, who bears what idled, in GPU time and in money.

Pure. INVARIANT: over the entries of one origin (``gpu:<pool>:<hour>``), corrections included, the
quantities sum to the billed micro-GPU-seconds, the amounts to the hour's charge in both currencies,
and the ratios to 1 000 000 000 parts. A booked hour is never changed: what is learned later is the
difference, as corrections.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Literal

from gateway.core.canonical import encode
from gateway.core.entries import Entry
from gateway.core.gpu import METHOD, HourSplit, apportion
from gateway.core.gpu_pools import HOUR_US, Coefficients, GpuRate, Pool
from gateway.core.money import INT64_MAX, NANO

UNIT = "micro-gpu-seconds"
WHOLE_PPB = 1_000_000_000

Part = Literal["use", "idle", "unallocated"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Who:
    """Who pays for a share. All empty: nobody. ``cost_centre`` "" is none."""

    team: str = ""
    app: str = ""
    cost_centre: str = ""
    alias: str = ""
    deployment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """One row of an hour: what part of it, and whose."""

    part: Part
    who: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What a row comes to."""

    micro: int  # micro-GPU-seconds
    nano: int
    spend_nano: int
    ppb: int


NOTHING = Amount(micro=0, nano=0, spend_nano=0, ppb=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an hour of a pool costs: billed time at its rate, rounded once, in both currencies."""

    currency: str
    nano: int
    spend_currency: str
    spend_nano: int


def charge_nano(billed: int, rate: GpuRate) -> int:
    """Return what billed micro-GPU-seconds cost, in nano-units, rounded half-even once.

    Raises ValueError where it does not fit int64.
    """
    with localcontext() as context:
        context.prec = 60
        exact = rate.per_gpu_hour * NANO * billed / HOUR_US
        nano = int(exact.to_integral_value(ROUND_HALF_EVEN))
    if nano > INT64_MAX:
        raise ValueError(f"an hour at `{rate.per_gpu_hour}` does not fit int64 nano-units: check the rate")
    return nano


def rows(pool: Pool, split: HourSplit[Who], *, centre_of: Callable[[str], str]) -> dict[Row, int]:
    """Return every row of an hour in micro-GPU-seconds: use, and idle time by the pool's rule.

    ``centre_of`` names the cost centre of a team, for idle time that a reservation lays on it.
    """
    found = {Row(part="use", who=who): micro for who, micro in split.used.items() if micro}
    shares: Mapping[Who, int] = {}
    match pool.idle:
        case "reserved_share":
            shares = {Who(team=t, cost_centre=centre_of(t)): part for t, part in pool.shares.items()}
        case "used_share":
            shares = split.used
        case "unallocated":
            pass
    idle = apportion(split.idle, shares)
    for who, micro in idle.items():
        if micro:
            found[Row(part="idle", who=who)] = micro
    left = split.idle - sum(idle.values())
    if left:
        found[Row(part="unallocated", who=Who())] = left
    return found


def amounts(micros: Mapping[Row, int], charge: Charge) -> dict[Row, Amount]:
    """Split an hour's charge over its rows by their time; every sum is exact."""
    nano = apportion(charge.nano, micros)
    spend = apportion(charge.spend_nano, micros)
    ppb = apportion(WHOLE_PPB, micros)
    return {
        row: Amount(micro=micro, nano=nano[row], spend_nano=spend[row], ppb=ppb[row])
        for row, micro in micros.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every entry of an hour says beside its amounts."""

    tenant: str
    pool: Pool
    start_us: int
    revision: int  # 1: as closed
    coefficients: Coefficients
    billing_period: str
    currency: str
    spend_currency: str
    created_us: int
    created_by: str
    lost: frozenset[Who]  # who had calls whose usage never arrived
    vendors: Mapping[str, str]  # by deployment
    places: Mapping[str, str]
    models: Mapping[str, str]
    why: str = ""  # of a correction: a sentence

    @property
    def origin(self) -> str:
        """The charge that all rows are shares of."""
        return origin(self.pool.id, self.start_us)


def origin(pool: str, start_us: int) -> str:
    """Return the name of a pool's hour."""
    return f"gpu:{pool}:{start_us}"


def entries(
    facts: Facts, fresh: Mapping[Row, Amount], booked: Mapping[Row, Amount] | None = None
) -> list[Entry]:
    """Return what to book for an hour: all of it, or its differences from what is booked already."""
    before = booked or {}
    made: list[Entry] = []
    for row in sorted({*fresh, *before}):
        is_, was = fresh.get(row, NOTHING), before.get(row, NOTHING)
        delta = Amount(
            micro=is_.micro - was.micro,
            nano=is_.nano - was.nano,
            spend_nano=is_.spend_nano - was.spend_nano,
            ppb=is_.ppb - was.ppb,
        )
        if delta != NOTHING:
            made.append(_entry(facts, row, delta, corrects=booked is not None))
    return made


def _entry(facts: Facts, row: Row, amount: Amount, *, corrects: bool) -> Entry:
    who = row.who
    deployment = who.deployment or facts.pool.deployments[0]
    return Entry(
        id=entry_id(facts, row, facts.revision),
        kind="correction" if corrects else "gpu",
        tenant=facts.tenant,
        billing_period=facts.billing_period,
        start_us=facts.start_us,
        end_us=facts.start_us + HOUR_US,
        team=who.team,
        app=who.app,
        cost_centre=who.cost_centre or None,
        alias=who.alias,
        deployment=who.deployment,
        vendor=facts.vendors.get(deployment, "self"),
        place=facts.places.get(who.deployment, facts.pool.region),
        model=facts.models.get(who.deployment, ""),
        currency=facts.currency,
        nano=amount.nano,
        spend_currency=facts.spend_currency,
        spend_nano=amount.spend_nano,
        quantity=amount.micro,
        unit=UNIT,
        reason=_reason(facts, row),
        refers=entry_id(facts, row, 1) if corrects else "",
        origin=facts.origin,
        ratio_ppb=amount.ppb,
        # What idles is seen by what was in flight; only a split by weight rests on the coefficients.
        estimated=_weighed(facts, row) and (not facts.coefficients.calibrated or who in facts.lost),
        created_us=facts.created_us,
        created_by=facts.created_by,
    )


def _weighed(facts: Facts, row: Row) -> bool:
    return row.part == "use" or (row.part == "idle" and facts.pool.idle == "used_share")


def entry_id(facts: Facts, row: Row, revision: int) -> str:
    """Return the id of a row's entry: the same row of the same hour is booked once per revision."""
    who = row.who
    told = encode({"tenant": facts.tenant, **asdict(who)})
    return f"{facts.origin}:{revision}:{row.part}:{hashlib.sha256(told).hexdigest()[:20]}"


def read_id(entry_id_: str) -> tuple[str, int, Part] | None:
    """Return (pool, hour in µs, part) of an entry's id, or None if it is no GPU entry's."""
    head, _, rest = entry_id_.partition(":")
    parts = rest.rsplit(":", 4)
    if head != "gpu" or len(parts) != 5 or not parts[1].isdigit():
        return None
    known: dict[str, Part] = {"use": "use", "idle": "idle", "unallocated": "unallocated"}
    part = known.get(parts[3])
    return None if part is None else (parts[0], int(parts[1]), part)


def _reason(facts: Facts, row: Row) -> str:
    hour = datetime.fromtimestamp(facts.start_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    c = facts.coefficients
    known = f"calibrated {c.measured}" if c.calibrated else "uncalibrated: shipped default coefficients"
    by = "reserved share" if facts.pool.idle == "reserved_share" else f"used share ({known})"
    says = {
        "use": f"GPU time of pool `{facts.pool.id}` in the hour of {hour}, split by {METHOD} ({known})",
        "idle": f"idle GPU time of pool `{facts.pool.id}` in the hour of {hour}, by {by}",
        "unallocated": f"idle GPU time of pool `{facts.pool.id}` in the hour of {hour}; nobody used it",
    }[row.part]
    return f"{facts.why}: {says}" if facts.why else says


def summed(booked: Iterable[Entry]) -> dict[Row, Amount]:
    """Return what is booked for an hour by row: its entries and their corrections together."""
    found: dict[Row, Amount] = {}
    for entry in booked:
        read = read_id(entry.id)
        if read is None:
            continue
        who = Who(
            team=entry.team,
            app=entry.app,
            cost_centre=entry.cost_centre or "",
            alias=entry.alias,
            deployment=entry.deployment,
        )
        row = Row(part=read[2], who=who)
        had = found.get(row, NOTHING)
        found[row] = Amount(
            micro=had.micro + entry.quantity,
            nano=had.nano + entry.nano,
            spend_nano=had.spend_nano + entry.spend_nano,
            ppb=had.ppb + entry.ratio_ppb,
        )
    return found


def gpu_hours(micro: int) -> Decimal:
    """Return micro-GPU-seconds as GPU-hours, to six decimals."""
    return (Decimal(micro) / HOUR_US).quantize(Decimal("0.000001"))
