"""Entries of an adjustment: they sum to it, and lost calls are put right first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.adjusting import Difference, Share, entries, shared

amounts = st.integers(min_value=-(10**15), max_value=10**15)
weights = st.lists(st.integers(min_value=0, max_value=10**12), max_size=8)


def difference(nano, *, estimate=0, spend=None):
    return Difference(
        exception="x1",
        tenant="maple",
        vendor="openai",
        model="m",
        start_us=1,
        end_us=2,
        billing_period="2026-11",
        currency="USD",
        estimate_nano=estimate,
        nano=nano,
        spend_currency="CAD",
        spend_nano=nano * 14 // 10 if spend is None else spend,
        cause="price",
        reason="because",
        by="fin",
        at_us=9,
        version="v",
    )


def share(app, nano, attempt="", **more):
    return Share(
        team="t",
        app=app,
        cost_centre="4410",
        alias="chat",
        deployment="d",
        place="CA",
        model="m",
        nano=nano,
        attempt=attempt,
        **more,
    )


@given(amounts, weights, weights, amounts)
def test_entries_sum_to_the_difference_in_both_currencies(nano, own, lost, estimate) -> None:
    what = difference(nano, estimate=estimate)
    made = entries(
        what,
        estimated=[share(f"e{n}", w, f"a{n}") for n, w in enumerate(lost)],
        users=[share(f"u{n}", w) for n, w in enumerate(own)],
    )
    assert sum(entry.nano for entry in made) == nano
    if nano:
        assert sum(entry.spend_nano for entry in made) == what.spend_nano
    assert len({entry.id for entry in made}) == len(made)


def test_lost_calls_are_corrected_first_and_each_by_its_own_entry() -> None:
    made = entries(
        difference(-900, estimate=-600),
        estimated=[share("a", 400, "c1/1"), share("b", 200, "c2/1")],
        users=[share("c", 5)],
    )
    assert [(entry.refers, entry.nano) for entry in made] == [("c1/1", -400), ("c2/1", -200), ("x1", -300)]


def test_what_nobody_used_is_unallocated() -> None:
    (entry,) = entries(difference(1_000), estimated=[], users=[])
    assert (entry.team, entry.app, entry.cost_centre, entry.kind) == ("", "", None, "adjust")
    assert entry.reason == "openai's bill differs (price): because."


@given(amounts, st.lists(st.integers(min_value=-(10**9), max_value=10**9), min_size=1, max_size=9))
def test_shares_sum_whatever_the_signs(amount, parts) -> None:
    assert sum(shared(amount, parts)) == amount


def test_a_lost_call_is_reversed_as_estimated_and_booked_as_known() -> None:
    """Estimated amounts of a report then are right by plain summing."""
    lost = share("a", 400, "c1/1", currency="USD", spend_nano=560)
    back, known = entries(difference(-300, estimate=-300, spend=-420), estimated=[lost], users=[])[:2]
    assert (back.nano, back.spend_nano, back.estimated) == (-400, -560, True)
    assert (known.nano, known.spend_nano, known.estimated) == (100, 140, False)
    assert {back.refers, known.refers} == {"c1/1"}
