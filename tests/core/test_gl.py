"""Accounts: the closest description wins, and what is posted sums to zero."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.books import Amounts, Group
from gateway.core.gl import Account, account_of, postings
from gateway.core.money import present


def account(name, side="debit", *, since="2026-01-01", centre=None, vendor=None, kind=None):
    return Account(
        account=name, from_=since, side=side, cost_centre=centre, vendor=vendor, kind=kind, at="t:1"
    )


PLAN = (
    account("6400"),
    account("6410", centre="4410"),
    account("6411", centre="4410", since="2026-11-01"),
    account("6412", centre="4410", kind="gpu"),
    account("6450", vendor="cohere"),
    account("6460", kind="gpu"),
    account("6499", centre="unallocated"),
    account("2100", "credit"),
    account("2150", "credit", vendor="cohere"),
)


def found(centre="4410", vendor="azure", kind="usage", on="2026-11-30", side="debit"):
    return account_of(PLAN, side, cost_centre=centre, vendor=vendor, kind=kind, on=on)


def test_the_closest_description_wins():
    """A cost centre before a vendor, a vendor before a kind; more of them before fewer."""
    assert found("4900") == "6400"
    assert found() == "6411"
    assert found(kind="gpu") == "6412"
    assert found("4900", "cohere", "gpu") == "6450"
    assert found("4900", kind="gpu") == "6460"
    assert found("", "cohere") == "6499"
    assert found(vendor="cohere", side="credit") == "2150"
    assert account_of((), "debit", cost_centre="", vendor="", kind="usage", on="2026-11-30") == ""


def test_accounts_are_dated():
    """In October the old account holds; before the mapping begins there is none."""
    assert found(on="2026-10-31") == "6410"
    assert found(on="2026-11-01") == "6411"
    assert found(on="2025-12-31") == ""


groups = st.dictionaries(
    st.builds(
        Group,
        cost_centre=st.sampled_from(["", "4410", "4900"]),
        team=st.sampled_from(["a", "b"]),
        app=st.just("x"),
        model=st.sampled_from(["m", "n"]),
        vendor=st.sampled_from(["azure", "cohere", "self"]),
        kind=st.sampled_from(["usage", "gpu", "correction"]),
        about=st.sampled_from(["period", "earlier"]),
        currency=st.just("CAD"),
    ),
    st.builds(Amounts, nano=st.integers(-(10**12), 10**13)),
    max_size=20,
)


@given(groups)
def test_what_is_posted_balances_to_the_cent_and_is_the_whole(figures):
    """Debits are credits, in cents too; no amount is negative; the net is the period's spend."""
    lines = postings(figures, PLAN, on="2026-11-30")
    debit = sum((line.amount for line in lines if line.side == "debit"), Decimal(0))
    credit = sum((line.amount for line in lines if line.side == "credit"), Decimal(0))
    assert debit == credit
    assert all(line.amount >= 0 and line.nano >= 0 for line in lines)
    costs = [line for line in lines if not line.vendor]
    net = sum((line.amount if line.side == "debit" else -line.amount for line in costs), Decimal(0))
    whole = sum(amounts.nano for amounts in figures.values())
    assert net == present([whole])[0]
    assert sum(line.nano if line.side == "debit" else -line.nano for line in costs) == whole


def test_a_net_credit_is_posted_on_the_other_side():
    """A correction larger than the month's spend gives the cost back."""
    group = Group("4410", "a", "x", "m", "azure", "correction", "earlier", "CAD")
    debit, credit = postings({group: Amounts(nano=-5 * 10**9)}, PLAN, on="2026-11-30")
    assert (debit.side, debit.account, debit.amount) == ("credit", "6411", Decimal("5.00"))
    assert (credit.side, credit.account, credit.amount) == ("debit", "2100", Decimal("5.00"))
