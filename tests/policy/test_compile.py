"""Compiling: files become exactly the core's values."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from gateway.core.snapshot import BudgetLimit
from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from tests.policy.written import DAY_NS, NOW, STARTER, bundle, compiled, snapshot

BANK = snapshot("bank")


def _instant(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_facts():
    """Facts keep their values, their lines and their ends; one unknown place makes the set unknown."""
    azure, openai = BANK.deployments["azure-cae-41mini"], BANK.deployments["openai-ca"]
    assert azure.processed_in == {"CA-QC"}
    assert azure.tls_ends_in is None
    assert openai.processed_in is None
    assert azure.sku == {"kind": "azure_standard", "resource": "canadaeast"}
    assert azure.has == {"dpa": _instant(2027, 2, 1), "soc2": _instant(2027, 4, 1)}
    assert azure.expires == _instant(2027, 2, 1)
    assert (azure.seen, azure.recheck_by) == ("2026-11-02", "2027-01-31")
    assert azure.at == "deployments.yaml:2"
    assert (azure.lines["processed_in"], azure.lines["has"]) == (7, 14)
    assert azure.facts["keeps_content_days"] == 0
    assert (azure.operator, openai.operator) == ("microsoft", "openai")


def test_bits_are_distinct():
    """Each deployment has one bit."""
    assert sorted(d.index for d in BANK.deployments.values()) == list(range(len(BANK.deployments)))


def test_connections():
    """URLs, options and surfaces, with what each API implies."""
    azure, bedrock = BANK.connections["azure-cae-41mini"], BANK.connections["bedrock-us-claude"]
    assert azure.url == "https://maple-cae.openai.azure.com/openai/v1"
    assert azure.surfaces == {"chat", "embeddings", "responses"}
    assert bedrock.url == "https://bedrock-runtime.ca-central-1.amazonaws.com"
    assert bedrock.options == {"aws_region": "ca-central-1"}


def test_routes():
    """An alias, its other names, and one try more than there are deployments."""
    assert BANK.routes["chat-lab"].tries == ("together-us", "azure-cae-41mini")
    assert BANK.routes["chat-lab"].tries_at_most == 3
    assert BANK.aliases["gpt-4.1-mini"] == "chat"


def test_teams():
    """Budgets from the org down, in nano-units; cost centres with dates; registration as a group."""
    rules = compiled(
        policy="policy: p\ndata: {a: {}}",
        teams="""
org: maple
timezone: America/Toronto
currency: CAD
budget: {per: year, limit: "100000"}
teams:
  branch:
    cost_centre: [{code: "2", from: 2026-06-01}, {code: "1", from: 2026-01-01}]
    budget: [{per: month, limit: "2500.00"}, {per: day, tokens: 7}]
    apps:
      teller: {data: a, models: [], groups: [g], key_budget: {per: day, limit: "0.000000001"}}
""",
    )
    teller = rules.apps["teller"]
    assert (teller.tenant, teller.team, teller.data) == ("maple", "branch", ("a",))
    assert teller.groups == {"registered", "g"}
    assert teller.cost_centres == (("2026-01-01", "1"), ("2026-06-01", "2"))
    assert [(b.id, b.unit, b.limit, b.per) for b in teller.budgets] == [
        ("org:maple:CAD:year", "CAD", 100_000 * 10**9, "year"),
        ("team:branch:CAD", "CAD", 2_500 * 10**9, "month"),
        ("team:branch:tokens:day", "tokens", 7, "day"),
    ]
    assert teller.key_budgets == (
        BudgetLimit(
            id="key:*:CAD:day", level="key", name="*", unit="CAD", limit=1, per="day", timezone="America/Toronto",
            at="teams.yaml:11",
        ),
    )  # fmt: skip


def test_prices_and_rates():
    """Decimals as written, ordered by their start."""
    starter = compile_bundle(load_bundle(STARTER, now=NOW), now=NOW)
    (price,) = starter.prices["demo-ca-qc"]
    assert price.meters["output"] == Decimal("1.76")
    assert (price.valid_from, price.valid_to) == (_instant(2026, 1, 1), None)
    assert price.at.startswith("prices/demo.yaml:")
    assert starter.rates[0].rate == Decimal("1.3925")


def test_the_snapshot_does_not_depend_on_when_it_is_compiled():
    """Time is in the snapshot, so that the same files compile to the same tables on any day."""
    assert compile_bundle(bundle("bank"), now=NOW) == compile_bundle(bundle("bank"), now=NOW + 300 * DAY_NS)
