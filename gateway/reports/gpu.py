"""The GPU report: what own hardware cost, who used it, what a token of it costs beside the vendors'.

Built from the closed hours of the pools and their entries; a correction counts in the month that it is
about. All money is in the organisation's currency, tax excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from sqlalchemy import Connection

from gateway.adapters.store_sql import gpu as sql
from gateway.adapters.store_sql.reports import Sums, spend
from gateway.core.entries import Entry
from gateway.core.errors import Refusal
from gateway.core.gpu_books import gpu_hours, read_id
from gateway.core.gpu_pools import HOUR_US, Pool
from gateway.core.money import NANO, decimal_of, present
from gateway.core.prices import charge, convert
from gateway.core.snapshot import Snapshot
from gateway.core.values import Usage
from gateway.reports.closing import standing
from gateway.reports.document import Cell, Chart, Column, Document, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import Month, minute_of, month

PARTS = ("use", "idle", "unallocated")
_MILLION = 1_000_000
_POINTS = 11


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the GPU report of a month. Raises ValueError."""
    period = month(asked.month, snapshot.timezone)
    if asked.by:
        raise ValueError("the GPU report is always by pool and team; omit --by")
    if not snapshot.pools:
        raise ValueError("no GPU pools are declared; add pools.yaml, see docs/how-to/finance/gpu.md")

    def work(connection: Connection) -> Document:
        return _document(connection, snapshot, asked, period)

    return work


@dataclass(slots=True, kw_only=True)
class _Sum:
    """Time and money of some rows."""

    micro: int = 0
    nano: int = 0
    estimated: int = 0  # nano

    def add(self, entry: Entry) -> None:
        self.micro += entry.quantity
        self.nano += entry.spend_nano
        if entry.estimated:
            self.estimated += entry.spend_nano


@dataclass(slots=True, kw_only=True)
class _Read:
    """A month as read."""

    hours: list[sql.Hour]
    parts: dict[tuple[str, str], _Sum] = field(default_factory=dict[tuple[str, str], _Sum])  # (pool, part)
    teams: dict[tuple[str, str, str], dict[str, _Sum]] = field(
        default_factory=dict[tuple[str, str, str], dict[str, _Sum]]
    )  # (pool, team, cost centre) → part
    corrections: int = 0


def _document(connection: Connection, snapshot: Snapshot, asked: Asked, period: Month) -> Document:
    here = standing(connection, snapshot, asked.month, now=asked.now, journals=None)
    read = _read(connection, snapshot, period)
    tokens = {sums.group[0] or "": sums for sums in _by_deployment(connection, snapshot, period)}
    names = sorted({hour.pool for hour in read.hours} | set(snapshot.pools))
    uncalibrated = sorted({hour.pool for hour in read.hours if not hour.calibrated})
    notes = ["tax excluded; hours are of UTC, and an hour counts in the month that it begins in"]
    if uncalibrated:
        notes.append(
            f"not calibrated in at least one hour: {', '.join(uncalibrated)}; the split over teams is an "
            "estimate there, the sums are exact"
        )
    if read.corrections:
        notes.append(f"{read.corrections} corrections of closed hours are included")
    return Document(
        report="gpu",
        title="GPU pools",
        organisation=snapshot.tenant,
        period=asked.month,
        timezone=snapshot.timezone,
        status=here.status,
        as_of=minute_of(asked.now, snapshot.timezone),
        currency=snapshot.currency,
        facts=_facts(snapshot, read, names),
        sections=(
            _pools(snapshot, read, names),
            _teams(snapshot, read),
            _unit_costs(snapshot, read, tokens, names),
            *_break_even(snapshot, read, tokens, period, asked.now),
        ),
        notes=tuple(notes),
    )


def _read(connection: Connection, snapshot: Snapshot, period: Month) -> _Read:
    read = _Read(
        hours=sql.hours(connection, tenant=snapshot.tenant, start_us=period.start_us, end_us=period.end_us)
    )
    for entry in sql.entries_between(
        connection, tenant=snapshot.tenant, start_us=period.start_us, end_us=period.end_us
    ):
        known = read_id(entry.id)
        if known is None:
            continue
        pool, _, part = known
        read.corrections += entry.kind == "correction"
        read.parts.setdefault((pool, part), _Sum()).add(entry)
        who = (pool, entry.team, entry.cost_centre or "")
        read.teams.setdefault(who, {}).setdefault(part, _Sum()).add(entry)
    return read


def _by_deployment(connection: Connection, snapshot: Snapshot, period: Month) -> Sequence[Sums]:
    found = spend(
        connection,
        tenant=snapshot.tenant,
        start_us=period.start_us,
        end_us=period.end_us,
        by=("deployment",),
        currency=snapshot.currency,
        where={"charge_kind": "usage"},
    )
    merged: dict[str, Sums] = {}
    for sums in found:
        name = sums.group[0] or ""
        had = merged.get(name)
        merged[name] = sums if had is None else _together(had, sums)
    return list(merged.values())


def _together(a: Sums, b: Sums) -> Sums:
    return Sums(
        group=a.group,
        currency=None,
        calls=a.calls + b.calls,
        tokens_in=a.tokens_in + b.tokens_in,
        tokens_out=a.tokens_out + b.tokens_out,
        spend_nano=a.spend_nano + b.spend_nano,
    )


def _facts(snapshot: Snapshot, read: _Read, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    facts = [
        ("method", ", ".join(sorted({hour.method for hour in read.hours})) or "no hour is closed yet"),
        ("hours closed", str(len(read.hours))),
        ("prices", snapshot.prices_hash),
    ]
    for name in names:
        pool = snapshot.pools.get(name)
        if pool is None:
            facts.append((f"pool {name}", "no longer declared"))
            continue
        c = pool.coefficients
        known = f"calibrated {c.measured} ({c.source})" if c.calibrated else "shipped defaults, uncalibrated"
        facts.append((f"pool {name}", f"{pool.engine} in {pool.region}; {known}; idle: {pool.idle}"))
    return tuple(facts)


# -------------------------------------------------------------------- sections


def _money(name: str, title: str, snapshot: Snapshot, *, summed: bool = True) -> Column:
    return Column(name=name, title=title, kind="money", currency=snapshot.currency, summed=summed)


def _quantity(name: str, title: str) -> Column:
    return Column(name=name, title=title, kind="quantity", summed=False)


def _pools(snapshot: Snapshot, read: _Read, names: Sequence[str]) -> Section:
    cells = [(name, part) for name in names for part in PARTS]
    sums = {cell: read.parts.get(cell, _Sum()) for cell in cells}
    cents = dict(zip(cells, present([sums[cell].nano for cell in cells]), strict=True))
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        used, idle, left = (sums[name, part].micro for part in PARTS)
        rows.append(
            (
                name,
                *(gpu_hours(micro) for micro in (used + idle + left, used, idle, left)),
                _percent(used, used + idle + left),
                *(cents[name, part] for part in PARTS),
                sum((cents[name, part] for part in PARTS), Decimal(0)),
            )
        )
    whole = [sum(sums[name, part].micro for name in names) for part in PARTS]
    total: tuple[Cell, ...] = (
        "TOTAL",
        *(gpu_hours(micro) for micro in (sum(whole), *whole)),
        _percent(whole[0], sum(whole)),
        *(_sum(rows, place) for place in range(6, 10)),
    )
    return Section(
        name="pools",
        title="Pools",
        columns=(
            Column(name="pool", title="pool", kind="text"),
            _quantity("billed_hours", "GPU-hours"),
            _quantity("used_hours", "used"),
            _quantity("idle_hours", "idle, borne"),
            _quantity("unallocated_hours", "unallocated"),
            Column(name="used_percent", title="used %", kind="percent", summed=False),
            _money("used", "cost of use", snapshot),
            _money("idle", "cost of idle, borne", snapshot),
            _money("unallocated", "cost unallocated", snapshot),
            _money("spend", "cost", snapshot),
        ),
        rows=tuple(rows),
        total=total,
        notes=("idle, borne: laid on teams by the pool's rule; unallocated: nobody's",),
    )


def _teams(snapshot: Snapshot, read: _Read) -> Section:
    whos = sorted(read.teams, key=lambda who: (who[0], not who[1], who[1], who[2]))
    money = [sum(part.nano for part in read.teams[who].values()) for who in whos]
    estimated = [sum(part.estimated for part in read.teams[who].values()) for who in whos]
    rows: list[tuple[Cell, ...]] = []
    of_pool: dict[str, int] = {}
    for who in whos:
        of_pool[who[0]] = of_pool.get(who[0], 0) + sum(part.micro for part in read.teams[who].values())
    for who, cents, unsure in zip(whos, present(money), present(estimated), strict=True):
        parts = read.teams[who]
        used = parts.get("use", _Sum()).micro
        idle = sum(parts.get(part, _Sum()).micro for part in PARTS[1:])
        rows.append(
            (
                who[0],
                who[1] or "unallocated",
                who[2] or None,
                gpu_hours(used),
                gpu_hours(idle),
                _percent(used + idle, of_pool[who[0]]),
                cents,
                unsure,
            )
        )
    return Section(
        name="teams",
        title="Who used it",
        columns=(
            Column(name="pool", title="pool", kind="text"),
            Column(name="team", title="team", kind="text"),
            Column(name="cost_centre", title="cost centre", kind="text"),
            _quantity("used_hours", "GPU-hours used"),
            _quantity("idle_hours", "idle"),
            Column(name="share_percent", title="of the pool %", kind="percent", summed=False),
            _money("spend", "cost", snapshot),
            _money("estimated", "of it estimated", snapshot),
        ),
        rows=tuple(rows),
        total=("TOTAL", None, None, None, None, None, _sum(rows, 6), _sum(rows, 7)),
        chart=Chart(kind="bar", x="team", y=("spend",)),
    )


def _unit_costs(snapshot: Snapshot, read: _Read, tokens: Mapping[str, Sums], names: Sequence[str]) -> Section:
    """Cost per million tokens: own pools with all that they cost, vendors by what they charged."""
    rows: list[tuple[Cell, ...]] = []
    ours = {deployment for pool in snapshot.pools.values() for deployment in pool.deployments}
    own = [(name, snapshot.pools[name]) for name in names if name in snapshot.pools]
    cost = [sum(read.parts.get((name, part), _Sum()).nano for part in PARTS) for name, _ in own]
    vendors = [sums for name, sums in sorted(tokens.items()) if name and name not in ours and _count(sums)]
    shown = present([*cost, *(sums.spend_nano for sums in vendors)])
    for (name, pool), nano, cents in zip(own, cost, shown[: len(own)], strict=True):
        used = [tokens[d] for d in pool.deployments if d in tokens]
        into, out = sum(s.tokens_in for s in used), sum(s.tokens_out for s in used)
        # Before an hour is closed nothing is known of its cost: not even that it is nothing.
        known = any(hour.pool == name for hour in read.hours)
        rows.append(("own", name, into, out, cents, _per_million(nano, into + out) if known else None))
    for sums, cents in zip(vendors, shown[len(own) :], strict=True):
        rows.append(
            (
                "vendor",
                sums.group[0],
                sums.tokens_in,
                sums.tokens_out,
                cents,
                _per_million(sums.spend_nano, _count(sums)),
            )
        )
    return Section(
        name="unit-costs",
        title="Cost per million tokens, own and vendors'",
        columns=(
            Column(name="kind", title="kind", kind="text"),
            Column(name="name", title="pool or deployment", kind="text"),
            Column(name="tokens_in", title="tokens in", kind="count"),
            Column(name="tokens_out", title="tokens out", kind="count"),
            _money("spend", "cost", snapshot),
            _money("per_million", "per million tokens", snapshot, summed=False),
        ),
        rows=tuple(rows),
        notes=(
            "own: everything that the pool cost, idle time included, over all its tokens, cached ones too",
            "vendors: what their calls were booked at; mixes of prompt and answer differ, see break-even",
        ),
        chart=Chart(kind="bar", x="name", y=("per_million",)),
    )


def _break_even(
    snapshot: Snapshot, read: _Read, tokens: Mapping[str, Sums], period: Month, now: int
) -> list[Section]:
    """Own fixed cost of a whole month beside the same tokens at each vendor's price, by volume."""
    made: list[Section] = []
    ours = {deployment for pool in snapshot.pools.values() for deployment in pool.deployments}
    for pool in sorted(snapshot.pools.values(), key=lambda p: p.id):
        used = [tokens[d] for d in pool.deployments if d in tokens]
        into, out = sum(s.tokens_in for s in used), sum(s.tokens_out for s in used)
        fixed = _whole_month(snapshot, pool, period, now)
        if not into + out or not fixed:
            continue
        same: dict[str, int] = {}
        for name, deployment in sorted(snapshot.deployments.items()):
            if name not in ours and "chat" in deployment.uses:
                nano = _at_vendor(snapshot, name, into, out, now)
                if nano:
                    same[name] = nano
        if not same:
            continue
        cheapest = min(same.values())
        micro = read.parts.get((pool.id, "use"), _Sum()).micro
        room = _room(pool, period, now, micro, into + out)
        top = max(Decimal(fixed) * (into + out) / cheapest * 2, Decimal(room or 0)) / _MILLION
        step = (top / (_POINTS - 1)).to_integral_value(ROUND_CEILING) or Decimal(1)
        rows: list[tuple[Cell, ...]] = []
        for point in range(_POINTS):
            millions = step * point
            vendors = [_cents(Decimal(nano) * millions * _MILLION / (into + out)) for nano in same.values()]
            rows.append((int(millions), _cents(Decimal(fixed)), *vendors))
        meets = [
            f"{name}: {Decimal(fixed) * (into + out) / nano / _MILLION:,.1f} million tokens a month"
            for name, nano in same.items()
        ]
        notes = [
            f"own = vendor at {'; '.join(meets)}",
            f"vendors' prices for this month's mix: {into} tokens in, {out} out, none cached",
            f"own: {len(pool.replicas)} replicas declared, paid for the whole month",
        ]
        if room is not None:
            notes.append(
                f"the pool can serve about {room / _MILLION:,.1f} million tokens a month of this mix"
            )
        made.append(
            Section(
                name=f"break-even-{pool.id}",
                title=f"Break-even of {pool.id}",
                columns=(
                    Column(name="millions", title="million tokens a month", kind="count", summed=False),
                    _money("own", "own hardware", snapshot, summed=False),
                    *(_money(f"at_{name}", name, snapshot, summed=False) for name in same),
                ),
                rows=tuple(rows),
                notes=tuple(notes),
                chart=Chart(kind="line", x="millions", y=("own", *(f"at_{name}" for name in same))),
            )
        )
    return made


def _month_micro(pool: Pool, period: Month, now: int) -> int:
    """Return what the replicas that are there now are in a whole month, in micro-GPU-seconds."""
    return pool.replicas_at(now) * pool.gpus * (period.end_us - period.start_us)


def _whole_month(snapshot: Snapshot, pool: Pool, period: Month, now: int) -> int:
    """Return what a whole month costs at the rate in force now, in the organisation's nano-units."""
    rate = pool.rate_at(now)
    if rate is None:
        return 0
    exact = rate.per_gpu_hour * NANO * _month_micro(pool, period, now) / HOUR_US
    nano = int(exact.to_integral_value(ROUND_HALF_EVEN))
    spend_nano = convert(snapshot, nano, rate.currency, snapshot.currency, at=now, ceiling=False)
    return 0 if isinstance(spend_nano, Refusal) else spend_nano


def _at_vendor(snapshot: Snapshot, deployment: str, into: int, out: int, now: int) -> int | None:
    """Return what the tokens would cost at a vendor's price of now, or None where it has none."""
    priced = charge(snapshot, deployment, Usage(input=into, output=out), at=now)
    if isinstance(priced, Refusal):
        return None
    nano = convert(snapshot, priced.nano, priced.currency, snapshot.currency, at=now, ceiling=False)
    return None if isinstance(nano, Refusal) else nano


def _room(pool: Pool, period: Month, now: int, used_micro: int, tokens: int) -> int | None:
    """Return how many tokens a month the pool could serve, were it as busy all the time; at least that."""
    return tokens * _month_micro(pool, period, now) // used_micro if used_micro else None


def _count(sums: Sums) -> int:
    return sums.tokens_in + sums.tokens_out


def _per_million(nano: int, tokens: int) -> Decimal | None:
    return None if not tokens else _places(Decimal(nano) * _MILLION / tokens / NANO)


def _places(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.0001"), ROUND_HALF_EVEN)


def _cents(nano: Decimal) -> Decimal:
    return decimal_of(int(nano.to_integral_value(ROUND_HALF_EVEN))).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _percent(part: int, whole: int) -> Decimal | None:
    return None if not whole else (Decimal(100) * part / whole).quantize(Decimal("0.1"), ROUND_HALF_EVEN)


def _sum(rows: Sequence[tuple[Cell, ...]], place: int) -> Decimal:
    cells = [row[place] for row in rows]
    return sum((cell for cell in cells if isinstance(cell, Decimal)), Decimal(0))
