"""The chargeback statement: cost centre → team → app → model, and general-ledger lines ready to post.

A closed month is shown as it was frozen, whatever the policies say today; an open one as it stands.
``list`` and ``contracted`` are what the calls cost by the call, before and after the contract's
discounts. ``effective`` is what they cost: shares of capacity and GPUs that are paid by time, and what
of those idles, included. ``billed`` is what others invoice: it leaves out own hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import cast

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import corrections
from gateway.adapters.store_sql.books import Statement
from gateway.adapters.store_sql.reports import spend
from gateway.core.books import BY_TIME, Amounts, Group
from gateway.core.gl import UNALLOCATED, Posting, postings
from gateway.core.money import present
from gateway.core.snapshot import Snapshot
from gateway.reports.closing import standing, window
from gateway.reports.document import Cell, Column, Document, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import minute_of, month, month_of
from gateway.reports.statements import groups_of, rates_of

OWN = "self"
"""The vendor of own hardware: nobody sends an invoice for it."""

_BY = ("cost_centre", "team", "app", "model", "vendor", "charge_kind")

Figures = Mapping[Group, Amounts]


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the statement of a month. Raises ValueError."""
    month(asked.month, snapshot.timezone)
    if asked.by:
        raise ValueError("a chargeback statement is always by cost centre, team, app and model; omit --by")

    def work(connection: Connection) -> Document:
        return _document(connection, snapshot, asked)

    return work


def _document(connection: Connection, snapshot: Snapshot, asked: Asked) -> Document:
    here = standing(connection, snapshot, asked.month, now=asked.now, journals=None)
    first = orjson.loads(here.statements[0].statement) if here.statements else None
    if first is not None:
        figures, currency = groups_of(first), str(first["currency"])
        lines = _frozen(first)
        rates = cast("list[dict[str, str]]", first["rates"])
    else:
        figures, currency = _open(connection, snapshot, asked.month), snapshot.currency
        on = minute_of((here.end_us - 1) * 1000, snapshot.timezone)[:10]
        lines = postings(figures, snapshot.books.accounts, on=on)
        natives = sorted({group.currency for group in figures if group.currency})
        rates = rates_of(snapshot, here.start_us, here.end_us, natives)
    notes = [] if rates or {g.currency for g in figures} <= {"", currency} else ["no exchange rate is known"]
    if any(not line.account for line in lines):
        notes.append(
            "lines without an account are not ready to post: map them under `books.gl` in teams.yaml"
        )
    if here.later:
        notes.append(f"entries about this month, booked after it was closed: {here.later}; restate it")
    return Document(
        report="chargeback",
        title="Chargeback statement",
        organisation=snapshot.tenant,
        period=asked.month,
        timezone=snapshot.timezone,
        status=here.status,
        as_of=minute_of(asked.now, snapshot.timezone),
        currency=currency,
        facts=(
            ("tax", "excluded"),
            *_closing(first, here.statements, snapshot),
            *(("exchange", f"{r['pair']} {r['rate']} fixed {r['fixed']}, {r['source']}") for r in rates),
        ),
        sections=(
            _charges(figures, currency, rates),
            _gl(lines, currency),
            _corrections(connection, snapshot, asked.month, here.start_us, currency),
        ),
        notes=tuple(notes),
    )


def _open(connection: Connection, snapshot: Snapshot, name: str) -> dict[Group, Amounts]:
    start_us, end_us = window(connection, snapshot, name)
    found: dict[Group, Amounts] = {}
    for sums in spend(
        connection,
        tenant=snapshot.tenant,
        start_us=start_us,
        end_us=end_us,
        by=_BY,
        currency=snapshot.currency,
        billing=name,
    ):
        centre, team, app, model, vendor, kind = (value or "" for value in sums.group)
        group = Group(centre, team, app, model, vendor, kind, "period", sums.currency or "")
        by_time = kind in BY_TIME
        more = Amounts(
            rows=sums.attempts + sums.entries,
            price_nano=sums.nano,
            list_nano=0 if by_time else sums.list_nano,
            contracted_nano=0 if by_time else sums.contracted_nano,
            nano=sums.spend_nano,
            estimated_nano=sums.estimated_nano,
        )
        found[group] = found.get(group, Amounts()).plus(more)
    return found


# ------------------------------------------------------------------------------ sections


def _charges(figures: Figures, currency: str, rates: Sequence[Mapping[str, str]]) -> Section:
    factors = _factors(figures, currency, rates)
    lines: dict[tuple[str, str, str, str], list[int]] = {}
    for group, amounts in figures.items():
        idle = group.kind in BY_TIME and not group.team
        model = f"{'GPU' if group.kind == 'gpu' else 'reserved'} idle: {group.model}" if idle else group.model
        key = (group.cost_centre or UNALLOCATED, group.team or "–", group.app or "–", model or "–")
        factor = factors.get(group.currency, Fraction(0))
        line = lines.setdefault(key, [0] * 6)
        for index, nano in enumerate(
            (
                amounts.rows,
                _half_even(amounts.list_nano * factor),
                _half_even(amounts.contracted_nano * factor),
                amounts.nano,
                0 if group.vendor == OWN else amounts.nano,
                amounts.estimated_nano,
            )
        ):
            line[index] += nano
    # What belongs to nobody comes last, in every level.
    keys = sorted(lines, key=lambda key: tuple((part in {UNALLOCATED, "–"}, part) for part in key))
    shown = [present([lines[key][index] for key in keys]) for index in range(1, 6)]
    rows: list[tuple[Cell, ...]] = [
        (*key, lines[key][0], *(column[number] for column in shown)) for number, key in enumerate(keys)
    ]
    return Section(
        name="chargeback",
        title="Charges",
        columns=(
            Column(name="cost_centre", title="Cost centre", kind="text"),
            Column(name="team", title="Team", kind="text"),
            Column(name="app", title="App", kind="text"),
            Column(name="model", title="Model", kind="text"),
            Column(name="rows", title="Rows", kind="count"),
            *(
                Column(name=name, title=name.capitalize(), kind="money", currency=currency)
                for name in ("list", "contracted", "effective", "billed", "estimated")
            ),
        ),
        rows=tuple(rows),
        total=("TOTAL", None, None, None, *_sums(rows, 4, 10)),
        notes=(
            "rows: attempts and entries; list and contracted: by the call",
            "effective: with shares of capacity and idle time; billed: without own hardware",
            "estimated: within effective",
        ),
    )


def _factors(figures: Figures, currency: str, rates: Sequence[Mapping[str, str]]) -> dict[str, Fraction]:
    """Return what one unit of each price's currency was in the period: as it was booked, on average.

    Where nothing was billed in it, the last rate that is fixed.
    """
    priced: dict[str, int] = {}
    spent: dict[str, int] = {}
    for group, amounts in figures.items():
        priced[group.currency] = priced.get(group.currency, 0) + amounts.price_nano
        spent[group.currency] = spent.get(group.currency, 0) + amounts.nano
    found: dict[str, Fraction] = {}
    for name, nano in priced.items():
        fixed = [Fraction(rate["rate"]) for rate in rates if rate["pair"] == f"{name}/{currency}"]
        if name == currency:
            found[name] = Fraction(1)
        elif nano > 0 and spent[name] > 0:
            found[name] = Fraction(spent[name], nano)
        elif fixed:
            found[name] = fixed[-1]
    return found


def _half_even(value: Fraction) -> int:
    return round(value)  # Python rounds a fraction half to even, exactly


def _gl(lines: Sequence[Posting], currency: str) -> Section:
    zero = Decimal("0.00")
    rows: list[tuple[Cell, ...]] = [
        (
            line.account or "no account",
            line.cost_centre or (UNALLOCATED if not line.vendor else "–"),
            line.vendor or "–",
            line.amount if line.side == "debit" else zero,
            line.amount if line.side == "credit" else zero,
        )
        for line in lines
    ]
    return Section(
        name="gl",
        title="General-ledger lines",
        columns=(
            Column(name="account", title="Account", kind="text"),
            Column(name="cost_centre", title="Cost centre", kind="text"),
            Column(name="vendor", title="Vendor", kind="text"),
            Column(name="debit", title="Debit", kind="money", currency=currency),
            Column(name="credit", title="Credit", kind="money", currency=currency),
        ),
        rows=tuple(rows),
        total=("TOTAL", None, None, *_sums(rows, 3, 5)),
        notes=("debits equal credits; a credit note stands on the other side",),
    )


def _frozen(statement: Mapping[str, object]) -> tuple[Posting, ...]:
    return tuple(
        Posting(
            side="debit" if line["side"] == "debit" else "credit",
            account=line["account"],
            cost_centre=line["cost_centre"],
            vendor=line["vendor"],
            nano=int(line["nano"]),
            amount=Decimal(line["amount"]),
        )
        for line in cast("list[dict[str, str]]", statement["gl"])
    )


def _corrections(
    connection: Connection, snapshot: Snapshot, name: str, start_us: int, currency: str
) -> Section:
    found = corrections.earlier(
        connection, tenant=snapshot.tenant, period=name, start_us=start_us, currency=currency
    )
    groups: dict[tuple[str, str, str, str, str], tuple[int, int]] = {}
    for item in found:
        of = month_of(item.start_us * 1000, snapshot.timezone)
        key = (of, item.kind, item.cost_centre or UNALLOCATED, item.team or "–", item.reason)
        count, nano = groups.get(key, (0, 0))
        groups[key] = (count + 1, nano + item.nano)
    keys = sorted(groups)
    shown = present([groups[key][1] for key in keys])
    rows: list[tuple[Cell, ...]] = [
        (*key, groups[key][0], amount) for key, amount in zip(keys, shown, strict=True)
    ]
    return Section(
        name="corrections",
        title="Corrections to earlier months",
        columns=(
            Column(name="charge_period", title="Month", kind="text"),
            Column(name="kind", title="Kind", kind="text"),
            Column(name="cost_centre", title="Cost centre", kind="text"),
            Column(name="team", title="Team", kind="text"),
            Column(name="reason", title="Reason", kind="text"),
            Column(name="rows", title="Rows", kind="count"),
            Column(name="amount", title="Amount", kind="money", currency=currency),
        ),
        rows=tuple(rows),
        total=("TOTAL", None, None, None, None, *_sums(rows, 5, 7)),
        notes=("included in the charges above; the earlier months stand as they were closed",),
    )


def _sums(rows: Sequence[tuple[Cell, ...]], first: int, width: int) -> tuple[Cell, ...]:
    return tuple(sum(cast("Decimal", row[index]) for row in rows) for index in range(first, width))


# --------------------------------------------------------------------------------- facts


def _closing(
    first: Mapping[str, object] | None, statements: Sequence[Statement], snapshot: Snapshot
) -> Iterable[tuple[str, str]]:
    """Yield what an auditor asks first: which statement, by whom, over which rows, at which prices."""
    if first is None:
        yield "prices", snapshot.prices_hash
        yield "policy", f"{snapshot.policy_name} v{snapshot.policy_version} ({snapshot.hash[:12]})"
        return
    policy = cast("dict[str, object]", first["policy"])
    counts = cast("dict[str, int]", first["rows"])
    yield "sha256", str(first["sha256"])
    yield (
        "rows",
        f"{counts['ledger']} attempts ({counts['late']} late), {counts['ledger_entries']} entries",
    )
    yield "prices", str(policy["prices"])
    yield "policy", f"{policy['name']} v{policy['version']} ({str(policy['hash'])[:12]})"
    closed = minute_of(int(str(first["closed_us"])) * 1000, str(first["timezone"]))
    asked = f", asked for by {first['asked_by']}" if first["asked_by"] else ""
    yield "closed", f"{closed} by {first['closed_by']}{asked}"
    if first["reason"]:
        yield "forced", str(first["reason"])
    for statement in statements:
        yield f"v{statement.version} signed by", statement.signer or "nobody"
    if len(statements) > 1:
        last = orjson.loads(statements[-1].statement)
        nano = present([int(last["closed_nano"]), int(last["corrections_nano"])])
        yield (
            f"restated v{last['version']}",
            f"{nano[0]} as closed, {nano[1]} booked since: {sum(nano)} ({last['reason']})",
        )
