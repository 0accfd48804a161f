"""The canonical form of a period's books: each row one line, one hash over all, and their sums.

An auditor who has the rows and this page can compute the hash without us: every row is one object of
RFC 8785 canonical JSON with the columns that the statement names, amounts as decimal strings of whole
nano-units, followed by a newline; SHA-256 over the lines of attempts in time, of late attempts (each
by start, then id), then of entries by id. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from gateway.core.canonical import encode

FORMAT = "borderpost-books-1"
"""Enters every hash: the same rows under another layout are other books."""

MARK = 8
"""Bytes of a row's own hash that are kept, to name the first row that differs."""

Value = str | int | bool | None
Row = Mapping[str, Value]


class Group(NamedTuple):
    """What figures of a period are kept by. ``kind``: ``usage``, or an entry's."""

    cost_centre: str  # "" unallocated
    team: str
    app: str
    model: str
    vendor: str
    kind: str
    about: str  # "period", or "earlier": a late attempt, or an entry about an earlier one
    currency: str  # of the price; "" unpriced


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Sums of a group. The first three in the price's currency, the others in the organisation's.

    ``list_nano`` is before any discount, ``contracted_nano`` by the call at contract prices, also for
    calls that are paid by time: neither holds shares of capacity.
    """

    rows: int = 0
    price_nano: int = 0
    list_nano: int = 0
    contracted_nano: int = 0
    nano: int = 0
    estimated_nano: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Add."""
        return Amounts(
            rows=self.rows + other.rows,
            price_nano=self.price_nano + other.price_nano,
            list_nano=self.list_nano + other.list_nano,
            contracted_nano=self.contracted_nano + other.contracted_nano,
            nano=self.nano + other.nano,
            estimated_nano=self.estimated_nano + other.estimated_nano,
        )


BY_TIME = frozenset({"reserved", "gpu"})
"""Kinds of entries that are shares of capacity paid by time."""


def line(table: str, row: Row, columns: Sequence[str]) -> bytes:
    """Return the canonical line of a row, with its newline."""
    data: dict[str, object] = {name: row[name] for name in columns}
    # Amounts may pass 53 bits; canonical JSON has no wider number.
    for name in _amounts(tuple(columns)):
        if data[name] is not None:
            data[name] = str(data[name])
    data["table"] = table
    return encode(data, sure=True) + b"\n"


@lru_cache(maxsize=16)
def _amounts(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in columns if name == "nano" or name.endswith("_nano"))


def mark(text: bytes) -> bytes:
    """Return the short mark of a line."""
    return hashlib.sha256(text).digest()[:MARK]


@dataclass(slots=True)
class Tally:
    """The running hash and sums of a period. Feed it every row, in order."""

    currency: str  # the organisation's
    start_us: int  # of the period: what starts before is about an earlier one
    columns: Mapping[str, Sequence[str]]  # by table
    rows: dict[str, int] = field(default_factory=dict[str, int])
    totals: dict[str, int] = field(default_factory=dict[str, int])  # of the prices, by currency
    groups: dict[Group, Amounts] = field(default_factory=dict[Group, Amounts])
    unpriced: int = 0
    unconverted: int = 0
    late: int = 0
    marks: bytearray = field(default_factory=bytearray)
    _update: Callable[[bytes], None] = field(init=False)
    _digest: Callable[[], str] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with the format."""
        made = hashlib.sha256(FORMAT.encode() + b"\n")
        self._update, self._digest = made.update, made.hexdigest

    @property
    def sha256(self) -> str:
        """The hash of what was fed so far."""
        return self._digest()

    @property
    def nano(self) -> int:
        """All of it in the organisation's currency."""
        return sum(amounts.nano for amounts in self.groups.values())

    def add(self, table: str, row: Row) -> bytes:
        """Take the next row; return its mark."""
        text = line(table, row, self.columns[table])
        self._update(text)
        short = mark(text)
        self.marks += short
        self.rows[table] = self.rows.get(table, 0) + 1
        self._sum(table, row)
        return short

    def _sum(self, table: str, row: Row) -> None:
        attempt = table == "ledger"
        nano, ours = row["nano"], row["spend_currency"] == self.currency
        currency = str(row["currency"] or "")
        if currency:
            self.totals[currency] = self.totals.get(currency, 0) + _number(nano)
        if attempt and nano is None and row["status"] != "failed":
            self.unpriced += 1
        if nano is not None and not ours:
            self.unconverted += 1
        earlier = _number(row["started_us" if attempt else "start_us"]) < self.start_us
        self.late += attempt and earlier
        kind = "usage" if attempt else str(row["kind"])
        group = Group(
            cost_centre=str(row["cost_centre"] or ""),
            team=str(row["team"]),
            app=str(row["app"]),
            model=str(row["model"]),
            vendor=str(row["vendor"]),
            kind=kind,
            about="earlier" if earlier else "period",
            currency=currency,
        )
        by_the_call = 0 if kind in BY_TIME else _number(nano)
        listed, contracted = row.get("list_nano"), row.get("contracted_nano")
        amount = _number(row["spend_nano"]) if ours else 0
        more = Amounts(
            rows=1,
            price_nano=_number(nano),
            list_nano=by_the_call if listed is None else _number(listed),
            contracted_nano=by_the_call if contracted is None else _number(contracted),
            nano=amount,
            estimated_nano=amount if row["estimated"] else 0,
        )
        self.groups[group] = self.groups.get(group, Amounts()).plus(more)


def _number(value: Value) -> int:
    return int(value) if value is not None else 0


# ------------------------------------------------------------------------ difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first row that is not as it was when the period was closed."""

    what: str  # changed | added | missing
    table: str
    id: str  # of the row; of a missing one: the row that stands behind the gap, "" at the end


def first_difference(kept: bytes, now: Iterable[tuple[str, str, bytes]]) -> Difference | None:
    """Compare the marks that were kept with rows as they are now: (table, id, mark), in order."""
    rows = iter(now)
    for at in range(0, len(kept), MARK):
        was, after = kept[at : at + MARK], kept[at + MARK : at + 2 * MARK]
        here = next(rows, None)
        if here is None:
            return Difference(what="missing", table="", id="")
        table, name, found = here
        if found == was:
            continue
        if found == after:
            return Difference(what="missing", table=table, id=name)
        behind = next(rows, None)
        inserted = behind is not None and behind[2] == was
        return Difference(what="added" if inserted else "changed", table=table, id=name)
    extra = next(rows, None)
    return None if extra is None else Difference(what="added", table=extra[0], id=extra[1])


# ----------------------------------------------------------------------- corrections


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an amount already is: the row's own, and what entries added to it since."""

    currency: str
    nano: int
    spend_nano: int
    estimated_nano: int  # of ``nano``: what is still an estimate
    estimated_spend_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One entry that a correction needs."""

    name: str  # delta | estimate | actual
    nano: int
    spend_nano: int
    estimated: bool


def deltas(known: Known, *, to_nano: int, to_spend_nano: int) -> tuple[Delta, ...]:
    """Return the entries that bring an amount to what it should be; none if it is that already.

    A known amount is moved by the difference. An estimate is taken back whole and the known amount is
    booked in its place, so that estimated spend goes down by what is no longer an estimate.
    """
    if known.estimated_nano or known.estimated_spend_nano:
        kept = known.nano - known.estimated_nano, known.spend_nano - known.estimated_spend_nano
        return (
            Delta(
                name="estimate",
                nano=-known.estimated_nano,
                spend_nano=-known.estimated_spend_nano,
                estimated=True,
            ),
            Delta(name="actual", nano=to_nano - kept[0], spend_nano=to_spend_nano - kept[1], estimated=False),
        )
    nano, spend = to_nano - known.nano, to_spend_nano - known.spend_nano
    return (Delta(name="delta", nano=nano, spend_nano=spend, estimated=False),) if nano or spend else ()
