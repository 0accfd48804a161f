"""Budgets and rates become limits in whole units: ids that last, windows, and who has which."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

from gateway.core.values import Carry
from gateway.policy.compile_budgets import unit_of, whole
from gateway.policy.schema_budgets import BudgetModel
from tests.core.maple import at
from tests.policy.written import compiled

TEAMS = """
org: maple
timezone: America/Toronto
currency: CAD
budget:
  - {per: quarter, limit: "100000", carry_over: {at_most: "500.50"}}
  - {per: month, gpu_hours: "40.5", soft: true, alert_at: [50, 100]}
rate: {requests_per_minute: 6000}
user_budget: {per: day, requests: 200}
model_budget:
  chat-pro: {per: day, limit: "10", currency: USD, timezone: Asia/Kolkata}
data_budget:
  client: {last: 7d, output_tokens: 900}
teams:
  lab:
    budget: {from: 2026-11-01, until: 2026-11-30, limit: "300.00"}
    rate: {tokens_per_minute: 100, concurrent: 4}
    apps:
      hack:
        data: quebec
        models: [chat-pro]
        budget: {per: year, tokens: 7}
        key_budget: {per: day, limit: "0.000000001"}
        user_budget: {per: week, input_tokens: 5, carry_over: all}
        key_rate: {output_tokens_per_minute: 10}
        user_rate: {input_tokens_per_minute: 11}
        rate: {requests_per_minute: 60}
"""
FILES = {
    "policy": "policy: p\ndata: {client: {}, quebec: {is_also: client}}",
    "teams": TEAMS,
    "deployments": "deployments: {d: {vendor: v, uses: [chat], has: {dpa: 2027-01-31}, seen: 2026-11-02, recheck_days: 90}}",
    "connections": 'connections: {d: {api: openai, url: "https://a.example.com/v1", model: m}}',
    "routes": "routes: {chat-pro: {try: [d]}}",
}
MADE = compiled(**FILES)
APP = MADE.apps["hack"]


def test_ids_say_level_name_unit_and_window() -> None:
    """A month needs no window in its id; amounts are in none, so that finance can change them."""
    assert [(b.id, b.limit, b.per) for b in APP.budgets] == [
        ("org:maple:CAD:quarter", 100_000 * 10**9, "quarter"),
        ("org:maple:gpu_seconds", 145_800 * 10**6, "month"),
        ("team:lab:CAD:2026-11-01..2026-11-30", 300 * 10**9, "once"),
        ("app:hack:tokens:year", 7, "year"),
    ]
    assert [b.id for b in APP.key_budgets] == ["key:*:CAD:day"]
    assert [b.id for b in APP.user_budgets] == ["user:*:requests:day", "user:hack/*:input_tokens:week"]
    assert [b.id for b in MADE.model_budgets["chat-pro"]] == ["model:chat-pro:USD:day"]
    assert [b.id for b in MADE.data_budgets["client"]] == ["data:client:output_tokens:last-168h"]


def test_windows_zones_and_what_goes_with_them() -> None:
    """Half-open local days for a time once; a zone of its own; carrying over; softness; thresholds."""
    quarter, gpus, once, _ = APP.budgets
    assert quarter.carry == Carry(per="quarter", timezone="America/Toronto", at_most=500_500_000_000)
    assert (gpus.soft, gpus.alert_at, gpus.carry) == (True, (50, 100), None)
    assert (once.opens, once.closes) == (at("2026-11-01T04:00:00"), at("2026-12-01T05:00:00"))
    assert MADE.model_budgets["chat-pro"][0].timezone == "Asia/Kolkata"
    assert MADE.data_budgets["client"][0].length == 7 * 86_400 * 10**9
    assert APP.user_budgets[1].carry == Carry(per="week", timezone="America/Toronto", at_most=None)


def test_rates_of_every_level() -> None:
    """Organisation, team and app by name; keys and users by template; each with its line."""
    assert [(r.id, r.limit, r.per, r.rate) for r in APP.rates] == [
        ("rate:org:maple:requests", 6000, "minute", True),
        ("rate:team:lab:tokens", 100, "minute", True),
        ("rate:team:lab:concurrent", 4, "now", True),
        ("rate:app:hack:requests", 60, "minute", True),
    ]
    assert [r.id for r in APP.key_rates] == ["rate:key:*:output_tokens"]
    assert [r.id for r in APP.user_rates] == ["rate:user:hack/*:input_tokens"]
    assert APP.rates[-1].at == "teams.yaml:27"


def test_where_a_budget_stands() -> None:
    """The line of the budget itself, also within a list."""
    assert [b.at for b in APP.budgets] == ["teams.yaml:6", "teams.yaml:7", "teams.yaml:16", "teams.yaml:22"]


def test_amounts_in_whole_units() -> None:
    """Money in nano-units, GPU-hours in millionths of a second, counts as they are."""
    budget = BudgetModel.model_validate({"per": "day", "gpu_hours": "0.000000001"})
    assert unit_of(budget, "CAD") == "gpu_seconds"
    assert whole("1.5", "gpu_seconds") == 5400 * 10**6
    assert whole("1.5", "CAD") == 1_500_000_000
    assert whole(7, "tokens") == 7
