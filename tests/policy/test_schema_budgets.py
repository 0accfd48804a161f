"""Budgets as finance writes them: what is understood, and what every mistake is told."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

import re

import pytest

from gateway.policy.problems import PolicyErrors
from gateway.policy.schema_budgets import BudgetModel, RatesModel, hours_of, once_only
from tests.policy.written import STARTER, written


def problems(budget: str) -> list[str]:
    """What is said of one budget of the organisation, whole lines."""
    with pytest.raises(PolicyErrors) as caught:
        written(policy="policy: p", teams=f"budget: {budget}")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("budget", "said", "fix"),
    [
        ("{per: day}", "a budget limits one thing, this one has no amount", 'limit: "2500.00"'),
        ('{per: day, limit: "1", tokens: 5}', "this one has limit and tokens", "per: month"),
        ("{tokens: 5}", "one window", "per: month"),
        ("{per: day, last: 24h, tokens: 5}", "one window", "per: month"),
        ("{from: 2026-11-01, tokens: 5}", "says both days", "until: 2027-01-31"),
        ("{from: 2026-11-02, until: 2026-11-01, tokens: 5}", "2026-11-01 is before 2026-11-02", "the last day"),
        ("{last: 90m, tokens: 5}", "`90m` is no length of time", "24h, 7d, 30d"),
        ("{last: 400d, tokens: 5}", "`400d` is no length of time", "up to a year"),
        ("{per: fortnight, tokens: 5}", "per", "month"),
        ("{per: day, limit: 5}", "an amount is written in quotes", 'write "5"'),
        ('{per: day, limit: "-5"}', "is no amount", "in quotes"),
        ('{per: day, limit: "NaN"}', "is no amount", "in quotes"),
        ('{per: day, limit: "9000000000.01"}', "more than a budget can hold", "9000000000 or less"),
        ('{per: day, gpu_hours: "2000000000.5"}', "more than a budget can hold", "or less"),
        ("{per: day, tokens: -1}", "tokens", "greater than or equal to 0"),
        ("{per: day, tokens: 9007199254740992}", "tokens", "less than"),
        ("{per: day, tokens: 5, currency: USD}", "`currency` is for money", "currency: USD"),
        ('{per: day, limit: "5", currency: dollars}', "`dollars` is no currency", "for example CAD"),
        ("{last: 24h, tokens: 5, timezone: UTC}", "counts back from now", "remove timezone"),
        ("{last: 24h, tokens: 5, carry_over: all}", "only windows that follow each other carry over", "write per"),
        ('{per: day, tokens: 5, carry_over: {at_most: "5"}}', "in the budget's unit, `tokens`", "{at_most: 5000}"),
        ('{per: day, limit: "5", carry_over: {at_most: 5}}', "in the budget's unit, `limit`", '{at_most: "100.00"}'),
        ('{per: day, limit: "5", carry_over: some}', "carry_over", "all"),
        ("{per: day, tokens: 5, outside: no_limit}", "`outside` is for a budget with from and until", "remove it"),
        ('{per: day, tokens: 5, overdraft: {up_to: "5"}}', "an overdraft is in the budget's unit", "{up_to: 5000}"),
        ('{per: day, limit: "5", overdraft: {up_to: 5}}', "an overdraft is in the budget's unit", '{up_to: "5.00"}'),
        ('{per: day, limit: "5", soft: true, overdraft: {up_to: "5"}}', "refuses nothing", "remove overdraft"),
        ("{per: day, tokens: 5, alert_at: [80, 50]}", "thresholds rise", "[50, 80, 100]"),
        ("{per: day, tokens: 5, alert_at: [0]}", "alert_at", "greater than or equal to 1"),
        ("{per: day, tokns: 5}", "unknown key `tokns`", "did you mean `tokens`?"),
    ],
)  # fmt: skip
def test_every_mistake_names_its_place_and_the_fix(budget: str, said: str, fix: str) -> None:
    """File, line, what is wrong and the nearest right thing; nothing is half taken."""
    found = problems(budget)
    assert any(said in line and fix in line for line in found), found
    assert all(line.startswith("teams.yaml:1:") for line in found)


@pytest.mark.parametrize(
    "rate", ["{}", "{requests_per_minute: 0}", "{requests_per_second: 5}", "{concurrent: -1}"]
)
def test_a_rate_that_says_nothing_is_an_error(rate: str) -> None:
    """Empty, zero and unknown rates are mistakes, not rates without a limit."""
    with pytest.raises(PolicyErrors):
        written(policy="policy: p", teams=f"rate: {rate}")


def test_one_budget_may_stand_without_a_list() -> None:
    """A single one is written as it is spoken."""
    made = written(policy="policy: p", teams='budget: {per: month, limit: "5"}').teams.budget
    assert [(each.unit, each.amount, each.window) for each in made] == [("limit", "5", "month")]


def test_windows_have_one_word_each() -> None:
    """Seven days are 168 hours: the same window, however it is written."""
    words = [
        BudgetModel.model_validate(each).window
        for each in (
            {"last": "7d", "tokens": 1},
            {"last": "168h", "tokens": 1},
            {"from": "2026-11-01", "until": "2026-11-30", "tokens": 1},
        )
    ]
    assert words == ["last-168h", "last-168h", "2026-11-01..2026-11-30"]
    assert hours_of("2d") == 48
    assert once_only(BudgetModel.model_validate({"from": "2026-11-01", "until": "2026-11-30", "tokens": 1}))
    with pytest.raises(ValueError, match="no length"):
        hours_of("soon")


PAGES = ("reference/budgets.md", "how-to/finance/budgets.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_the_pages_are_taken(page: str) -> None:
    """What finance copies from the documentation is a valid file, and every line of the tables too."""
    text = (STARTER.parent / "docs" / page).read_text(encoding="utf-8")
    files = re.findall(r"```yaml\n(# teams.yaml\n.*?)```", text, flags=re.DOTALL)
    assert files
    for teams in files:
        written(
            policy="policy: p\ndata: {client: {}}",
            teams=teams,
            deployments="deployments: {d: {vendor: v, uses: [chat], has: {dpa: 2027-01-31}, seen: 2026-11-02, recheck_days: 90}}",
            connections='connections: {d: {api: openai, url: "https://a.example.com/v1", model: m}}',
            routes="routes: {chat-pro: {try: [d]}}",
        )
    for budget in re.findall(r"\| `(\{[^`]*(?:limit|tokens|gpu_hours):[^`]*\})`", text):
        written(policy="policy: p", teams=f"budget: {budget}")


def test_every_key_of_a_budget_is_documented() -> None:
    """A key that finance may write stands in the reference."""
    text = (STARTER.parent / "docs" / PAGES[0]).read_text(encoding="utf-8")
    for model in (BudgetModel, RatesModel):
        keys = [field.alias or name for name, field in model.model_fields.items()]
        assert [key for key in keys if f"`{key}`" not in text] == []
