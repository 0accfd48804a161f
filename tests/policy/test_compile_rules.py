"""Compiling rules: which detectors matter, what duties mean, and when a day ends."""

from __future__ import annotations

from datetime import UTC, date, datetime

from gateway.policy.compile_rules import day_end
from tests.policy.written import compiled, snapshot

BANK = snapshot("bank")


def test_a_day_ends_at_midnight():
    """What is good for a day has ended when the next one begins, UTC."""
    assert day_end(date(2026, 11, 23)) == int(datetime(2026, 11, 24, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_only_detectors_that_matter_run():
    """A label that the app has anyway need not be found; duties and exceptions count."""
    assert BANK.detectors_for == {"teller": {"card"}, "hackathon": {"card", "person"}}
    hospital = snapshot("hospital").detectors_for
    assert hospital["scribe"] == {"person", "health_number"}
    none = compiled(
        policy="policy: p\ndata: {a: {found_by: 'detector:sin'}}\nrules: [{id: OK, says: s, allow: true}]",
        teams="teams: {t: {apps: {one: {data: [], models: []}}}}",
    )
    assert none.detectors_for == {"one": frozenset()}


def test_a_duty_without_kinds_means_what_made_the_data_found():
    """`do: [tokenise]` on cards means cards; on data that no detector finds, every kind."""
    by_id = {rule.id: rule for rule in BANK.rules.rules}
    assert by_id["PCI-1"].do.tokenise == {"card"}
    everything = compiled(
        policy="policy: p\ndata: {a: {}}\nrules: [{id: R, says: s, for: {data: a}, do: [mask]}]"
    )
    assert {"sin", "person", "secret"} <= everything.rules.rules[0].do.mask


def test_kinds_by_their_other_names():
    """`name` is person and `detector:health` finds health numbers."""
    rules = snapshot("hospital").rules
    assert rules.labels["patient"].kinds == {"health_number"}
    assert next(rule for rule in rules.rules if rule.id == "PH-3").do.mask == {"person", "health_number"}
