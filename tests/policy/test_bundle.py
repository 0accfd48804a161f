"""A bundle knows where everything is written."""

from __future__ import annotations

from tests.policy.written import bundle, written


def test_places_of_things():
    """Rules, tests and apps have a file and a line."""
    bank = bundle("bank")
    assert bank.at("policy", "rules", 0) == "policy.yaml:19"
    assert bank.tests[0].at == "policy.yaml:68"
    assert bank.at("teams", "teams", "lab", "apps", "hackathon") == "teams.yaml:13"


def test_the_organisation():
    """The organisation is named in teams.yaml, else the policy's name stands for it."""
    assert bundle("bank").tenant == "maple-bank"
    assert written(policy="policy: p", teams="org: maple").tenant == "maple"
