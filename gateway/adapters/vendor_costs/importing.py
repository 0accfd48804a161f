"""Taking a vendor's file in: read whole, checked whole, written in one transaction, once.

An import's id is the SHA-256 of its file, so that the same file twice is one import. A corrected file
replaces an earlier one because somebody says so, never because it looks alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection

from gateway.adapters.store_sql import vendor_costs as rows
from gateway.adapters.store_sql.vendor_costs import Import
from gateway.adapters.vendor_costs.cells import BadFile, Checked, Options
from gateway.core.bill import BillLine
from gateway.core.money import decimal_of, nano_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an import is told beside its file.

    ``covers`` overrides the days that its lines span; ``beside`` lets it count beside another import of
    the same account and days.
    """

    tenant: str
    vendor: str
    source: str
    file: str
    by: str
    now_us: int
    supersedes: str = ""
    beside: bool = False
    invoice: str = ""
    invoice_total: Decimal | None = None
    covers: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An import, and whether it was new."""

    made: Import
    new: bool


class Refused(Exception):
    """The import is not what the person means. The text says what to declare."""


def digest_of(path: Path, extra: bytes = b"") -> str:
    """Return the id of a file. Raises BadFile if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as raw:
            while part := raw.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise BadFile(path.name, 0, f"cannot be read: {(error.strerror or 'error').lower()}") from None
    if extra:
        digest.update(hashlib.sha256(extra).digest())
    return digest.hexdigest()


def take(
    connection: Connection, import_id: str, lines: Iterable[BillLine], asked: Asked, options: Options
) -> Imported:
    """Write an import and its lines, or find that it is there.

    Raises BadFile or Refused; the caller's transaction then leaves nothing behind.
    """
    known = rows.imports(connection, asked.tenant)
    there = next((one for one in known if one.id == import_id), None)
    if there is not None:
        if there.vendor != asked.vendor or there.source != asked.source:
            raise Refused(
                f"this file was imported already, as `{there.source}` of `{there.vendor}` ({there.id[:12]})"
            )
        return Imported(made=there, new=False)
    active = rows.active(known)
    replaced = ""
    if asked.supersedes:
        old = rows.find(connection, asked.tenant, asked.supersedes)
        if old is None or old.id not in {one.id for one in active} or old.vendor != asked.vendor:
            raise Refused(
                f"`{asked.supersedes}` is no import of `{asked.vendor}` that counts; "
                "`borderpost reconcile status` lists them"
            )
        replaced = old.id
    sums = _Sums()
    checked = Checked(asked.file, lines, options)
    try:
        rows.add_lines(
            connection,
            tenant=asked.tenant,
            import_id=import_id,
            vendor=asked.vendor,
            lines=sums.over(checked),
        )
        made = Import(
            tenant=asked.tenant,
            id=import_id,
            vendor=asked.vendor,
            source=asked.source,
            file=asked.file[:256],
            covers_start_us=asked.covers[0] if asked.covers else sums.start_us,
            covers_end_us=asked.covers[1] if asked.covers else sums.end_us,
            currency=sums.currency,
            places=sums.places,
            line_count=sums.count,
            total_nano=sums.nano,
            invoice=asked.invoice,
            invoice_nano=None if asked.invoice_total is None else nano_of(asked.invoice_total),
            supersedes=replaced,
            imported_us=asked.now_us,
            imported_by=asked.by,
        )
    except ValueError as wrong:
        raise BadFile(asked.file, sums.row, f"{wrong}; is a column shifted?") from None
    if not asked.beside:
        _refuse_overlap(connection, made, [one for one in active if one.id != replaced])
    rows.add(connection, made)
    return Imported(made=made, new=True)


def _refuse_overlap(connection: Connection, made: Import, others: Iterable[Import]) -> None:
    """Raise Refused where another import is about the same days and account: both would count."""
    near = [
        one
        for one in others
        if (one.vendor, one.source) == (made.vendor, made.source)
        and one.covers_start_us < made.covers_end_us
        and made.covers_start_us < one.covers_end_us
    ]
    own = rows.accounts(connection, tenant=made.tenant, import_id=made.id) if near else set()
    for one in near:
        if own & rows.accounts(connection, tenant=made.tenant, import_id=one.id):
            raise Refused(
                f"`{one.file}` ({one.id[:12]}) is about the same account and some of the same days; if this "
                f"file corrects it, say --supersedes {one.id[:12]}; if both count, --beside"
            )


Told = tuple[str, dict[str, object]]
"""A journal entry: its kind and what it says."""


def told(done: Imported) -> Told:
    """Return the journal entry of an import."""
    one = done.made
    return "reconcile.imported", {
        "tenant": one.tenant,
        "import": one.id,
        "vendor": one.vendor,
        "source": one.source,
        "lines": one.line_count,
        "total": str(decimal_of(one.total_nano)),
        "currency": one.currency,
        "supersedes": one.supersedes,
        "by": one.imported_by,
        "at": one.imported_us,
    }


def fetched_before(connection: Connection, asked: Asked) -> str:
    """Return the import that fetching the same report anew replaces, "" if there is none."""
    found = [
        one
        for one in rows.active(rows.imports(connection, asked.tenant))
        if (one.vendor, one.source, one.file) == (asked.vendor, asked.source, asked.file)
    ]
    return found[-1].id if found else ""


class _Sums:
    """What the lines of a file add up to, as they pass."""

    def __init__(self) -> None:
        self.count = 0
        self.nano = 0
        self.places = 0
        self.currency = ""
        self.start_us = 0
        self.end_us = 0
        self.row = 0

    def over(self, lines: Iterable[BillLine]) -> Iterator[BillLine]:
        for one in lines:
            self.row = one.row
            self.count += 1
            if one.amount is not None:
                self.nano += nano_of(one.amount)
                exponent = one.amount.normalize().as_tuple().exponent
                self.places = max(self.places, -exponent if isinstance(exponent, int) else 0)
            self.currency = self.currency or one.currency
            if one.kind == "usage" or not self.start_us:
                self.start_us = min(self.start_us or one.start_us, one.start_us)
                self.end_us = max(self.end_us, one.end_us)
            yield one
