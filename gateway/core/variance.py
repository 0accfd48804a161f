"""How one window, model and meter of a bill differs from ours, split by cause.

The parts of a gap sum to it exactly, whatever rounds: the last cause takes what is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

Cause = Literal[
    "price",
    "quantity",
    "missing_at_vendor",
    "missing_at_ours",
    "duplicate",
    "cut_off",
    "not_billed_yet",
    "fx",
    "rounding",
    "estimate",
    "tax",
    "credit",
    "discount",
    "fee",
    "adjusted",
    "unexplained",
]

CAUSES: Final[Mapping[Cause, str]] = {
    "price": "same quantity, another unit price",
    "quantity": "same unit price, another quantity",
    "missing_at_vendor": "in our ledger, not on the bill",
    "missing_at_ours": "on the bill, not in our ledger",
    "duplicate": "billed more than once",
    "cut_off": "counted on the other side of a day's or month's end",
    "not_billed_yet": "the bill does not reach so far",
    "fx": "another exchange rate than ours",
    "rounding": "the bill is rounded",
    "estimate": "usage never arrived, so the ledger holds the most that it could cost",
    "tax": "tax lines; the ledger excludes tax",
    "credit": "credits on the bill",
    "discount": "discounts on the bill",
    "fee": "fees and commitments on the bill",
    "adjusted": "booked already, by an adjustment",
    "unexplained": "no cause found",
}

BENIGN: Final = frozenset({"cut_off", "rounding", "tax", "adjusted", "not_billed_yet"})
"""What needs nobody's decision: it comes from how bills are made, or was decided already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A cause and its share of a gap. ``says`` adds the figures, for people."""

    cause: Cause
    nano: int
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What our ledger holds of one model and meter in the hour that starts at ``start_us``.

    Amounts in the bill's currency. ``estimated_*`` are within ``quantity`` and ``nano``.
    """

    start_us: int
    model: str
    meter: str
    quantity: int
    nano: int
    rows: int
    estimated_quantity: int = 0
    estimated_nano: int = 0


@dataclass(slots=True)
class Theirs:
    """What a bill says of one window, model and meter. None: it does not say."""

    quantity: Fraction | None = None
    nano: int | None = None
    lines: int = 0
    tolerance: int = 0
    fx: int = 0
    twice_quantity: Fraction = Fraction(0)
    twice_nano: int = 0


@dataclass(slots=True)
class Ours:
    """What the ledger holds of one window, model and meter."""

    quantity: int = 0
    nano: int = 0
    rows: int = 0
    estimated_quantity: int = 0
    estimated_nano: int = 0

    def add(self, hour: Hour) -> None:
        """Add an hour."""
        self.quantity += hour.quantity
        self.nano += hour.nano
        self.rows += hour.rows
        self.estimated_quantity += hour.estimated_quantity
        self.estimated_nano += hour.estimated_nano


def caused(cause: Cause, nano: int, says: str = "") -> Part:
    """Return a part."""
    return Part(cause=cause, nano=nano, says=says)


def split(
    they: Theirs,
    we: Ours,
    *,
    meter: str,
    lacking: Cause | None,
    straddled: Fraction,
    currencies_differ: bool,
) -> list[Part]:
    """Split the gap of one window, model and meter. INVARIANT: the parts sum to it."""
    quantity = they.quantity
    nano = they.nano or 0
    gap = nano - we.nano
    if lacking == "missing_at_ours":
        found = _duplicated(they, None)
        return [*found, caused(lacking, gap - sum(part.nano for part in found), meter)]
    if lacking == "missing_at_vendor":
        cause: Cause = "estimate" if we.estimated_nano else "missing_at_vendor"
        return [
            caused(cause, -we.estimated_nano if cause == "estimate" else 0),
            caused("missing_at_vendor", gap + we.estimated_nano, meter),
        ]
    parts = _duplicated(they, we)
    if parts:
        quantity = None if quantity is None else quantity - they.twice_quantity
    parts.append(caused("fx", they.fx, "the bill's own rate"))
    if quantity is not None:
        parts += _counted(quantity, nano - they.fx, we, meter=meter, straddled=straddled)
    rest = gap - sum(part.nano for part in parts)
    if abs(rest) <= they.tolerance + we.rows:
        parts.append(caused("rounding", rest))
    elif currencies_differ and not they.fx:
        parts.append(caused("fx", rest, "our rate against the bill's"))
    elif quantity is not None:
        parts.append(caused("price", rest, _prices(quantity, nano - they.fx - _twice(parts), we, meter)))
    else:
        parts.append(caused("unexplained", rest, f"{meter or 'the bill'} names no quantity".strip()))
    return parts


def _twice(parts: Iterable[Part]) -> int:
    return sum(part.nano for part in parts if part.cause == "duplicate")


def _duplicated(they: Theirs, we: Ours | None) -> list[Part]:
    """Return the repeated lines, if without them the bill is nearer to us."""
    if not (they.twice_nano or they.twice_quantity):
        return []
    if we is not None:
        if they.quantity is not None:
            nearer = abs(they.quantity - they.twice_quantity - we.quantity) < abs(they.quantity - we.quantity)
        else:
            nano = they.nano or 0
            nearer = abs(nano - they.twice_nano - we.nano) < abs(nano - we.nano)
        if not nearer:
            return []
    return [caused("duplicate", they.twice_nano, "lines that stand on the bill twice")]


def _counted(quantity: Fraction, nano: int, we: Ours, *, meter: str, straddled: Fraction) -> list[Part]:
    """Return what another quantity costs, at our price; at theirs where we have none."""
    more = quantity - we.quantity
    if not more:
        return []
    if we.quantity and we.nano:
        unit = Fraction(we.nano, we.quantity)
    elif quantity:
        unit = Fraction(nano) / quantity
    else:
        return []
    if not straddled:
        return [caused("quantity", round(more * unit), _count_words(more, meter))]
    whole, moved = round(more * unit), round(straddled * unit)
    return [
        caused("cut_off", moved, "calls around midnight"),
        caused("quantity", whole - moved, _count_words(more - straddled, meter)),
    ]


def _count_words(more: Fraction, meter: str) -> str:
    return f"{round(more):+,} {meter}".strip()


def _prices(quantity: Fraction, nano: int, we: Ours, meter: str) -> str:
    """Return both unit prices per million, for people."""
    if not quantity or not we.quantity:
        return meter
    theirs, ours = _per_million(nano, quantity), _per_million(we.nano, Fraction(we.quantity))
    return f"{meter} {theirs} on the bill, {ours} in ours, per million".strip()


def _per_million(nano: int, quantity: Fraction) -> str:
    micro = Decimal(round(nano * 1000 / quantity)).scaleb(-6)
    return f"{micro:f}".rstrip("0").rstrip(".")


def worth(quantity: Fraction, we: Ours) -> int:
    """Return what a quantity costs at our price."""
    return round(quantity * we.nano / we.quantity) if we.quantity else 0


def by_cause(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return one part per cause, without the empty ones; the largest keeps its words."""
    sums: dict[Cause, int] = defaultdict(int)
    words: dict[Cause, tuple[int, str]] = {}
    for part in parts:
        sums[part.cause] += part.nano
        if part.says and abs(part.nano) > words.get(part.cause, (0, ""))[0]:
            words[part.cause] = (abs(part.nano), part.says)
    return tuple(
        Part(cause=cause, nano=sums[cause], says=words.get(cause, (0, ""))[1])
        for cause in CAUSES
        if sums.get(cause)
    )


def estimates(parts: tuple[Part, ...], estimated: int) -> tuple[Part, ...]:
    """Lay at the estimates what the ledger holds too much for calls whose usage never arrived.

    Such a call is booked at the most that it could cost: what the bill counts less, up to that, is theirs.
    """
    known = sum(part.nano for part in parts if part.cause == "quantity")
    over = min(-known, estimated)
    if over <= 0:
        return parts
    left = [replace(part, nano=part.nano + over) if part.cause == "quantity" else part for part in parts]
    return by_cause([*left, caused("estimate", -over)])
