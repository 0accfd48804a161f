"""The vendors' bills of a month beside the ledger: matched, split by cause, with what is still to decide.

One answer for the report, the command line and the API, read in one transaction.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from sqlalchemy import Connection

from gateway.adapters.store_sql import our_hours
from gateway.adapters.store_sql import vendor_costs as rows
from gateway.adapters.store_sql.our_hours import MeterHour, Span
from gateway.adapters.store_sql.vendor_costs import Decision, Import, StoredLine
from gateway.adapters.vendor_costs.deciding import Case
from gateway.core.bill import Billing, Kind, ModelNames
from gateway.core.cut_off import DAY_US, HOUR_US
from gateway.core.entries import Entry
from gateway.core.errors import Refusal
from gateway.core.prices import convert
from gateway.core.reconcile import Adjusted, Billed, Cell, Reconciled, reconcile
from gateway.core.snapshot import Snapshot
from gateway.core.variance import BENIGN, Hour, Part
from gateway.reports.period import Month, month

_KINDS: Mapping[str, Kind] = {
    "usage": "usage",
    "fee": "fee",
    "tax": "tax",
    "credit": "credit",
    "discount": "discount",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One cell whose gap needs a decision, or had one."""

    id: str
    vendor: str
    currency: str
    cell: Cell
    status: str  # open | accepted | adjusted | open again
    decision: Decision | None

    @property
    def main(self) -> Part:
        """The part that weighs most among those that need a decision."""
        return max((p for p in self.cell.parts if p.cause not in BENIGN), key=lambda part: abs(part.nano))

    @property
    def booked_nano(self) -> int:
        """What adjustments took off it already."""
        return _booked(self.cell)

    @property
    def left_nano(self) -> int:
        """What booking it would book: the bill's difference less what was booked before."""
        return self.cell.open_nano - self.booked_nano


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorBill:
    """One vendor's bill of a month in one currency, against the ledger."""

    vendor: str
    currency: str
    imports: tuple[Import, ...]
    found: Reconciled
    differences: tuple[Difference, ...]
    model_names: Mapping[str, tuple[str, ...]]  # our key → the model ids of ours that it means
    unconverted: int  # our nano-units in a currency without a rate to the bill's

    @property
    def open(self) -> tuple[Difference, ...]:
        """The differences that nobody decided yet."""
        return tuple(one for one in self.differences if one.status.startswith("open"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bills:
    """All bills of a month. ``without``: (vendor, currency, nano) of the ledger that no bill is there for."""

    period: Month
    bills: tuple[VendorBill, ...]
    without: tuple[tuple[str, str, int], ...]


def bills(connection: Connection, snapshot: Snapshot, month_name: str) -> Bills:
    """Match every vendor's bill of a month. Raises ValueError on another form of month."""
    period = month(month_name, snapshot.timezone)
    everything = rows.active(rows.imports(connection, snapshot.tenant))
    decided = rows.decisions(connection, tenant=snapshot.tenant, month=month_name)
    stored: dict[str, list[StoredLine]] = defaultdict(list)
    for line in rows.lines(
        connection, tenant=snapshot.tenant, month=month_name, import_ids=[one.id for one in everything]
    ):
        stored[line.vendor].append(line)
    found: list[VendorBill] = []
    for vendor in sorted(stored):
        own = [one for one in everything if one.vendor == vendor]
        found += _vendor(
            connection, snapshot, period, vendor=vendor, stored=stored[vendor], imports=own, decided=decided
        )
    billed = {bill.vendor for bill in found}
    return Bills(
        period=period,
        bills=tuple(found),
        without=tuple(
            (vendor, currency, nano)
            for vendor, currency, nano in our_hours.spenders(
                connection,
                tenant=snapshot.tenant,
                start_us=period.start_us,
                end_us=period.end_us,
                currency=snapshot.currency,
            )
            if vendor not in billed
        ),
    )


def _vendor(
    connection: Connection,
    snapshot: Snapshot,
    period: Month,
    *,
    vendor: str,
    stored: Sequence[StoredLine],
    imports: Sequence[Import],
    decided: Mapping[str, Decision],
) -> list[VendorBill]:
    declared = snapshot.billing.get(vendor, Billing(vendor=vendor))
    covered = _covered(period.name, stored, imports)
    reach = (min(period.start_us, covered[0]) - DAY_US, max(period.end_us, covered[1]) + DAY_US)
    span = Span(tenant=snapshot.tenant, vendor=vendor, start_us=reach[0], end_us=reach[1])
    # Days of Kolkata begin within an hour of UTC.
    ragged = {line.start_us for line in stored if line.start_us % HOUR_US}
    ours = our_hours.hours(connection, span, cuts=(period.start_us, period.end_us, *covered, *ragged))
    booked = our_hours.booked(connection, span)
    names = _names(snapshot, our_hours.reported(connection, span), declared)
    charged = tuple(sorted({line.currency for line in stored if line.currency}))
    main = _main(stored, charged, [hour.currency for hour in ours if hour.currency], snapshot.currency)
    made: list[VendorBill] = []
    for currency in charged or (main,):
        scope = _Scope(snapshot, period, names, currency, main, charged)
        hours, lost = _hours(scope, ours)
        priced = {hour.currency for hour in ours if hour.currency and scope.holds(hour.currency)}
        lines = [line for line in stored if (line.currency or main) == currency]
        result = reconcile(
            _billed(scope, lines, imports, priced),
            hours,
            period=(period.start_us, period.end_us),
            covered=covered,
            currencies_differ=bool(priced - {currency}),
            adjusted=_adjusted(scope, booked),
            our_models=frozenset(names.models),
        )
        used = {line.import_id for line in lines}
        made.append(
            VendorBill(
                vendor=vendor,
                currency=currency,
                imports=tuple(one for one in imports if one.id in used),
                found=result,
                differences=_differences(result, currency, declared, decided),
                model_names=names.models,
                unconverted=lost,
            )
        )
    return made


# ------------------------------------------------------------------------ names


class _Names:
    """Our models of a vendor by key, and the key of whatever name a bill or a row gives."""

    def __init__(self, pairs: Iterable[tuple[str, str]], known: Iterable[str], declared: Billing) -> None:
        used = sorted(pairs)
        self._names = ModelNames([*used, *((name,) for name in known)], declared.models)
        models: dict[str, list[str]] = defaultdict(list)
        for name in dict.fromkeys([*(model for model, _ in used), *known]):
            models[self.key(name)].append(name)
        self.models = {key: tuple(ids) for key, ids in models.items()}

    def key(self, name: str) -> str:
        return self._names.key(name) or name


def _names(snapshot: Snapshot, reported: Iterable[tuple[str, str]], declared: Billing) -> _Names:
    known = sorted(
        connection.model
        for name, connection in snapshot.connections.items()
        if (deployment := snapshot.deployments.get(name)) is not None and deployment.vendor == declared.vendor
    )
    return _Names(reported, known, declared)


# ------------------------------------------------------------------- currencies


def _main(stored: Iterable[StoredLine], charged: Sequence[str], priced: Sequence[str], home: str) -> str:
    """Return where what has no bill of its own currency is compared: the largest bill, else our price's."""
    if charged:
        sums: dict[str, int] = defaultdict(int)
        for line in stored:
            sums[line.currency] += abs(line.nano or 0)
        return max(charged, key=lambda name: (sums[name], name))
    return max(sorted(set(priced)), key=priced.count, default=home)


@dataclass(frozen=True, slots=True)
class _Scope:
    """One bill's currency, and what of ours is compared with it."""

    snapshot: Snapshot
    period: Month
    names: _Names
    currency: str
    main: str
    charged: tuple[str, ...]

    def holds(self, own: str | None) -> bool:
        """Whether what we hold in a currency is compared here: with a bill in it, else with the main one."""
        return (own if own in self.charged else self.main) == self.currency

    def converted(self, nano: int, base: str, at_us: int) -> int | None:
        """Return an amount in the bill's currency at our rate, None where no rate is fixed."""
        start = self.period.start_us * 1000
        found = convert(
            self.snapshot, nano, base, self.currency, at=at_us * 1000, ceiling=False, window=start
        )
        return None if isinstance(found, Refusal) else found


def _hours(scope: _Scope, ours: Iterable[MeterHour]) -> tuple[list[Hour], int]:
    found: list[Hour] = []
    lost = 0
    for hour in ours:
        if not scope.holds(hour.currency):
            continue
        nano = scope.converted(hour.nano, hour.currency or scope.currency, hour.start_us)
        if nano is None:
            lost += hour.nano
            continue
        found.append(
            Hour(
                start_us=hour.start_us,
                model=scope.names.key(hour.model),
                meter=hour.meter,
                quantity=hour.quantity,
                nano=nano,
                rows=hour.rows,
                estimated_quantity=hour.quantity if hour.estimated else 0,
                estimated_nano=nano if hour.estimated else 0,
            )
        )
    return found, lost


def _adjusted(scope: _Scope, booked: Iterable[Entry]) -> list[Adjusted]:
    return [
        Adjusted(
            start_us=entry.start_us,
            model=scope.names.key(entry.model),
            nano=scope.converted(entry.nano, entry.currency, entry.start_us) or 0,
            reserved=entry.kind in {"reserved", "gpu"},
        )
        for entry in booked
        if scope.holds(entry.currency)
    ]


# ------------------------------------------------------------------- the bill's side


def _covered(name: str, stored: Sequence[StoredLine], imports: Sequence[Import]) -> tuple[int, int]:
    """Return the time that a month's bill is about: what its files cover, within the month of the vendor."""
    year, number = int(name[:4]), int(name[5:])
    first = _us(datetime(year, number, 1, tzinfo=UTC))
    last = _us(datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC))
    usage = [line for line in stored if line.kind == "usage"] or list(stored)
    # Days of another zone begin and end beside UTC's.
    first = min(first, *(line.start_us for line in usage))
    last = max(last, *(line.end_us for line in usage))
    used = {line.import_id for line in stored}
    reach = [one for one in imports if one.id in used]
    start = max(first, min((one.covers_start_us for one in reach), default=first))
    return start, min(last, max((one.covers_end_us for one in reach), default=last))


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _billed(
    scope: _Scope, lines: Iterable[StoredLine], imports: Iterable[Import], priced: set[str]
) -> list[Billed]:
    steps = {one.id: 10 ** max(0, 9 - one.places) for one in imports}
    ours = next(iter(priced)) if len(priced) == 1 else None
    found: list[Billed] = []
    for line in lines:
        at_our_rate = None
        if line.pricing_nano is not None and ours is not None and line.pricing_currency == ours:
            at_our_rate = scope.converted(line.pricing_nano, ours, line.start_us)
        found.append(
            Billed(
                start_us=line.start_us,
                end_us=line.end_us,
                model=scope.names.key(line.model) if line.model else "",
                meter=line.meter,
                kind=_KINDS[line.kind],
                quantity=None if line.quantity is None else Fraction(line.quantity),
                nano=line.nano,
                ref=line.ref,
                step_nano=steps.get(line.import_id, 1),
                priced_nano=at_our_rate,
            )
        )
    return found


# ------------------------------------------------------------------- what is to decide


def _differences(
    found: Reconciled, currency: str, declared: Billing, decided: Mapping[str, Decision]
) -> tuple[Difference, ...]:
    made: list[Difference] = []
    vendor = declared.vendor
    for cell in found.cells:
        name = exception_id(vendor, currency, cell)
        decision = decided.get(name)
        scale = abs(cell.theirs_nano or cell.ours_nano)
        left = cell.open_nano - _booked(cell)
        if decision is None:
            if not _is_open(abs(left), scale, declared):
                continue
            status = "open"
        elif not cell.open_nano:
            continue
        else:
            # What was accepted stands as it was; what was adjusted, up to what was booked.
            drift = left if decision.action == "adjust" else cell.open_nano - decision.open_nano
            done = "adjusted" if decision.action == "adjust" else "accepted"
            status = "open again" if _is_open(abs(drift), scale, declared) else done
        made.append(
            Difference(id=name, vendor=vendor, currency=currency, cell=cell, status=status, decision=decision)
        )
    return tuple(made)


def _booked(cell: Cell) -> int:
    return -sum(part.nano for part in cell.parts if part.cause == "adjusted")


_CENT = 10_000_000


def _is_open(size: int, bill: int, declared: Billing) -> bool:
    """Whether a difference needs a decision: above the amount, or above the share and a cent at least."""
    return size > declared.amount_nano or (size >= _CENT and size * 1_000_000 > bill * declared.percent_ppm)


def exception_id(vendor: str, currency: str, cell: Cell) -> str:
    """Return the name of a cell's exception: the same as long as it is about the same day and model."""
    key = "\0".join((vendor, currency, str(cell.start_us), str(cell.end_us), cell.model))
    return f"x{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def case_of(snapshot: Snapshot, found: Bills, one: Difference, *, booking: bool) -> Case:
    """Return an exception as it is decided. Raises ValueError where booking it lacks an exchange rate."""
    bill = next(b for b in found.bills if (b.vendor, b.currency) == (one.vendor, one.currency))
    spend = convert(
        snapshot,
        one.left_nano,
        one.currency,
        snapshot.currency,
        at=one.cell.start_us * 1000,
        ceiling=False,
        window=found.period.start_us * 1000,
    )
    if isinstance(spend, Refusal) and booking:
        raise ValueError(
            f"no exchange rate from {one.currency} to {snapshot.currency} is fixed for {found.period.name}; "
            "add it to prices/fx.yaml"
        )
    return Case(
        exception=one.id,
        tenant=snapshot.tenant,
        vendor=one.vendor,
        month=found.period.name,
        start_us=one.cell.start_us,
        end_us=one.cell.end_us,
        model=one.cell.model,
        models=bill.model_names.get(one.cell.model, ()),
        currency=one.currency,
        open_nano=one.cell.open_nano,
        booked_nano=one.booked_nano,
        estimate_nano=sum(part.nano for part in one.cell.parts if part.cause == "estimate"),
        cause=one.main.cause.replace("_", " "),
        spend_currency=snapshot.currency,
        spend_nano=0 if isinstance(spend, Refusal) else spend,
    )


def chosen(
    found: Bills, ids: Sequence[str], *, vendor: str | None = None, cause: str | None = None
) -> list[Difference]:
    """Return the open exceptions of these ids, or all of a vendor and a main cause. Raises ValueError."""
    open_ones = [one for bill in found.bills for one in bill.open]
    if ids:
        known = {one.id: one for one in open_ones}
        unknown = next((name for name in ids if name not in known), None)
        if unknown is not None:
            raise ValueError(f"`{unknown}` is no open exception of {found.period.name}")
        return [known[name] for name in dict.fromkeys(ids)]
    picked = [
        one
        for one in open_ones
        if (vendor is None or one.vendor == vendor) and (cause is None or one.main.cause == cause)
    ]
    if not picked:
        raise ValueError(f"no open exception of {found.period.name} is such")
    return picked
