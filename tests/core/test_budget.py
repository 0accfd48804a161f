"""Budgets as arithmetic: windows without gap or overlap, holds on every level, plans within limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget import (
    affordable_output,
    overran,
    refuse,
    scope_of,
    settlement,
    shown,
    spends,
    unavailable,
)
from gateway.core.errors import Code
from gateway.core.prices import bound
from gateway.core.values import Charge, Hold, Usage, Want
from tests.core.maple import NOW, at, price, snapshot, want

MONTH = "2026-11-01T04:00:00Z"


def hold() -> Hold:
    """A hold of money and tokens."""
    return Hold(id="h", wants=(want(5_000, 10**9), want(700, 10**6, "app:teller:tokens", unit="tokens")))


def test_what_is_known_is_booked_and_the_rest_at_its_hold() -> None:
    """Usage and charge where they came; the hold where not (promise 6)."""
    usage = Usage(input=3, output=4)
    priced = Charge(nano=1000, currency="USD", lines=())
    assert spends(hold(), priced, usage, snapshot(), at=NOW) == {
        "team:branch:CAD": 1392,  # 1392.5, half to even
        "app:teller:tokens": 7,
    }
    assert spends(hold(), None, None, snapshot(), at=NOW) == {
        "team:branch:CAD": 5_000,
        "app:teller:tokens": 700,
    }
    no_rate = spends(hold(), replace(priced, currency="EUR"), usage, snapshot(), at=NOW)
    assert no_rate["team:branch:CAD"] == 5_000


def test_settlement_of_known_unknown_and_unpriced_usage() -> None:
    """Known usage is sure; none, or a bucket without a price, is the bound and estimated."""
    most = Charge(nano=3000, currency="USD", lines=(), estimated=True)
    sure = settlement(snapshot(), "here", hold(), bound=most, usage=Usage(input=1000, output=100), at=NOW)
    assert not sure.estimated
    assert sure.charge is not None
    assert sure.charge.nano == 616_000
    assert sure.overrun  # dearer than the hold, on money and on tokens
    lost = settlement(snapshot(), "here", hold(), bound=most, usage=None, at=NOW)
    assert lost.estimated
    assert lost.charge == most
    assert lost.spends == {"team:branch:CAD": 4178, "app:teller:tokens": 700}
    gap = settlement(snapshot(), "here", hold(), bound=most, usage=Usage(input_audio=5), at=NOW)
    assert gap.estimated
    assert gap.charge == most
    assert gap.spends["app:teller:tokens"] == 5


def test_an_overrun_is_beyond_the_hold_on_any_level() -> None:
    """The vendor billed more than the bound said."""
    assert not overran(hold(), {"team:branch:CAD": 5_000, "app:teller:tokens": 700})
    assert overran(hold(), {"team:branch:CAD": 1, "app:teller:tokens": 701})


@given(st.integers(0, 5000), st.integers(0, 4000), st.integers(0, 10**7), st.integers(0, 9000))
def test_the_clamp_is_the_largest_that_fits(input_tokens: int, asked: int, money: int, tokens: int) -> None:
    """One more output token would not fit some budget; what is returned fits all."""
    room = [("CAD", money, MONTH), ("tokens", tokens, MONTH)]
    found = affordable_output(
        snapshot(), "here", input_tokens=input_tokens, output_tokens=asked, room=room, at=NOW
    )

    def need(output: int) -> tuple[int, int]:
        most = bound(snapshot(), "here", input_tokens=input_tokens, output_tokens=output, at=NOW)
        assert isinstance(most, Charge)
        nano = most.nano * 13925
        return -(-nano // 10_000), input_tokens + output

    assert 0 <= found <= asked
    if found:
        assert need(found) <= (money, need(found)[1])
        assert need(found)[1] <= tokens
    if found < asked:
        more_money, more_tokens = need(found + 1)
        assert more_money > money or more_tokens > tokens


def test_nothing_is_affordable_at_an_unknown_price() -> None:
    """No price, no clamp."""
    room = [("CAD", 10**12, MONTH)]
    assert affordable_output(snapshot(), "x", input_tokens=1, output_tokens=9, room=room, at=NOW) == 0


def test_an_exhausted_budget_is_refused_until_it_resets() -> None:
    """402: scope, limit, spent, held, reset and no retry."""
    made = refuse(want(2 * 10**9, 10 * 10**9), spent=9 * 10**9, held=10**9, now=at("2036-12-01T04:59:00"))
    assert made.code is Code.BUDGET_EXCEEDED
    assert (made.retry, made.retry_after) == (False, 60)
    assert made.extension == {
        "scope": "team `branch`",
        "unit": "CAD",
        "limit": "10.00",
        "spent": "9.00",
        "held": "1.00",
        "asked": "2.00",
        "resets": "2036-12-01T05:00:00Z",
    }


def test_a_budget_that_is_only_held_is_contended() -> None:
    """429: what is spent leaves room, so soon there may be some."""
    made = refuse(want(2, 10), spent=8, held=2, now=NOW)
    assert made.code is Code.BUDGET_CONTENTION
    assert made.retry
    assert made.retry_after in {1, 2}


def test_the_store_away_is_said_so() -> None:
    """503, soon again."""
    assert unavailable().code is Code.BUDGET_UNAVAILABLE
    assert unavailable().retry_after


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (0, "CAD", "0.00"),
        (2_500 * 10**9, "CAD", "2500.00"),
        (1, "CAD", "0.000000001"),
        (1_230_000_000, "CAD", "1.23"),
        (1500, "tokens", "1500"),
    ],
)
def test_amounts_are_shown_as_plain_decimals(amount: int, unit: str, text: str) -> None:
    """No exponents, no nano-units in messages."""
    assert shown(amount, unit) == text


def test_scopes_are_named() -> None:
    """The level and the name that teams.yaml has."""
    assert scope_of("team:branch:CAD") == "team `branch`"


@given(st.integers(0, 500), st.integers(1, 400), st.integers(0, 900), st.integers(0, 900))
def test_the_clamp_knows_what_answers_take(
    input_tokens: int, asked: int, output_left: int, input_left: int
) -> None:
    """Output tokens bound the answer, input tokens say yes or no, GPU time says nothing about lengths."""
    room = [
        ("output_tokens", output_left, MONTH),
        ("input_tokens", input_left, MONTH),
        ("requests", 1, MONTH),
        ("gpu_seconds", 0, MONTH),
    ]
    found = affordable_output(
        snapshot(), "here", input_tokens=input_tokens, output_tokens=asked, room=room, at=NOW
    )
    assert found == (min(asked, output_left) if input_tokens <= input_left else 0)


def units_hold() -> Hold:
    """A hold in every unit that is no money."""
    units = ("tokens", "input_tokens", "output_tokens", "requests", "gpu_seconds")
    return Hold(id="h", wants=tuple(want(900, 10**6, f"app:teller:{unit}", unit=unit) for unit in units))


def test_each_unit_is_booked_at_what_was_used_of_it() -> None:
    """Input, output and all tokens apart; one request; GPU time where it is known, at its hold where not."""
    usage = Usage(input=10, cache_read=5, output=20, reasoning=7)
    priced = Charge(nano=1, currency="CAD", lines=())
    made = spends(units_hold(), priced, usage, snapshot(), at=NOW, amounts={"gpu_seconds": 250})
    assert {budget.rpartition(":")[2]: amount for budget, amount in made.items()} == {
        "tokens": 35,
        "input_tokens": 15,
        "output_tokens": 20,
        "requests": 1,
        "gpu_seconds": 250,
    }
    unknown = spends(units_hold(), priced, usage, snapshot(), at=NOW)
    assert unknown["app:teller:gpu_seconds"] == 900


def test_rates_and_what_was_unknown_overrun_nothing() -> None:
    """A rate that was passed by what a vendor used is no overrun; nor is a soft budget that held nothing."""
    rate = want(1, 10, "rate:app:teller:tokens", unit="tokens", rate=True)
    soft = want(0, 10, soft=True)
    held = Hold(id="h", wants=(rate, soft))
    assert not overran(held, {rate.budget: 5, soft.budget: 5})
    assert overran(Hold(id="h", wants=(replace(soft, amount=4),)), {soft.budget: 5})


def test_a_rolling_budget_says_when_enough_is_old() -> None:
    """402: not the end of a part but the instant at which the call would fit."""
    day = 24 * 3600 * 10**9
    made = refuse(
        want(2 * 10**9, 10 * 10**9, length=day), spent=9 * 10**9, held=0, now=NOW, frees=NOW + 90 * 10**9
    )
    assert made.code is Code.BUDGET_EXCEEDED
    assert (made.retry_after, made.extension["resets"]) == (90, "2026-11-23T14:01:30Z")
    assert "1 d old" in made.message


def test_what_was_carried_over_is_part_of_the_limit() -> None:
    """The refusal names the limit with it, and how much of it that is."""
    made = refuse(want(2 * 10**9, 10 * 10**9), spent=14 * 10**9, held=0, now=NOW, extra=5 * 10**9)
    assert made.code is Code.BUDGET_EXCEEDED
    assert (made.extension["limit"], made.extension["carried_over"]) == ("15.00", "5.00")
    fits = refuse(want(10**9, 10 * 10**9), spent=14 * 10**9, held=10**9, now=NOW, extra=5 * 10**9)
    assert fits.code is Code.BUDGET_CONTENTION


def test_a_rate_is_refused_until_its_minute_is_over() -> None:
    """429 with the seconds that are left of it; a moment where only slices are in the way."""
    one = want(1, 60, "rate:app:teller:requests", unit="requests", rate=True, resets=NOW + 12 * 10**9)
    made = refuse(one, spent=60, held=0, now=NOW)
    assert (made.code, made.retry_after) == (Code.RATE_LIMITED, 12)
    assert made.extension["scope"] == "app `teller`"
    assert made.extension["unit"] == "requests per minute"
    assert "60 requests a minute" in made.message
    assert refuse(one, spent=50, held=10, now=NOW).retry_after == 1


def test_too_many_calls_at_once_wait_for_one_to_end() -> None:
    """429 in a second, with the limit and how many there are."""
    one = want(1, 4, "rate:key:k1:concurrent", unit="concurrent", rate=True, window="now", resets=2**62)
    made = refuse(one, spent=0, held=4, now=NOW)
    assert (made.code, made.retry_after) == (Code.RATE_LIMITED, 1)
    assert made.message.startswith("Key `k1` may have 4 calls at once, and has 4.")


@pytest.mark.parametrize(
    ("budget", "scope"),
    [
        ("team:branch:CAD", "team `branch`"),
        ("app:a:b:c:tokens:day", "app `a:b:c`"),
        ("user:teller/u-1f:CAD:last-24h", "user `teller/u-1f`"),
        ("rate:app:teller:requests", "app `teller`"),
        ("model:chat-pro:gpu_seconds:2026-11-01..2027-01-31", "model `chat-pro`"),
        ("x", "`x`"),
    ],
)
def test_scopes_are_named_whatever_the_names(budget: str, scope: str) -> None:
    """Names may hold colons; windows and units are no names."""
    assert scope_of(budget) == scope


def test_price_helper_is_current() -> None:
    """The bank's price sheet of these tests is in force at their instant."""
    assert price().valid_from <= NOW
    assert isinstance(want(1, 2), Want)
