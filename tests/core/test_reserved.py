"""Reserved capacity: nothing is lost or made by cutting time or by splitting among users."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.reserved import (
    BILLION,
    IDLE,
    Reserved,
    Use,
    amount,
    entry_id,
    origin,
    shares,
    split,
    window,
    windows,
)
from tests.core.maple import at

TORONTO = "America/Toronto"
NANO = 10**9
HOUR = 3_600 * NANO
CENTRES = [
    ("branch", "teller", "4410"),
    ("branch", "vault", "4410"),
    ("lab", "hackathon", None),
    ("lab", "x", "1"),
]


def reservation(**changes: object) -> Reserved:
    """2,448 dollars a month, split by tokens."""
    made: dict[str, object] = {"nano": 2_448 * NANO, "per": "month", "split": "tokens", **changes}
    return Reserved(**made)  # type: ignore[arg-type]  # a test's own words


USES = st.lists(
    st.builds(
        Use,
        user=st.sampled_from(CENTRES),
        requests=st.integers(1, 10**6),
        buckets=st.fixed_dictionaries({"input": st.integers(0, 10**9), "output": st.integers(0, 10**8)}),
    ),
    unique_by=lambda use: use.user,
)
WEIGHTS = st.sampled_from([{}, {"output": Decimal(4)}, {"input": Decimal("0.25"), "output": Decimal(0)}])


@given(
    USES,
    WEIGHTS,
    st.sampled_from(["tokens", "requests"]),
    st.none() | st.decimals("0.001", "1000000000", places=3),
    st.integers(0, 10**15),
    st.integers(0, 10**15),
)
def test_shares_add_up_to_the_amount(uses, weights, by, capacity, nano, spend):
    """To the last nano-unit in both currencies, and to one in ratios; idle is always there, first."""
    made = reservation(weights=weights, split=by, capacity=capacity)
    parts = shares(made, uses, start=0, end=HOUR, nano=nano, spend_nano=spend)
    assert sum(part.nano for part in parts) == nano
    assert sum(part.spend_nano for part in parts) == spend
    assert sum(part.ratio_ppb for part in parts) == BILLION
    assert min(part.nano for part in parts) >= 0
    assert [part.user for part in parts] == [
        IDLE, *sorted((use.user for use in uses), key=lambda user: (user[0], user[1], user[2] or "")),
    ]  # fmt: skip


@given(USES, st.randoms())
def test_the_order_of_users_does_not_matter(uses, chance):
    """A replica that reads the rows in another order books the same shares."""
    mixed = list(uses)
    chance.shuffle(mixed)
    one, other = (
        shares(reservation(), each, start=0, end=HOUR, nano=10**9 + 7, spend_nano=3) for each in (uses, mixed)
    )
    assert one == other


@given(USES.filter(bool), st.integers(1, 10**6))
def test_more_use_never_bears_less(uses, more):
    """Whoever uses more of the same window pays at least what they paid."""
    first = uses[0]
    buckets = {**first.buckets, "input": first.buckets["input"] + more}
    larger = Use(user=first.user, requests=first.requests, buckets=buckets)

    def borne(of):
        parts = shares(reservation(), of, start=0, end=HOUR, nano=10**12, spend_nano=0)
        return next(part.nano for part in parts if part.user == first.user)

    assert borne([larger, *uses[1:]]) >= borne(uses)


def test_a_month_split_by_hand():
    """30 days of 81.60; 3:1 by tokens of which output weighs four times; half of the capacity idle."""
    made = reservation(weights={"output": Decimal(4)}, capacity=Decimal(2_000), window="day")
    start, end = window("day", TORONTO, at("2026-11-10T12:00:00"))
    nano = amount(made, start, end, valid_from=at("2026-11-01T04:00:00"), timezone=TORONTO)
    assert abs(nano - 2_448 * NANO * 24 // 721) <= 1  # November has 721 hours in Toronto
    uses = [
        Use(user=CENTRES[0], requests=9, buckets={"input": 10_000, "output": 2_000, "reasoning": 500}),
        Use(user=CENTRES[2], requests=9, buckets={"input": 6_000}),
    ]
    idle, teller, hackathon = shares(made, uses, start=start, end=end, nano=nano, spend_nano=nano)
    assert (idle.ratio_ppb, teller.ratio_ppb, hackathon.ratio_ppb) == (500_000_000, 375_000_000, 125_000_000)
    assert teller.tokens == 12_000


def test_a_window_that_nobody_used_is_idle():
    """All of it, also where no capacity is declared."""
    (idle,) = shares(reservation(), [], start=0, end=HOUR, nano=7, spend_nano=9)
    assert (idle.user, idle.nano, idle.spend_nano, idle.ratio_ppb) == (IDLE, 7, 9, BILLION)


def test_more_use_than_the_declared_capacity_leaves_nothing_idle():
    """The declaration was wrong; the amount is still borne by those who used it."""
    made = reservation(capacity=Decimal(10))
    uses = [Use(user=CENTRES[0], requests=1, buckets={"input": 11})]
    idle, teller = shares(made, uses, start=0, end=HOUR, nano=7, spend_nano=7)
    assert (idle.nano, teller.nano) == (0, 7)


@pytest.mark.parametrize("zone", [TORONTO, "Europe/Berlin", "Asia/Kolkata", "UTC", "Australia/Lord_Howe"])
@pytest.mark.parametrize("per", ["hour", "day", "month"])
@pytest.mark.parametrize("month", ["2026-02", "2026-03", "2026-10", "2026-11", "2028-02"])
def test_the_windows_of_a_month_are_the_month(zone, per, month):
    """No gap, no overlap, and their amounts add up to the month's, through clock changes and leap days."""
    start, end = window("month", zone, at(f"{month}-15"))
    made = reservation(window=per)
    found = list(windows(made, valid_from=start, valid_to=end, timezone=zone, since=start, closed=end))
    assert (found[0][0], found[-1][1]) == (start, end)
    assert all(one[1] == two[0] for one, two in pairwise(found))
    paid = [amount(made, a, b, valid_from=start, timezone=zone) for a, b in found]
    assert sum(paid) == made.nano
    hourly = reservation(per="hour", nano=3 * NANO + 1, window=per)
    paid = [amount(hourly, a, b, valid_from=start, timezone=zone) for a, b in found]
    assert sum(paid) == (3 * NANO + 1) * (end - start) // HOUR


def test_only_closed_windows_are_due_and_validity_cuts_the_first_and_the_last():
    """A reservation from the tenth at noon to the twelfth at noon, asked on the twelfth at one."""
    first, last = at("2026-11-10T17:00:00"), at("2026-11-12T17:00:00")
    made = reservation()
    found = list(
        windows(
            made, valid_from=first, valid_to=last, timezone=TORONTO, since=0, closed=at("2026-11-12T18:00:00")
        )
    )
    midnight = at("2026-11-11T05:00:00")
    assert found == [(first, midnight), (midnight, midnight + 24 * HOUR), (midnight + 24 * HOUR, last)]
    early = windows(made, valid_from=first, valid_to=None, timezone=TORONTO, since=0, closed=midnight - 1)
    assert list(early) == []
    later = windows(made, valid_from=first, valid_to=last, timezone=TORONTO, since=midnight, closed=last)
    assert list(later) == found[1:]


def test_names_tell_windows_and_users_apart():
    """One id per share; the origin is that of the whole window."""
    charged = origin("ptu-2026", at("2026-11-10T05:00:00"))
    assert charged == "reserved:ptu-2026:2026-11-10T05:00:00Z"
    ids = {entry_id(charged, user) for user in (IDLE, *CENTRES)}
    assert len(ids) == 5
    assert all(name.startswith(charged) for name in ids)


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**12), min_size=1, max_size=9))
def test_a_split_is_whole_and_fair(total, weights):
    """Each part within one of its exact share; equal weights differ by one at most."""
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    if whole:
        assert all(
            abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True)
        )
