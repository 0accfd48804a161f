"""General-ledger accounts: which account a charge is posted to, and postings that balance.

The mapping is dated and says for which cost centre, vendor or kind of charge an account is meant; the
closest description wins: one that names the cost centre before one that names the vendor, before one
that names the kind. Every amount is posted once as a debit (cost) and once as a credit (owed), so
that what is posted sums to zero. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.core.books import Amounts, Group
from gateway.core.money import present

Side = Literal["debit", "credit"]

UNALLOCATED = "unallocated"
"""How the mapping names spend without a cost centre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One line of the mapping: an account, from a day on, for what it describes. None is any."""

    account: str
    from_: str  # 2026-11-01
    side: Side
    cost_centre: str | None
    vendor: str | None
    kind: str | None
    at: str  # file:line

    @property
    def describes(self) -> tuple[Side, str | None, str | None, str | None]:
        """What it is for."""
        return self.side, self.cost_centre, self.vendor, self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """How an organisation keeps its books: accounts, and whether two people close a period."""

    accounts: tuple[Account, ...] = ()
    two_people: bool = False


def account_of(
    accounts: Sequence[Account], side: Side, *, cost_centre: str, vendor: str, kind: str, on: str
) -> str:
    """Return the account in force on a day for a charge; empty where the mapping names none."""
    best: tuple[tuple[bool, bool, bool], str, str] | None = None
    for item in accounts:
        named = (item.cost_centre, item.vendor, item.kind)
        fits = all(
            want is None or want == have
            for want, have in zip(named, (cost_centre or UNALLOCATED, vendor, kind), strict=True)
        )
        if item.side != side or not fits or item.from_ > on:
            continue
        rank = ((named[0] is not None, named[1] is not None, named[2] is not None), item.from_, item.account)
        if best is None or rank > best:
            best = rank
    return best[2] if best is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One line to post. ``nano`` is never negative; ``account`` is empty where none is mapped."""

    side: Side
    account: str
    cost_centre: str  # of a debit; "" unallocated, or a credit
    vendor: str  # of a credit
    nano: int
    amount: Decimal  # in cents, so that debits and credits are equal


def postings(groups: Mapping[Group, Amounts], accounts: Sequence[Account], *, on: str) -> tuple[Posting, ...]:
    """Return the lines of a period's figures: debits, then credits, which sum to the same cent."""
    debits: dict[tuple[str, str], int] = {}
    owed: dict[tuple[str, str], int] = {}
    for group, amounts in groups.items():
        asked = {"cost_centre": group.cost_centre, "vendor": group.vendor, "kind": group.kind, "on": on}
        debit = (account_of(accounts, "debit", **asked), group.cost_centre)
        credit = (account_of(accounts, "credit", **asked), group.vendor)
        debits[debit] = debits.get(debit, 0) + amounts.nano
        owed[credit] = owed.get(credit, 0) + amounts.nano
    return (*_lines("debit", debits), *_lines("credit", owed))


def _lines(side: Side, sums: Mapping[tuple[str, str], int]) -> Iterable[Posting]:
    keys = sorted(sums)
    for key, amount in zip(keys, present([sums[key] for key in keys]), strict=True):
        nano = sums[key]
        if not nano and not amount:
            continue
        # A credit note: what is owed back is posted on the other side, as a positive amount.
        turned: Side = ("credit" if side == "debit" else "debit") if amount < 0 or nano < 0 else side
        yield Posting(
            side=turned,
            account=key[0],
            cost_centre=key[1] if side == "debit" else "",
            vendor=key[1] if side == "credit" else "",
            nano=abs(nano),
            amount=abs(amount),
        )
