"""A report as a value that every format is written from: text, CSV, JSON, XLSX, PDF, Parquet.

A report builds one :class:`Document`; a writer may lay it out, never change an amount.
INVARIANT: in every section each total is the sum of what its rows show, so all formats,
and all sections that show the same money, end in the same cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Cell = str | int | Decimal | None
"""Text, a whole number, an exact decimal, or nothing (shown as ``–``, empty in files)."""

Kind = Literal["text", "count", "quantity", "money", "percent", "date"]
"""How a column reads: ``money`` has two decimals and a currency, ``percent`` is 0–100, ``date`` ISO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. ``name`` is for programs (``spend``), ``title`` for people."""

    name: str
    title: str
    kind: Kind
    currency: str = ""  # of a money column
    summed: bool = True  # whether the total row shows the sum (counts and money only)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a section's picture shows: columns by name. ``low`` and ``high`` bound a forecast."""

    kind: Literal["bar", "line"]
    x: str
    y: tuple[str, ...]
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of a report. Each row has a cell per column, in order; so has ``total``."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] | None = None
    notes: tuple[str, ...] = ()
    chart: Chart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole report. The first section is *the* table: CSV and Parquet hold that one."""

    report: str  # spend | budget | chargeback | reconcile | unit-cost | forecast
    title: str
    organisation: str
    period: str  # 2026-11
    timezone: str
    status: str  # open | preliminary | closed | restated
    as_of: str  # local minute
    currency: str
    facts: tuple[tuple[str, str], ...]  # rates, prices, policy, hashes, counts: what an auditor asks first
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
