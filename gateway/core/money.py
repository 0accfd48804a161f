"""Money: int64 nano-units of a named currency, and decimal prices.

A nano-unit is 10**-9 of the currency's major unit. Amounts at rest and in sums
are integers; prices are decimal strings turned into :class:`~decimal.Decimal`;
a float never takes part. A row is rounded once, when its charge is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext

NANO = 1_000_000_000
INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount of one currency, in nano-units."""

    nano: int
    currency: str

    def __add__(self, other: Money) -> Money:
        """Add an amount of the same currency; raises ValueError on another one."""
        if self.currency != other.currency:
            msg = f"cannot add `{other.currency}` to `{self.currency}`"
            raise ValueError(msg)
        return Money(nano=self.nano + other.nano, currency=self.currency)


def nano_of(amount: Decimal, *, ceiling: bool = False) -> int:
    """Round a decimal amount of a major unit to whole nano-units.

    Half-even for charges (one rounding per row), upward for holds, since a hold
    is an upper bound. Raises ValueError outside int64.
    """
    with localcontext() as context:
        context.prec = 60
        exact = amount * NANO
        nano = int(exact.to_integral_value(ROUND_CEILING if ceiling else ROUND_HALF_EVEN))
    if abs(nano) > INT64_MAX:
        msg = f"amount `{amount}` does not fit int64 nano-units"
        raise ValueError(msg)
    return nano


def decimal_of(nano: int) -> Decimal:
    """Return nano-units as an exact decimal of the major unit."""
    return Decimal(nano).scaleb(-9)


def present(nanos: Sequence[int], *, places: int = 2) -> list[Decimal]:
    """Round amounts for display so that they sum to the rounded total.

    Largest remainder (Hamilton): every grouping of the same rows shows the same
    total to the last cent. Ties go to the earlier row.
    """
    step = 10 ** (9 - places)
    floors = [nano // step for nano in nanos]
    total = int((Decimal(sum(nanos)) / step).to_integral_value(ROUND_HALF_EVEN))
    short = total - sum(floors)
    by_remainder = sorted(range(len(nanos)), key=lambda i: (-(nanos[i] % step), i))
    for i in by_remainder[:short]:
        floors[i] += 1
    return [Decimal(cents).scaleb(-places) for cents in floors]
