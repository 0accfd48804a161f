"""The queries of vendors' bills: imports, their lines, and what was decided about differences.

Each works inside the transaction that it is handed. Nothing is changed or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import islice

from sqlalchemy import Connection, insert, select

from gateway.adapters.store_sql.tables_vendor_costs import vendor_decisions, vendor_imports, vendor_lines
from gateway.core.bill import BillLine
from gateway.core.money import nano_of

_BATCH = 500
_LONGEST = {"account": 256, "model": 512, "sku": 512, "meter": 128, "unit": 64, "ref": 512}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One file that was read whole. ``id`` is its SHA-256, with its mapping's where it has one."""

    tenant: str
    id: str
    vendor: str
    source: str
    file: str
    covers_start_us: int
    covers_end_us: int
    currency: str
    places: int
    line_count: int
    total_nano: int
    invoice: str
    invoice_nano: int | None
    supersedes: str
    imported_us: int
    imported_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line of a bill as it is kept: its amount rounded once."""

    import_id: str
    vendor: str
    file_row: int
    month: str
    start_us: int
    end_us: int
    account: str
    model: str
    sku: str
    meter: str
    quantity: Decimal | None
    unit: str
    nano: int | None
    currency: str
    kind: str
    ref: str
    pricing_nano: int | None
    pricing_currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What finance decided about one exception."""

    tenant: str
    exception: str
    vendor: str
    month: str
    start_us: int
    model: str
    currency: str
    open_nano: int
    action: str  # accept | adjust
    reason: str
    decided_us: int
    decided_by: str


def find(connection: Connection, tenant: str, import_id: str) -> Import | None:
    """Return an import by its id, or by the first twelve signs of it and more; None if there is none."""
    found = [one for one in imports(connection, tenant) if one.id == import_id]
    if not found and len(import_id) >= 12:
        found = [one for one in imports(connection, tenant) if one.id.startswith(import_id)]
    return found[0] if len(found) == 1 else None


def imports(connection: Connection, tenant: str) -> list[Import]:
    """Return every import of an organisation, superseded ones too, oldest first."""
    query = (
        select(vendor_imports)
        .where(vendor_imports.c.tenant == tenant)
        .order_by(vendor_imports.c.imported_us, vendor_imports.c.id)
    )
    return [Import(**row) for row in connection.execute(query).mappings()]


def active(found: Iterable[Import]) -> list[Import]:
    """Return the imports that no other one supersedes."""
    everything = list(found)
    replaced = {one.supersedes for one in everything}
    return [one for one in everything if one.id not in replaced]


def add_lines(
    connection: Connection, *, tenant: str, import_id: str, vendor: str, lines: Iterable[BillLine]
) -> None:
    """Insert the lines of a file as they come. Raises ValueError on an amount beyond int64 nano-units."""
    numbered = enumerate(lines, 1)
    while batch := list(islice(numbered, _BATCH)):
        rows = [
            {
                **{name: getattr(one, name)[:most] for name, most in _LONGEST.items()},
                "tenant": tenant,
                "import_id": import_id,
                "number": number,
                "file_row": one.row,
                "vendor": vendor,
                "month": one.month,
                "start_us": one.start_us,
                "end_us": one.end_us,
                "quantity": None if one.quantity is None else f"{one.quantity:f}"[:64],
                "amount": None if one.amount is None else f"{one.amount:f}"[:64],
                "nano": None if one.amount is None else nano_of(one.amount),
                "currency": one.currency,
                "kind": one.kind,
                "digest": one.digest,
                "pricing_nano": None if one.pricing_amount is None else nano_of(one.pricing_amount),
                "pricing_currency": one.pricing_currency,
            }
            for number, one in batch
        ]
        connection.execute(insert(vendor_lines), rows)


def add(connection: Connection, one: Import) -> None:
    """Insert an import. Its lines are there already, in the same transaction."""
    connection.execute(insert(vendor_imports).values(asdict(one)))


def lines(
    connection: Connection, *, tenant: str, month: str, import_ids: Iterable[str]
) -> Iterator[StoredLine]:
    """Return the lines of a billing month that these imports hold, as they stand in their files."""
    wanted = sorted(import_ids)
    for start in range(0, len(wanted), _BATCH):
        query = (
            select(vendor_lines)
            .where(
                vendor_lines.c.tenant == tenant,
                vendor_lines.c.month == month,
                vendor_lines.c.import_id.in_(wanted[start : start + _BATCH]),
            )
            .order_by(vendor_lines.c.import_id, vendor_lines.c.number)
        )
        for row in connection.execute(query).mappings():
            values = {name: row[name] for name in StoredLine.__slots__ if name != "quantity"}
            quantity = row["quantity"]
            yield StoredLine(**values, quantity=None if quantity is None else Decimal(quantity))


def accounts(connection: Connection, *, tenant: str, import_id: str) -> set[str]:
    """Return the vendor's accounts that an import holds lines of."""
    query = (
        select(vendor_lines.c.account)
        .where(vendor_lines.c.tenant == tenant, vendor_lines.c.import_id == import_id)
        .distinct()
    )
    return set(connection.execute(query).scalars())


def months(connection: Connection, *, tenant: str, import_ids: Iterable[str]) -> set[str]:
    """Return the billing months that these imports hold lines of."""
    query = (
        select(vendor_lines.c.month)
        .where(vendor_lines.c.tenant == tenant, vendor_lines.c.import_id.in_(list(import_ids)))
        .distinct()
    )
    return set(connection.execute(query).scalars())


def decide(connection: Connection, one: Decision) -> None:
    """Record what finance decided."""
    connection.execute(insert(vendor_decisions).values(asdict(one)))


def decisions(connection: Connection, *, tenant: str, month: str) -> dict[str, Decision]:
    """Return the newest decision about each exception of a month."""
    names = list(Decision.__slots__)
    query = (
        select(*(vendor_decisions.c[name] for name in names))
        .where(vendor_decisions.c.tenant == tenant, vendor_decisions.c.month == month)
        .order_by(vendor_decisions.c.id)
    )
    return {row["exception"]: Decision(**row) for row in connection.execute(query).mappings()}
