"""When somebody is told of a budget, a vendor or an end, and that every worker makes the same key of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.alert_plan import AlertKind, AlertPlan
from gateway.core.alerts import (
    DAY,
    Spent,
    budget_alerts,
    covered_until,
    ending_alerts,
    forecast_of,
    journal_alert,
    mismatch_alert,
    overrun_alerts,
    sample,
    teams_of,
)
from gateway.core.money import NANO
from gateway.core.observed import Mismatch
from gateway.core.overruns import Overrun
from gateway.core.snapshot import BudgetLimit, Price
from tests.people import NOW, app, limit, snapshot
from tests.spine import NOW as BANK_NOW
from tests.spine import snapshot as bank_snapshot

HUNDRED = replace(limit("team:branch:CAD", "team", "branch", "100.00"), alert_at=(50, 80, 100))
START, END = NOW - 22 * DAY, NOW + 8 * DAY


def spent(amount: str | int, of: BudgetLimit = HUNDRED, **changes: Any) -> Spent:
    """Where the budget stands."""
    nano = int(Decimal(amount) * NANO)
    return replace(
        Spent(budget=of.id, limit=of, window="w", start=START, end=END, spent=nano, most=of.limit), **changes
    )


def kinds(where: Spent, now: int = NOW) -> list[tuple[str, object]]:
    """What is told: kind and percent."""
    return [(a.kind.value, dict(a.facts).get("percent")) for a in budget_alerts(where, now=now)]


def test_a_threshold_is_passed_when_it_is_reached() -> None:
    """To the billionth: 49.999999999 is not half."""
    early = START + DAY  # too early to forecast
    assert kinds(spent("49.999999999"), early) == []
    assert kinds(spent("50"), early) == [("budget_threshold", 50)]
    assert kinds(spent("100"), early) == [("budget_threshold", p) for p in (50, 80, 100)]


def test_a_soft_limit_may_be_passed_and_is_told_beyond_it() -> None:
    """150 % of a soft budget."""
    soft = replace(HUNDRED, soft=True, alert_at=(150,))
    assert kinds(spent("149", soft), START + DAY) == []
    (told,) = budget_alerts(spent("150", soft), now=START + DAY)
    assert dict(told.facts)["hard"] == "no"
    assert told.title == "Team `branch` (month) has passed 150 % of its budget: 150.00 CAD of 100.00 CAD"


def test_what_was_carried_over_counts() -> None:
    """Half of 100 and 100 more is 100."""
    assert kinds(spent("80", most=200 * NANO), START + DAY) == []
    assert kinds(spent("100", most=200 * NANO), START + DAY) == [("budget_threshold", 50)]


def test_a_forecast_is_told_once_the_pace_is_known_and_before_the_limit_is_reached() -> None:
    """A tenth of the window must be over; at the limit the threshold says it."""
    whole = END - START
    pace = spent("12", replace(HUNDRED, alert_at=(90,)))
    assert forecast_of(pace, START + whole // 10 - 1) is None
    assert forecast_of(pace, START + whole // 10) == 120 * NANO
    assert kinds(pace, START + whole // 10) == [("budget_forecast", None)]
    assert kinds(pace, START + whole // 5) == []
    (told,) = budget_alerts(pace, now=START + whole // 10)
    assert dict(told.facts)["forecast"] == "120.00"
    assert kinds(spent("100", replace(HUNDRED, alert_at=(90,))), START + whole // 10) == [
        ("budget_threshold", 90)
    ]


@given(st.integers(0, 10**15), st.integers(1, 10**15), st.integers(0, 40 * DAY))
def test_a_forecast_is_never_below_what_is_spent(amount: int, most: int, after: int) -> None:
    """And at the end of the window it is what was spent."""
    where = spent("0", spent=amount, most=most)
    found = forecast_of(where, START + after)
    if found is not None:
        assert found >= amount
        if after >= END - START:
            assert found == amount


@given(st.integers(0, 300), st.integers(0, 300))
def test_more_spent_never_tells_less(less: int, more: int) -> None:
    """Thresholds only add up."""
    low, high = sorted((less, more))
    first = {a.key for a in budget_alerts(spent(low), now=START + DAY)}
    assert first <= {a.key for a in budget_alerts(spent(high), now=START + DAY)}


def test_a_rolling_budget_is_told_once_per_length_and_never_forecast() -> None:
    """It has no windows: its key moves with its length, not with its parts."""
    rolling = replace(HUNDRED, per="last", length=DAY, alert_at=(50,))
    first = budget_alerts(spent("60", rolling), now=NOW)
    later = budget_alerts(spent("60", rolling, window="another part"), now=NOW + 3600 * 10**9)
    assert (
        [a.key for a in first]
        == [a.key for a in later]
        == [f"threshold:{rolling.id}:rolling:{NOW // DAY}:50"]
    )


def test_a_rate_and_a_budget_without_thresholds_tell_nothing() -> None:
    """Nor does one of nothing."""
    assert kinds(spent("100", replace(HUNDRED, alert_at=()))) == []
    assert kinds(spent("100", replace(HUNDRED, per="minute"))) == []
    assert kinds(spent("0", replace(HUNDRED, limit=0), most=0)) == []


def test_tokens_are_told_as_tokens() -> None:
    """Units as finance reads them; a template by whom it is filled in for."""
    tokens = replace(HUNDRED, id="key:*:tokens", level="key", name="*", unit="tokens", limit=1000)
    where = spent("0", tokens, budget="key:k_1:tokens", spent=600, most=1000)
    (told, *_) = budget_alerts(where, now=START + DAY)
    assert told.title == "Key `k_1` (month) has passed 50 % of its budget: 600 tokens of 1000 tokens"


def test_an_overrun_is_told_once_a_day_and_deployment() -> None:
    """With what was billed, the bound, and how to clear it; nothing of the call but its id."""
    found = Overrun(deployment="ca", call="req_1", attempt="req_1#1", bound=10**9, billed=2 * 10**9,
                    currency="USD", over=("a", "b"), at=NOW)  # fmt: skip
    overrun, suspended = overrun_alerts(found)
    assert overrun.title == "`ca` billed beyond its bound: 2.000000000 USD, bound 1.000000000"
    assert dict(suspended.facts)["clear"] == "DELETE /v1/admin/suspensions/ca"
    again = overrun_alerts(replace(found, call="req_2", at=NOW + 10**9))
    assert [a.key for a in again] == [overrun.key, suspended.key]
    assert {a.key for a in overrun_alerts(replace(found, at=NOW + DAY))}.isdisjoint(
        {overrun.key, suspended.key}
    )


def test_a_vendor_that_ran_elsewhere_is_told_once_per_facts() -> None:
    """Where it said that it ran, where its facts say, and how to bring it back."""
    found = Mismatch(deployment="ca", facts="f1", declared=("CA-QC",), reported=("US",), call="req_1",
                     attempt="req_1#1", at=NOW)  # fmt: skip
    told = mismatch_alert(found)
    assert told.title.startswith("`ca` reports that it ran in US; its facts say CA-QC. It is out")
    assert dict(told.facts)["clear"] == "DELETE /v1/admin/withdrawals/ca"
    assert mismatch_alert(replace(found, call="req_2", at=NOW + DAY)).key == told.key
    assert mismatch_alert(replace(found, facts="f2")).key != told.key


def price(starts: int, ends: int | None) -> Price:
    """A price of a deployment."""
    return Price(id="p", deployment="ca", currency="USD", per=1, meters={}, valid_from=starts, valid_to=ends,
                 free=False, source="s", at="a")  # fmt: skip


def test_a_price_ends_when_none_follows() -> None:
    """One after the other without a gap; for good is for good, and what does not hold now does not end."""
    assert covered_until([price(0, 10)], 5) == 10
    assert covered_until([price(10, 20), price(0, 10)], 5) == 20
    assert covered_until([price(0, 10), price(11, 20)], 5) == 10
    assert covered_until([price(0, 10), price(10, None)], 5) is None
    assert covered_until([price(6, 10)], 5) is None
    assert covered_until([], 5) is None


def test_ends_are_told_two_weeks_before(tmp_path: Any) -> None:
    """Of prices and facts of what is connected."""
    compiled = bank_snapshot(tmp_path)
    assert ending_alerts(compiled, now=BANK_NOW) == ()
    prices = {"ca": (price(0, BANK_NOW + 13 * DAY),), "nobody": (price(0, BANK_NOW + DAY),)}
    facts = {**compiled.deployments, "us": replace(compiled.deployments["us"], expires=BANK_NOW + 5 * DAY)}
    soon = replace(compiled, prices=prices, deployments=facts)
    told = ending_alerts(soon, now=BANK_NOW)
    assert [(a.kind, dict(a.facts)["deployment"]) for a in told] == [
        (AlertKind.PRICE_ENDS, "ca"),
        (AlertKind.FACTS_EXPIRE, "us"),
    ]
    assert ending_alerts(replace(soon, alerts=AlertPlan(soon_days=4)), now=BANK_NOW) == ()
    assert len({a.key for a in (*told, *ending_alerts(soon, now=BANK_NOW + DAY))}) == 2


def test_ourselves_and_a_sample() -> None:
    """A journal once a day and writer; a sample each time it is asked for."""
    first, later = journal_alert("w1", "CA", now=NOW), journal_alert("w1", "CA", now=NOW + 10**9)
    assert first.key == later.key != journal_alert("w2", "CA", now=NOW).key
    assert sample("ops", now=NOW).key != sample("ops", now=NOW + 1).key


def test_whom_a_budget_is_about() -> None:
    """The organisation's is about everybody, an app's about its team."""
    own = limit("app:teller:CAD", "app", "teller", "1.00")
    found = snapshot(app(budgets=[own]), app("other", team="lab"))
    assert teams_of(found, own) == {"branch"}
    assert teams_of(found, limit("team:lab:CAD", "team", "lab", "1.00")) == {"lab"}
    assert teams_of(found, limit("org:maple:CAD", "org", "maple", "1.00")) == frozenset()


def test_a_sentence_says_cents_and_the_facts_say_all() -> None:
    """Nobody reads nine decimals in a subject; below a cent they are all there is."""
    (told,) = budget_alerts(spent("50.123456789"), now=START + DAY)
    assert told.title.endswith("50.12 CAD of 100.00 CAD")
    assert dict(told.facts)["spent"] == "50.123456789"
    tiny = replace(HUNDRED, limit=600_000, alert_at=(50,))
    (small,) = budget_alerts(spent("0", tiny, spent=352_914, most=600_000), now=START + DAY)
    assert small.title.endswith("0.000352914 CAD of 0.0006 CAD")
