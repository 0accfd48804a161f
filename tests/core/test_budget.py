"""Budgets as arithmetic: windows without gap or overlap, holds on every level, plans within limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.budget import (
    Ask,
    Key,
    Room,
    affordable_output,
    enlarged,
    further,
    overran,
    plan,
    refuse,
    scope_of,
    settlement,
    shown,
    spends,
    unavailable,
    wants,
    windows,
)
from gateway.core.errors import Code, Refusal
from gateway.core.prices import bound
from gateway.core.values import Caller, Charge, Hold, Usage, Want
from tests.core.maple import CALLER, NOW, app, at, limit, price, snapshot, want

HOUR = 3600 * 10**9
ZONES = [
    "America/Toronto",
    "Europe/Berlin",
    "Asia/Kolkata",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "America/Havana",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "UTC",
]
PERS = ["day", "week", "month", "quarter", "year"]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(PERS),
    st.integers(at("1975-01-01") // 10**9, at("2040-01-01") // 10**9),
)
def test_windows_tile_time(zone: str, per: str, second: int) -> None:
    """Each instant is in one window, and the next begins where it ends: no gap, no overlap."""
    instant = second * 10**9
    start, end = windows(per, zone, instant)
    assert start <= instant < end
    assert windows(per, zone, start) == (start, end)
    assert windows(per, zone, end - 1) == (start, end)
    assert windows(per, zone, end)[0] == end


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00", 25),
        ("America/Toronto", "2026-11-01T12:00:00", 25),
        ("America/Sao_Paulo", "2018-11-04T12:00:00", 23),  # midnight does not exist
        ("America/Havana", "2026-11-01T12:00:00", 25),  # midnight exists twice
        ("Asia/Kolkata", "2026-02-28T12:00:00", 24),
    ],
)
def test_days_around_clock_changes(zone: str, day: str, hours: int) -> None:
    """A local day has 23 or 25 hours where clocks change."""
    start, end = windows("day", zone, at(day))
    assert end - start == hours * HOUR


@pytest.mark.parametrize(
    ("per", "instant", "start", "end"),
    [
        ("month", "2024-02-29T12:00:00", "2024-02-01T05:00:00", "2024-03-01T05:00:00"),
        ("month", "2026-11-23T14:00:00", "2026-11-01T04:00:00", "2026-12-01T05:00:00"),
        ("quarter", "2026-11-23T14:00:00", "2026-10-01T04:00:00", "2027-01-01T05:00:00"),
        ("year", "2026-11-23T14:00:00", "2026-01-01T05:00:00", "2027-01-01T05:00:00"),
        ("week", "2026-11-23T14:00:00", "2026-11-23T05:00:00", "2026-11-30T05:00:00"),
        ("month", "2026-12-01T04:59:59", "2026-11-01T04:00:00", "2026-12-01T05:00:00"),
    ],
)
def test_windows_by_hand(per: str, instant: str, start: str, end: str) -> None:
    """Toronto's calendar, by hand, a leap day and the last second of a month included."""
    assert windows(per, "America/Toronto", at(instant)) == (at(start), at(end))


def test_an_unknown_window_is_an_error() -> None:
    """A typo in ``per`` is not taken for some window."""
    with pytest.raises(ValueError, match="fortnight"):
        windows("fortnight", "UTC", NOW)


def test_wants_stand_on_every_level_in_order() -> None:
    """Org, team, app, key: money converted upward into the budget's currency, tokens as they are."""
    most = bound(snapshot(), "here", input_tokens=1000, output_tokens=500, at=NOW)
    assert isinstance(most, Charge)
    made = wants(snapshot(), CALLER, bound=most, tokens=1500, at=NOW)
    assert not isinstance(made, Refusal)
    assert [(w.budget, w.unit, w.amount, w.window) for w in made] == [
        ("org:maple:CAD", "CAD", 1_991_275, "2026-11-01T04:00:00Z"),
        ("team:branch:CAD", "CAD", 1_991_275, "2026-11-01T04:00:00Z"),
        ("app:teller:tokens", "tokens", 1500, "2026-11-01T04:00:00Z"),
        ("key:k1:CAD:day", "CAD", 1_991_275, "2026-11-23T05:00:00Z"),
    ]


def test_an_unpriced_call_meets_no_money_budget() -> None:
    """Unknown price under a money budget is refused, never zero; tokens alone need no price."""
    made = wants(snapshot(), CALLER, bound=None, tokens=10, at=NOW)
    assert isinstance(made, Refusal)
    assert made.code is Code.PRICE_UNKNOWN
    tokens_only = app(budgets=(limit("team", "branch", "tokens", 100),), key_budgets=())
    held = wants(snapshot(apps={"teller": tokens_only}), CALLER, bound=None, tokens=10, at=NOW)
    assert not isinstance(held, Refusal)
    assert [w.amount for w in held] == [10]


def test_an_unregistered_app_holds_nothing() -> None:
    """A caller whose app the snapshot does not have is refused."""
    caller = Caller(tenant="maple", team="x", app="ghost", key_id="k")
    assert isinstance(wants(snapshot(), caller, bound=None, tokens=1, at=NOW), Refusal)


def test_two_windows_of_one_budget_do_not_collide() -> None:
    """A day and its month may start at the same instant: they are two budgets."""
    both = app(
        budgets=(),
        key_budgets=(limit("key", "*", "tokens", 10, "month"), limit("key", "*", "tokens", 5, "day")),
    )
    first = at("2026-12-01T05:00:00")
    made = wants(snapshot(apps={"teller": both}), CALLER, bound=None, tokens=1, at=first)
    assert not isinstance(made, Refusal)
    assert len({(w.budget, w.window) for w in made}) == 2
    assert len({w.window for w in made}) == 1


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
    room = [("CAD", money), ("tokens", tokens)]
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
    room = [("CAD", 10**12)]
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


AMOUNTS = st.integers(0, 30)
BUDGETS = ["org:m:CAD", "team:t:CAD", "app:a:CAD"]


@given(
    st.lists(st.dictionaries(st.sampled_from(BUDGETS), AMOUNTS, min_size=1), max_size=12),
    st.fixed_dictionaries({budget: st.integers(0, 200) for budget in BUDGETS}),
    st.fixed_dictionaries({budget: st.tuples(st.integers(0, 60), st.integers(0, 60)) for budget in BUDGETS}),
    st.booleans(),
)
def test_a_plan_takes_on_all_levels_or_none_and_never_passes_a_limit(
    asked: list[dict[str, int]],
    limits: dict[str, int],
    state: dict[str, tuple[int, int]],
    contended: bool,
) -> None:
    """Committed grows by exactly what was granted, only within the limit; who is refused takes nothing."""
    window = "w"
    rooms: dict[Key, Room] = {
        (budget, window): Room(committed=committed + free, free=free, contended=contended)
        for budget, (committed, free) in state.items()
    }
    before = {key: (room.committed, room.free) for key, room in rooms.items()}
    asks = [
        Ask(
            hold_id=str(n),
            wants=tuple(want(amount, limits[b], b, window=window) for b, amount in sorted(ask.items())),
        )
        for n, ask in enumerate(asked)
    ]
    verdicts = plan(asks, rooms)
    held = dict.fromkeys(rooms, 0)
    for ask, verdict in zip(asks, verdicts, strict=True):
        if verdict.blocked is None:
            for w in ask.wants:
                held[w.budget, w.window] += w.amount
    for key, room in rooms.items():
        committed, free = before[key]
        assert room.committed - committed == room.taken >= 0
        assert room.free == free + room.taken - held[key] >= 0
        if room.taken:
            assert room.committed <= limits[key[0]]
        if contended:
            assert room.taken == max(0, held[key] - free)


def test_slices_are_padded_far_from_the_limit_only() -> None:
    """Far away a lease covers further holds; near the limit it is exactly what is needed."""
    far: dict[Key, Room] = {("b", "w"): Room(committed=0, free=0, contended=False)}
    plan([Ask(hold_id="h", wants=(want(10, 10**6, "b", window="w"),))], far)
    assert far["b", "w"].taken == 100
    near: dict[Key, Room] = {("b", "w"): Room(committed=0, free=0, contended=False)}
    plan([Ask(hold_id="h", wants=(want(10, 199, "b", window="w"),))], near)
    assert near["b", "w"].taken == 10


def test_a_top_up_adds_to_the_levels_it_names() -> None:
    """The enlarged hold bears the sums, the further wants the additions only."""
    amounts = {"team:branch:CAD": 10}
    assert [w.amount for w in enlarged(hold(), amounts).wants] == [5_010, 700]
    assert [(w.budget, w.amount) for w in further(hold(), amounts)] == [("team:branch:CAD", 10)]


def test_price_helper_is_current() -> None:
    """The bank's price sheet of these tests is in force at their instant."""
    assert price().valid_from <= NOW
    assert isinstance(want(1, 2), Want)
