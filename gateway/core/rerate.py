"""Rating a booked attempt again: from what its row says, and from the price book.

A row names its price ids, unit prices and quantities, so its amount can be worked out again
from itself, whatever became of the price book since (:func:`from_row`). The book is asked
two questions more: do the ids that the row names still say the same (:func:`from_book`), and
what would the attempt cost by what is known today (``known_at``)? Nothing here changes a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NotRequired, TypedDict, cast

import orjson

from gateway.core.errors import Refusal
from gateway.core.money import NANO
from gateway.core.prices import rated, tariff_at
from gateway.core.record import BUCKETS
from gateway.core.snapshot import Snapshot
from gateway.core.tariff import TOKEN_METERS
from gateway.core.values import Charge, Usage


class Line(TypedDict):
    """A charge line as it stands in a row."""

    meter: str
    quantity: int
    price_id: str
    unit_price: str
    per: int
    list_unit_price: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What a ledger row says about its price. ``at_most``: booked at its hold, rounded upward."""

    attempt: str
    deployment: str
    at: int
    usage: Usage
    currency: str
    nano: int
    list_nano: int
    lines: tuple[Line, ...]
    price_ids: frozenset[str]
    at_most: bool


def booked(row: Mapping[str, object]) -> Booked | None:
    """Read a ledger row; None where it carries no price.

    Rows from before prices had tiers do not say that they were booked at their hold; their
    lines then count tokens that their buckets do not have.
    """
    if row["nano"] is None:
        return None
    lines = cast("list[Line]", orjson.loads(cast("str", row["lines"])))
    counts = {name: cast("int", row[name]) for name in BUCKETS}
    units = cast("dict[str, int]", orjson.loads(cast("str", row["units"])))
    usage = Usage(
        input=counts["input"],
        cache_read=counts["cache_read"],
        cache_write_5m=counts["cache_write_5m"],
        cache_write_1h=counts["cache_write_1h"],
        output=counts["output"],
        reasoning=counts["reasoning"],
        input_audio=counts["input_audio"],
        output_audio=counts["output_audio"],
        input_image=counts["input_image"],
        units=tuple(units.items()),
        tier=cast("str", row["tier"]),
        place=cast("str", row["served_place"]),
    )
    tokens = sum(line["quantity"] for line in lines if line["meter"] in TOKEN_METERS)
    nano = cast("int", row["nano"])
    return Booked(
        attempt=cast("str", row["attempt_id"]),
        deployment=cast("str", row["deployment"]),
        at=cast("int", row["started_us"]) * 1000,
        usage=usage,
        currency=cast("str", row["currency"]),
        nano=nano,
        list_nano=nano if row["list_nano"] is None else cast("int", row["list_nano"]),
        lines=tuple(lines),
        price_ids=frozenset(line["price_id"] for line in lines),
        at_most=bool(row["at_most"]) or tokens > usage.total,
    )


def from_row(row: Booked) -> tuple[int, int]:
    """Return the amount and the list amount of a row by its own unit prices, in nano-units."""
    exact = sum((_amount(line, line["unit_price"]) for line in row.lines), Fraction(0))
    listed = sum(
        (_amount(line, line.get("list_unit_price") or line["unit_price"]) for line in row.lines), Fraction(0)
    )
    if row.at_most:
        return -(-exact.numerator // exact.denominator), -(-listed.numerator // listed.denominator)
    return round(exact), round(listed)  # round() of a fraction is half-even


def _amount(line: Line, unit_price: str) -> Fraction:
    return Fraction(unit_price) * NANO * line["quantity"] / line["per"]


def from_book(snapshot: Snapshot, row: Booked, *, known_at: int | None = None) -> Charge | None:
    """Return what the row's usage costs by the price book, or None where the book cannot say.

    By the price that the row names, as it stands in the book now; with ``known_at`` by the
    price that is valid for the instant of the attempt and was known by then.
    """
    if row.at_most:
        return None  # what it used was never known
    if known_at is not None:
        found = tariff_at(snapshot, row.deployment, row.at, known_at=known_at)
    else:
        found = next(
            (
                one
                for one in snapshot.tariffs.get(row.deployment, ())
                if one.price.id in row.price_ids and one.since <= row.at < one.until
            ),
            None,
        )
    if found is None:
        return None
    made = rated(found, row.usage)
    return None if isinstance(made, Refusal) else made
