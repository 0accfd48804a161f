"""The FOCUS export of a billing period: read, folded, checked, and only then written.

What it sums to is compared with the spend report in the same transaction, to the last
nano-unit; a file that fails its check is refused, with what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import BinaryIO

from sqlalchemy import Connection

from gateway import __version__
from gateway.adapters.store_sql import reports as stored
from gateway.core.money import decimal_of
from gateway.core.snapshot import Snapshot
from gateway.reports.closing import window
from gateway.reports.focus_check import Finding, check
from gateway.reports.focus_columns import VERSIONS, Row, Version
from gateway.reports.focus_files import FILES
from gateway.reports.focus_fold import Charges
from gateway.reports.focus_rows import Book, rows
from gateway.reports.writers import FormatUnavailable, unavailable

GRAINS = ("day", "hour")


class FocusRefused(Exception):
    """Rows that fail their own check. Its text tells what is wrong, a finding a line."""

    def __init__(self, findings: list[Finding]) -> None:
        """Take what was found."""
        super().__init__("\n".join(map(str, findings)))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A checked export. ``unpriced`` attempts have no price and so no row: said wherever it is shown."""

    month: str
    organisation: str
    version: Version
    rows: Callable[[], Iterator[Row]]
    count: int
    unpriced: int
    billed: dict[str, Decimal]  # by currency
    spend: dict[str, Decimal]

    def write(self, form: str, out: BinaryIO) -> None:
        """Write the file. Raises FormatUnavailable, or ValueError on a number that the format cannot hold."""
        # No clock: a closed month is the same file whenever it is asked for.
        metadata = {
            "dataset": "FOCUS CostAndUsage",
            "focus_version": self.version,
            "period": self.month,
            "organisation": self.organisation,
            "generator": f"borderpost {__version__}",
        }
        try:
            FILES[form][1](self.rows(), self.version, metadata, out)
        except ModuleNotFoundError as missing:
            raise FormatUnavailable(unavailable(form, missing)) from None

    def file_name(self, form: str) -> str:
        """Return the name that a download is saved under: ``focus-1.2-2026-11.csv``."""
        return f"focus-{self.version}-{self.month}.{form}"


def version_of(text: str) -> Version:
    """Return a version of FOCUS. Raises ValueError naming those there are."""
    for version in VERSIONS:
        if version == text:
            return version
    raise ValueError(f"FOCUS `{text}` cannot be written; use one of {', '.join(VERSIONS)}")


def export(
    snapshot: Snapshot, *, month_name: str, version: str, grain: str
) -> Callable[[Connection], Export]:
    """Return the work that reads a billing period and checks its rows.

    Raises ValueError on an unknown version or grain; the work raises it on no month, and
    :class:`FocusRefused` on rows that fail the check.
    """
    of = version_of(version)
    if grain not in GRAINS:
        raise ValueError(f"charges are told by day or by hour, not by `{grain}`")

    def work(connection: Connection) -> Export:
        start_us, end_us = window(connection, snapshot, month_name)
        period = stored.Period(start_us=start_us, end_us=end_us, billing=month_name)
        charges = Charges(start_us=start_us, end_us=end_us, timezone=snapshot.timezone, grain=grain)
        charges.attempts(stored.attempts(connection, tenant=snapshot.tenant, period=period))
        charges.entries(stored.entries(connection, tenant=snapshot.tenant, period=period))
        book = Book(organisation=snapshot.tenant, start_us=start_us, end_us=end_us, version=of)
        billed, spend = _spent(connection, snapshot, period)
        findings = check(rows(charges, book), version=of, billed=billed, spend=spend)
        if findings:
            raise FocusRefused(findings)
        return Export(
            month=month_name,
            organisation=snapshot.tenant,
            version=of,
            rows=lambda: rows(charges, book),
            count=sum(1 for _ in rows(charges, book)),
            unpriced=charges.unpriced,
            billed=billed,
            spend=spend,
        )

    return work


def _spent(
    connection: Connection, snapshot: Snapshot, period: stored.Period
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return what the spend report says: by price currency, and in the organisation's own."""
    sums = stored.spend(
        connection,
        tenant=snapshot.tenant,
        start_us=period.start_us,
        end_us=period.end_us,
        billing=period.billing,
        by=(),
        currency=snapshot.currency,
    )
    billed = {item.currency: decimal_of(item.nano) for item in sums if item.currency}
    return billed, {snapshot.currency: decimal_of(sum(item.spend_nano for item in sums))}
