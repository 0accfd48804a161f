"""What a call must hold: every level, every unit, every kind of window, and who is asked for what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.core.errors import Code, Refusal
from gateway.core.prices import bound
from gateway.core.snapshot import BudgetLimit
from gateway.core.values import Caller, Carry, Charge, Want
from gateway.core.wants import every_limit, levels, per_call, user_name, want_of, wants, window_of
from tests.core.maple import CALLER, NOW, app, at, limit, snapshot

DAY = 24 * 3600 * 10**9


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


FREE = Charge(nano=0, currency="CAD", lines=())


def held(compiled: Any, caller: Caller = CALLER, **more: Any) -> tuple[Want, ...]:
    """The wants of a call of ten tokens, which are not refused."""
    given: dict[str, Any] = {"bound": FREE, "tokens": 10, "at": NOW, **more}
    made = wants(compiled, caller, **given)
    assert not isinstance(made, Refusal), made
    return made


def with_app(**changes: Any) -> Any:
    """A bundle whose teller has these budgets only."""
    return snapshot(apps={"teller": app(**{"budgets": (), "key_budgets": (), **changes})})


def test_each_unit_is_held_at_its_own_bound() -> None:
    """All tokens, those in, those out, one request, and what GPUs it may take."""
    units = ("tokens", "input_tokens", "output_tokens", "requests", "gpu_seconds")
    compiled = with_app(budgets=tuple(limit("app", "teller", unit, 10**6) for unit in units))
    made = held(compiled, tokens=30, input_tokens=10, output_tokens=20, amounts={"gpu_seconds": 77})
    assert [w.amount for w in made] == [30, 10, 20, 1, 77]
    # What is not told apart is bounded by the whole.
    made = held(compiled, tokens=30, amounts={"gpu_seconds": 0})
    assert [w.amount for w in made] == [30, 30, 30, 1, 0]


def test_an_unknown_amount_refuses_under_a_hard_budget_only() -> None:
    """GPU time that nobody can tell: refused with the reason; counted as nothing where it is soft."""
    hard = limit("team", "lab", "gpu_seconds", 10**6)
    for amounts in ({}, {"gpu_seconds": None}):
        made = wants(with_app(budgets=(hard,)), CALLER, bound=FREE, tokens=1, at=NOW, amounts=amounts)
        assert isinstance(made, Refusal)
        assert made.code is Code.PRICE_UNKNOWN
        assert "team `lab`" in made.message
        assert "pool" in made.message
    soft = with_app(budgets=(replace(hard, soft=True), limit("app", "teller", "EUR", 1)))
    assert isinstance(wants(soft, CALLER, bound=FREE, tokens=1, at=NOW), Refusal)  # no rate to EUR
    soft = with_app(budgets=(replace(hard, soft=True), replace(limit("app", "teller", "EUR", 1), soft=True)))
    assert [(w.amount, w.soft) for w in held(soft)] == [(0, True), (0, True)]


def test_users_have_budgets_of_their_own_under_a_pseudonym() -> None:
    """Two users do not share; who says no user shares with all who say none; no name is in any id."""
    compiled = with_app(user_budgets=(limit("user", "teller/*", "tokens", 100),))
    anne, bill = (replace(CALLER, user=f"{name}@maple.example") for name in ("anne", "bill"))
    ids = [held(compiled, caller)[0].budget for caller in (anne, bill, anne, CALLER)]
    assert ids[0] == ids[2] != ids[1]
    assert ids[3] == "user:teller/-:tokens"
    assert "anne" not in ids[0]
    assert user_name(anne) != user_name(replace(anne, tenant="other"))


def test_models_and_kinds_of_data_have_budgets_over_all_apps() -> None:
    """By the alias and by each label of the call; a budget that two labels share is held once."""
    clients = limit("data", "client", "tokens", 100)
    compiled = snapshot(
        apps={"teller": app(budgets=(), key_budgets=())},
        model_budgets={"chat-pro": (limit("model", "chat-pro", "tokens", 100),)},
        data_budgets={
            "client": (clients,),
            "quebec_client": (clients, limit("data", "quebec_client", "tokens", 9)),
        },
    )
    assert held(compiled) == ()
    assert [w.budget for w in held(compiled, alias="chat-pro", labels=["client"])] == [
        "model:chat-pro:tokens",
        "data:client:tokens",
    ]
    both = held(compiled, alias="chat", labels={"client", "quebec_client", "public"})
    assert [w.budget for w in both] == ["data:client:tokens", "data:quebec_client:tokens"]


def test_levels_come_in_one_order() -> None:
    """Organisation, team, app, user, key, model, data, then rates of tokens."""
    compiled = snapshot(
        apps={
            "teller": app(
                key_budgets=(limit("key", "*", "tokens", 1),),
                user_budgets=(limit("user", "*", "tokens", 1),),
                rates=(replace(limit("app", "teller", "tokens", 9, "minute"), id="rate:app:teller:tokens"),),
            )
        },
        model_budgets={"chat": (limit("model", "chat", "tokens", 100),)},
        data_budgets={"client": (limit("data", "client", "tokens", 100),)},
    )
    found = levels(compiled, compiled.apps["teller"], CALLER, alias="chat", labels=["client"], at=NOW)
    assert [level.budget.split(":")[0] for level in found] == [
        "org", "team", "app", "user", "key", "model", "data", "rate",
    ]  # fmt: skip
    assert len(list(every_limit(compiled))) == 8


ROLLING = replace(limit("app", "teller", "tokens", 100, "last"), length=DAY)
ONCE = replace(limit("app", "teller", "tokens", 100, "once"), opens=at("2026-11-10"), closes=at("2026-11-30"))


def test_windows_of_every_kind() -> None:
    """Rolling parts, a time once, a minute, and what has no end."""
    assert window_of(ROLLING, NOW).id == "2026-11-23T14:00:00Z"
    assert window_of(ROLLING, NOW).end - NOW == 3600 * 10**9
    assert window_of(ONCE, NOW).id == "2026-11-10T00:00:00Z"
    assert (
        window_of(limit("app", "x", "requests", 1, "minute"), NOW + 61 * 10**9).id == "2026-11-23T14:01:00Z"
    )
    assert window_of(limit("app", "x", "concurrent", 1, "now"), NOW).id == "now"


def test_a_want_says_what_kind_of_budget_it_is_of() -> None:
    """Whoever holds it needs to know: soft, rolling, carrying over, or a rate."""
    carry = Carry(per="month", timezone="UTC", at_most=5)
    made = want_of(replace(limit("app", "teller", "CAD", 7), carry=carry, soft=True), at=NOW)
    assert (made.carry, made.soft, made.rate, made.length, made.amount) == (carry, True, False, 0, 0)
    assert want_of(ROLLING, at=NOW).length == DAY
    assert want_of(limit("key", "*", "requests", 7, "minute"), at=NOW, name="k9").rate


def test_before_and_after_a_budget_for_once() -> None:
    """Nothing may be spent, with the days and when it begins; or it says nothing then, if declared so."""
    compiled = with_app(budgets=(ONCE,))
    for moment, wait in ((ONCE.opens - 10**9, 1), (ONCE.closes, None)):
        made = wants(compiled, CALLER, bound=FREE, tokens=1, at=moment)
        assert isinstance(made, Refusal)
        assert (made.code, made.retry, made.retry_after) == (Code.BUDGET_EXCEEDED, False, wait)
        assert made.extension["opens"] == "2026-11-10T00:00:00Z"
        assert made.extension["closes"] == "2026-11-30T00:00:00Z"
    assert len(held(compiled, at=ONCE.opens)) == len(held(compiled, at=ONCE.closes - 1)) == 1
    silent = with_app(budgets=(replace(ONCE, outside="no_limit"),))
    assert held(silent, at=ONCE.opens - 1) == ()
    assert len(held(silent, at=ONCE.opens)) == 1
    assert held(silent, at=ONCE.closes) == ()


def test_what_is_remembered_ends_with_its_window() -> None:
    """Levels are worked out once per window, and anew at its end and for another limit."""
    compiled = with_app(budgets=(limit("app", "teller", "tokens", 5, "day"),))
    seen = [held(compiled, at=moment)[0].window for moment in (NOW, NOW + 1, NOW + DAY, NOW)]
    assert seen == [
        "2026-11-23T05:00:00Z",
        "2026-11-23T05:00:00Z",
        "2026-11-24T05:00:00Z",
        "2026-11-23T05:00:00Z",
    ]


def rate(level: str, name: str, unit: str, per: str = "minute") -> BudgetLimit:
    """A rate of seven."""
    return replace(limit(level, name, unit, 7, per), id=f"rate:{level}:{name}:{unit}")


def test_rates_of_calls_are_asked_first_and_those_of_tokens_with_the_bound() -> None:
    """Requests and places before anything is done; tokens when it is known how many there may be."""
    compiled = with_app(
        rates=(rate("team", "branch", "requests"), rate("app", "teller", "concurrent", "now")),
        key_rates=(rate("key", "*", "output_tokens"),),
        user_rates=(rate("user", "teller/*", "requests"),),
    )
    first = per_call(compiled, compiled.apps["teller"], CALLER, at=NOW)
    assert [level.budget for level in first] == [
        "rate:team:branch:requests",
        "rate:app:teller:concurrent",
        "rate:user:teller/-:requests",
    ]
    (tokens,) = held(compiled, output_tokens=4)
    assert (tokens.budget, tokens.amount, tokens.rate) == ("rate:key:k1:output_tokens", 4, True)
