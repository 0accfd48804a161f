"""What budgets must agree on: windows, zones, currencies, names, and parts with their whole."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.policy.check import check
from gateway.policy.check_budgets import every, in_money
from gateway.policy.checker import Checker
from gateway.policy.problems import PolicyErrors
from tests.policy.written import NOW, TODAY, written


def errors(teams: str, **files: str) -> list[str]:
    """What stops a bundle with these teams."""
    with pytest.raises(PolicyErrors) as caught:
        written(policy="policy: p\ndata: {client: {}}", teams=teams, **files)
    return [str(problem) for problem in caught.value.problems]


def warnings(teams: str, **files: str) -> list[str]:
    """What its authors are told of a bundle that is taken."""
    loaded = written(policy="policy: p\ndata: {client: {}}", teams=teams, **files)
    return [str(problem) for problem in check(loaded, now=NOW)[1]]


@pytest.mark.parametrize(
    ("teams", "said"),
    [
        ("teams: {t: {budget: [{per: day, tokens: 1}, {per: day, tokens: 2}]}}", "have the same window"),
        ("budget: [{last: 7d, tokens: 1}, {last: 168h, tokens: 2}]", "have the same window"),
        ("teams: {t: {apps: {a: {models: [], user_budget: [{per: day, tokens: 1}, {per: day, tokens: 2}]}}}}", "have the same window"),
        ("model_budget: {chta: {per: day, tokens: 1}}", "unknown model `chta`"),
        ("data_budget: {cleint: {per: day, tokens: 1}}", "unknown kind of data `cleint`; did you mean `client`?"),
        ("budget: {per: day, tokens: 1, timezone: Europe/Berln}", "unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?"),
        ("teams: {t: {apps: {a: {models: [], budget: {per: day, tokens: 1, delegate: strict}}}}}", "only the organisation and teams give parts"),
        ("user_budget: {per: day, tokens: 1, delegate: strict}", "only the organisation and teams give parts"),
    ],
)  # fmt: skip
def test_errors(teams: str, said: str) -> None:
    """Each stops the bundle, with its place."""
    found = errors(teams)
    assert any(said in line and line.startswith("teams.yaml:1:") for line in found), found


def test_different_units_and_windows_may_stand_beside_each_other() -> None:
    """Tokens beside output tokens beside money, a day beside a month beside seven days."""
    both = "[{per: day, tokens: 1}, {per: day, output_tokens: 1}, {per: month, tokens: 1}, {last: 7d, tokens: 1}]"
    assert warnings(f"budget: {both}") == []


DELEGATED = """
budget: {{per: month, limit: "1000.00", delegate: strict}}
teams:
  branch: {{budget: {{per: month, limit: "{branch}"}}}}
  lab:
    budget: {{per: month, limit: "{lab}", delegate: strict}}
    apps:
      one: {{models: [], budget: {{per: month, limit: "{one}"}}}}
      two: {{models: [], budget: [{{per: day, limit: "9000"}}, {{per: month, limit: "100"}}]}}
"""


def test_parts_that_add_up_are_fine() -> None:
    """To the last cent."""
    assert warnings(DELEGATED.format(branch="700.00", lab="300.00", one="200.00")) == []


def test_parts_that_make_more_than_the_whole_are_an_error() -> None:
    """Who has what, what it makes, by how much it is too much, and the line of the whole."""
    (found,) = errors(DELEGATED.format(branch="700.01", lab="300.00", one="200.00"))
    assert found.startswith("teams.yaml:2:")
    assert "`branch` 700.01, `lab` 300.00 make 1000.01 CAD: 0.01 more than the 1000.00" in found
    assert "lower one of them, or raise this one" in found
    (found,) = errors(DELEGATED.format(branch="700.00", lab="300.00", one="200.000000001"))
    assert found.startswith("teams.yaml:6:")


def test_a_part_without_a_budget_of_its_own_is_told() -> None:
    """It may spend what the others were given."""
    teams = """
budget: {per: month, tokens: 100, delegate: strict}
teams:
  branch: {budget: {per: month, tokens: 50}}
  lab: {budget: {per: day, tokens: 50}}
"""
    (found,) = warnings(teams)
    assert "`lab` may spend of this too, without a part of their own" in found


def test_more_than_what_stands_above_is_told() -> None:
    """It can never be spent."""
    teams = 'budget: {per: month, limit: "10"}\nteams: {lab: {budget: {per: month, limit: "10.01"}}}'
    (found,) = warnings(teams)
    assert "the team `lab` has 10.01 CAD, and can spend no more than the 10.00 above it" in found


def test_budgets_that_do_nothing_are_told() -> None:
    """Soft without an alert; over for good."""
    (soft,) = warnings("budget: {per: day, tokens: 5, soft: true}")
    assert "refuses nothing and tells nobody" in soft
    (over,) = warnings("budget: {from: 2026-01-01, until: 2026-01-31, tokens: 5}")
    assert "ended on 2026-01-31, and nothing may be spent since" in over
    (over,) = warnings("budget: {from: 2026-01-01, until: 2026-01-31, tokens: 5, outside: no_limit}")
    assert "and says nothing now" in over


PRICES = """
- id: p
  deployment: d
  currency: USD
  meters: {input: "1", output: "2"}
  valid: {from: 2026-01-01T00:00:00Z}
  source: s
"""
FILES = {
    "prices": PRICES,
    "deployments": "deployments: {d: {vendor: v, uses: [chat], has: {dpa: 2027-01-31}, seen: 2026-11-02, recheck_days: 90}}",
}


def test_a_budget_in_a_currency_that_no_rate_leads_to_is_an_error() -> None:
    """Every call under it would be refused."""
    found = errors('currency: USD\nbudget: {per: day, limit: "5", currency: EUR}', **FILES)
    assert any("no rate leads from `USD`, in which prices are, to `EUR`" in line for line in found)
    fx = 'rates: [{base: EUR, quote: USD, rate: "1.1", from: 2026-01-01, source: ECB}]'
    written(
        policy="policy: p",
        teams='currency: USD\nbudget: {per: day, limit: "5", currency: EUR}',
        fx=fx,
        **FILES,
    )


def test_which_budgets_there_are() -> None:
    """Every list of every level once; money that refuses is told from money that only alerts."""
    teams = """
budget: {per: day, tokens: 5}
user_budget: {per: day, limit: "5", soft: true, alert_at: [80]}
data_budget: {client: {per: day, tokens: 5}}
teams: {t: {apps: {a: {models: [], key_budget: {per: day, tokens: 5}}}}}
"""
    check = Checker(written(policy="policy: p\ndata: {client: {}}", teams=teams), TODAY)
    assert [len(declared) for declared, _ in every(check)] == [1, 1, 1, 0, 0, 1, 0]
    assert not in_money(check)
    hard = Checker(written(policy="policy: p", teams='budget: {per: day, limit: "5"}'), TODAY)
    assert in_money(hard)
