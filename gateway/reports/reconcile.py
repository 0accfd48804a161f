"""The reconciliation report: per vendor, day and model the bill, ours, the gap and its causes.

INVARIANT: each column sums to its foot, and the causes of a currency sum to the foot of its gap, to the cent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway.core.cut_off import DAY_US, HOUR_US
from gateway.core.money import present
from gateway.core.reconcile import Cell
from gateway.core.snapshot import Snapshot
from gateway.core.variance import CAUSES, Cause, Part
from gateway.reports.bills import Bills, VendorBill, bills
from gateway.reports.closing import standing
from gateway.reports.document import Cell as Shown
from gateway.reports.document import Column, Document, Section
from gateway.reports.kinds import Asked
from gateway.reports.period import minute_of, month

EDGE = "month's end"


def build(snapshot: Snapshot, asked: Asked) -> Callable[[Connection], Document]:
    """Return the work that reads and builds the report. Raises ValueError on another form of month."""
    month(asked.month, snapshot.timezone)
    if asked.by:
        raise ValueError("reconciliation is by vendor, day and model; leave `--by` out")

    def work(connection: Connection) -> Document:
        here = standing(connection, snapshot, asked.month, now=asked.now, journals=None)
        found = bills(connection, snapshot, asked.month)
        return document(snapshot, found, now=asked.now, status=here.status)

    return work


def document(snapshot: Snapshot, found: Bills, *, now: int, status: str) -> Document:
    """Return the report of matched bills."""
    period = found.period
    currencies = sorted({bill.currency for bill in found.bills}) or [snapshot.currency]
    sections: list[Section] = []
    causes: list[Section] = []
    for currency in currencies:
        own = [bill for bill in found.bills if bill.currency == currency]
        table = _table(own, currency, alone=len(currencies) == 1)
        sections.append(table)
        causes.append(_causes(own, currency, table, alone=len(currencies) == 1))
    opened = sum(len(bill.open) for bill in found.bills)
    return Document(
        report="reconcile",
        title="Reconciliation with vendors' bills",
        organisation=snapshot.tenant,
        period=period.name,
        timezone=period.timezone,
        status=status,
        as_of=minute_of(now, period.timezone),
        currency=snapshot.currency,
        facts=(
            ("bills", ", ".join(f"{b.vendor} {b.currency}" for b in found.bills) or "none imported"),
            ("open exceptions", str(opened)),
            ("vendors without a bill", ", ".join(sorted({v for v, _, _ in found.without})) or "none"),
            ("policy", f"{snapshot.policy_name} v{snapshot.policy_version}"),
            ("prices", snapshot.prices_hash),
        ),
        sections=(*sections, *causes, _exceptions(found.bills), _imports(found.bills), _without(found)),
        notes=(
            "Gap: the bill less the ledger. Days are the vendor's, in UTC unless a row says otherwise.",
            "Amounts are in the bill's own currency; the ledger's month is the organisation's.",
            *_words(found.bills),
        ),
    )


# ------------------------------------------------------------------------ tables


def _table(found: Sequence[VendorBill], currency: str, *, alone: bool) -> Section:
    rows: list[tuple[str, str, str, int, int, tuple[Part, ...], str]] = []
    for bill in found:
        status = {
            (one.cell.start_us, one.cell.end_us, one.cell.model): one.status for one in bill.differences
        }
        for cell in bill.found.cells:
            named = cell.model if cell.known or not cell.model else f"{cell.model} (not ours)"
            rows.append(
                (
                    bill.vendor, day_of(cell), named or "–", cell.theirs_nano, cell.ours_nano, cell.parts,
                    status.get(_place(cell), ""),
                )
            )  # fmt: skip
        rows += [(bill.vendor, EDGE, "–", 0, -part.nano, (part,), "") for part in bill.found.edges]
    theirs = present([row[3] for row in rows])
    ours = present([row[4] for row in rows])
    shown: list[tuple[Shown, ...]] = [
        (vendor, day, model, their, our, their - our, cause_names(parts), explained(parts, currency), status)
        for (vendor, day, model, _, _, parts, status), their, our in zip(rows, theirs, ours, strict=True)
    ]
    foot = (sum(theirs, 0 * present([0])[0]), sum(ours, 0 * present([0])[0]))
    return Section(
        name="reconcile" if alone else f"reconcile-{currency.lower()}",
        title=f"Bills in {currency} and the ledger",
        columns=(
            Column(name="vendor", title="Vendor", kind="text"),
            Column(name="day", title="Day", kind="text"),
            Column(name="model", title="Model", kind="text"),
            Column(name="bill", title="Bill", kind="money", currency=currency),
            Column(name="ledger", title="Ledger", kind="money", currency=currency),
            Column(name="gap", title="Gap", kind="money", currency=currency),
            Column(name="cause", title="Cause", kind="text"),
            Column(name="explanation", title="Explanation", kind="text"),
            Column(name="exception", title="Exception", kind="text"),
        ),
        rows=tuple(shown),
        total=("TOTAL", "", "", foot[0], foot[1], foot[0] - foot[1], "", "", ""),
    )


def _place(cell: Cell) -> tuple[int, int, str]:
    return cell.start_us, cell.end_us, cell.model


def _causes(found: Sequence[VendorBill], currency: str, table: Section, *, alone: bool) -> Section:
    sums: dict[tuple[str, Cause], int] = defaultdict(int)
    for bill in found:
        for cause, nano in bill.found.causes.items():
            sums[bill.vendor, cause] += nano
    keys = sorted(sums, key=lambda key: (key[0], list(CAUSES).index(key[1])))
    amounts = present([sums[key] for key in keys])
    rows: list[tuple[Shown, ...]] = [
        (vendor, cause, CAUSES[cause], amount) for (vendor, cause), amount in zip(keys, amounts, strict=True)
    ]
    gap = table.total[5] if table.total is not None else None
    zero = present([0])[0]
    total = sum(amounts, zero)
    if gap is not None and not isinstance(gap, str | int) and gap != total:
        # Bill and ledger are rounded to cents each by itself; their difference can be a cent off the gap's.
        rows.append(("–", "rounding", "to cents, in this report", gap - total))
        total = gap
    return Section(
        name="causes" if alone else f"causes-{currency.lower()}",
        title=f"What the gap is made of, {currency}",
        columns=(
            Column(name="vendor", title="Vendor", kind="text"),
            Column(name="cause", title="Cause", kind="text"),
            Column(name="meaning", title="Meaning", kind="text"),
            Column(name="amount", title="Amount", kind="money", currency=currency),
        ),
        rows=tuple(rows),
        total=("TOTAL", "", "", total),
    )


def _exceptions(found: Sequence[VendorBill]) -> Section:
    rows: list[tuple[Shown, ...]] = []
    for bill in found:
        for one in bill.differences:
            decision = one.decision
            rows.append(
                (
                    one.id, one.status, bill.vendor, day_of(one.cell), one.cell.model or "–",
                    present([one.left_nano])[0], bill.currency, one.main.cause,
                    explained(one.cell.parts, bill.currency),
                    decision.decided_by if decision else "", decision.reason if decision else "",
                )
            )  # fmt: skip
    return Section(
        name="exceptions",
        title="Exceptions",
        columns=(
            Column(name="exception", title="Exception", kind="text"),
            Column(name="status", title="Status", kind="text"),
            Column(name="vendor", title="Vendor", kind="text"),
            Column(name="day", title="Day", kind="text"),
            Column(name="model", title="Model", kind="text"),
            Column(name="to_decide", title="To decide", kind="quantity", summed=False),
            Column(name="currency", title="Currency", kind="text"),
            Column(name="cause", title="Main cause", kind="text"),
            Column(name="explanation", title="Explanation", kind="text"),
            Column(name="decided_by", title="Decided by", kind="text"),
            Column(name="reason", title="Reason", kind="text"),
        ),
        rows=tuple(sorted(rows, key=lambda row: (row[1] != "open", str(row[2]), str(row[3]), str(row[4])))),
    )


def _imports(found: Sequence[VendorBill]) -> Section:
    rows: list[tuple[Shown, ...]] = []
    seen: set[str] = set()
    for bill in found:
        for one in bill.imports:
            if one.id in seen:
                continue
            seen.add(one.id)
            stated = None if one.invoice_nano is None else present([one.invoice_nano])[0]
            total = present([one.total_nano])[0]
            rows.append(
                (
                    one.id[:12], one.vendor, one.source, one.file, one.line_count, one.currency or "counts",
                    total, one.invoice or "–", stated, None if stated is None else stated - total,
                    span(one.covers_start_us, one.covers_end_us), one.imported_by,
                )
            )  # fmt: skip
    return Section(
        name="imports",
        title="Imported bills",
        columns=(
            Column(name="import", title="Import", kind="text"),
            Column(name="vendor", title="Vendor", kind="text"),
            Column(name="source", title="Source", kind="text"),
            Column(name="file", title="File", kind="text"),
            Column(name="lines", title="Lines", kind="count", summed=False),
            Column(name="currency", title="Currency", kind="text"),
            Column(name="total", title="Total of lines", kind="quantity", summed=False),
            Column(name="invoice", title="Invoice", kind="text"),
            Column(name="invoice_total", title="Invoice total", kind="quantity", summed=False),
            Column(name="invoice_gap", title="Invoice less lines", kind="quantity", summed=False),
            Column(name="covers", title="Covers", kind="text"),
            Column(name="imported_by", title="Imported by", kind="text"),
        ),
        rows=tuple(rows),
    )


def _without(found: Bills) -> Section:
    amounts = [present([nano])[0] for _, _, nano in found.without]
    return Section(
        name="without-bill",
        title="Vendors without a bill",
        columns=(
            Column(name="vendor", title="Vendor", kind="text"),
            Column(name="currency", title="Currency", kind="text"),
            Column(name="ledger", title="Ledger", kind="quantity", summed=False),
        ),
        rows=tuple(
            (vendor, currency, amount)
            for (vendor, currency, _), amount in zip(found.without, amounts, strict=True)
        ),
    )


# ------------------------------------------------------------------------- words


def day_of(cell: Cell) -> str:
    """Return a cell's window as people read it."""
    return span(cell.start_us, cell.end_us)


def span(start_us: int, end_us: int) -> str:
    """Return a window: its day where it is a UTC day, else its days, with hours where they are not whole."""
    start = datetime.fromtimestamp(start_us // 1_000_000, tz=UTC)
    if end_us - start_us == DAY_US:
        return f"{start:%Y-%m-%d}" if start_us % DAY_US == 0 else f"{start:%Y-%m-%d %H:%MZ}+24h"
    if end_us - start_us <= HOUR_US:
        return f"{start:%Y-%m-%d %H:%MZ}"
    last = datetime.fromtimestamp((end_us - 1) // 1_000_000, tz=UTC)
    return f"{start:%Y-%m-%d}..{last:%Y-%m-%d}"


def cause_names(parts: Sequence[Part]) -> str:
    """Return the causes of a gap, the largest first."""
    ordered = sorted(parts, key=lambda part: -abs(part.nano))
    return ", ".join(part.cause for part in ordered)


def explained(parts: Sequence[Part], currency: str) -> str:
    """Return a gap's causes in a sentence, each with its amount."""
    ordered = sorted(parts, key=lambda part: -abs(part.nano))
    amounts = present([part.nano for part in ordered], places=4)
    return "; ".join(
        f"{part.cause.replace('_', ' ')} {amount:+,f} {currency}" + (f" ({part.says})" if part.says else "")
        for part, amount in zip(ordered, amounts, strict=True)
    )


def _words(found: Sequence[VendorBill]) -> tuple[str, ...]:
    words: list[str] = []
    for bill in found:
        if bill.found.shift_hours:
            words.append(
                f"The days of {bill.vendor}'s bill are not UTC days: they fit ours when shifted by "
                f"{bill.found.shift_hours:+} h. Import it again with its time zone."
            )
        if bill.unconverted:
            words.append(
                f"Part of the ledger of {bill.vendor} has no exchange rate to {bill.currency} and is left "
                "out; add the rate to prices/fx.yaml."
            )
    return tuple(words)
