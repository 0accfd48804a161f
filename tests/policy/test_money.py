"""What a bundle says about money, and every change of it in a sentence with file and line."""

from __future__ import annotations

from gateway.policy.money import changes, money_of

TEAMS = """\
org: maple
timezone: America/Toronto
currency: CAD
budget: {per: month, limit: "5000.00"}
teams:
  branch:
    cost_centre: [{code: "4410", from: 2026-01-01}]
    budget:
      - {per: month, limit: "2500.00"}
    apps:
      teller: {data: [client], models: [chat], key_budget: {per: day, limit: "20.00"}}
"""
PRICES = """\
- id: azure-1
  deployment: azure
  currency: USD
  meters: {input: "0.44", output: "1.76"}
  valid: {from: 2026-01-01T00:00:00Z}
  source: sheet
"""
FX = 'rates:\n  - {base: USD, quote: CAD, rate: "1.39", from: 2026-01-01, source: bank}\n'


def files(teams=TEAMS, prices=PRICES, fx=FX, **more):
    return {
        "teams.yaml": teams.encode(),
        "prices/azure.yaml": prices.encode(),
        "prices/fx.yaml": fx.encode(),
        "policy.yaml": b"policy: maple",
        **{name: text.encode() for name, text in more.items()},
    }


def said(new, old=None):
    return changes(money_of(old or files()), money_of(new))


def test_a_budget_that_changes_is_named_with_old_and_new():
    """File, line, path, old, new; of an app's keys too."""
    new = files(TEAMS.replace("2500.00", "9000.00").replace("20.00", "21.00"))
    assert set(said(new)) == {
        "teams.yaml:9 teams.branch.budget.1.limit: 2500.00 → 9000.00",
        "teams.yaml:11 teams.branch.apps.teller.key_budget.limit: 20.00 → 21.00",
    }


def test_a_price_a_rate_an_account_and_a_cost_centre_are_money():
    """Changed, new and removed."""
    assert said(files(prices=PRICES.replace("0.44", "0.04"))) == (
        "prices/azure.yaml:4 price azure-1.meters.input: 0.44 → 0.04",
    )
    assert said(files(fx=FX.replace("1.39", "1.50"))) == (
        "prices/fx.yaml:2 price rates.USD/CAD from 2026-01-01.rate: 1.39 → 1.50",
    )
    second = PRICES + PRICES.replace("azure-1", "azure-2").replace("0.44", "0.40")
    assert said(files(prices=second)) == (
        "prices/azure.yaml:7 price azure-2: new (deployment azure, currency USD, input 0.40, output 1.76)",
    )
    assert said(files(), files(prices=second)) == ("prices/azure.yaml:7 price azure-2: removed",)
    assert said(files(TEAMS + 'books: {gl: [{account: "6400", from: 2026-01-01}]}\n'))[0].endswith(
        "books.gl.1.account: 6400 is new"
    )
    assert said(files(TEAMS.replace("4410", "4900"))) == (
        "teams.yaml:7 teams.branch.cost_centre.from 2026-01-01.code: 4410 → 4900",
    )


def test_own_hardware_is_priced_in_its_own_file():
    """The rate of a pool of GPUs."""
    pool = 'pools:\n  a100: {per_gpu_hour: "3.10"}\n'
    old = files(**{"pools.yaml": pool})
    assert said(files(**{"pools.yaml": pool.replace("3.10", "4.00")}), old) == (
        "pools.yaml:2 pools.a100.per_gpu_hour: 3.10 → 4.00",
    )
    assert said(old) == ("pools.yaml:2 pools.a100: new (per_gpu_hour 3.10)",)


def test_what_is_not_money_is_not_finances_to_approve():
    """Rules, labels, models, comments, layout, and a price that moves to another file."""
    same = files(TEAMS.replace("[chat]", "[chat, pro]").replace("[client]", "[public]") + "# note\n")
    assert said(same) == ()
    moved = files(prices="[]")
    moved["prices/other.yaml"] = PRICES.encode()
    assert said(moved) == ()
    assert money_of(moved).hash == money_of(files()).hash == money_of(same).hash
    assert money_of(files(TEAMS.replace("CAD", "USD"))).hash != money_of(files()).hash
