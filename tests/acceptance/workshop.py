"""The bundle that the app developer's suites run on: the bank, and what the SDKs' features need.

Beside the bank's deployments, by alias:

- ``seeing``: covers what no detector can read (images, token numbers), in Quebec;
- ``native``: speaks the responses dialect itself;
- the app ``printer``, whose data no rule alters: log-probabilities are honest there;
- the app ``pocket``, whose budget fits nothing, and the app ``hasty``, which may call once a minute.
"""

from __future__ import annotations

from tests.acceptance import bank
from tests.fakes.vendor import FakeVendor

EXTRA = {"ca_seeing": "ca", "ca_native": "ca", "ca_claude_seeing": "ca_on"}


def bundle(places: dict[str, FakeVendor]) -> bank.Bundle:
    """Return the bank's bundle with the workshop's deployments, aliases and apps."""
    files = bank.bundle(places)
    policy, teams = files["policy.yaml"], files["teams.yaml"]["teams"]
    policy["data"]["plain"] = {}
    deployments = files["deployments.yaml"]["deployments"]
    connections = files["connections.yaml"]["connections"]
    for name, vendor in EXTRA.items():
        deployments[name] = bank.facts(bank.PLACES[vendor], f"vendor-{vendor}")
        connections[name] = bank.connection(places[vendor], bank.api_of(places[vendor]))
        files["prices/all.yaml"].append(bank.price(name))
    for name in ("ca_seeing", "ca_claude_seeing"):
        deployments[name]["covers"] = ["unscannable"]
    connections["ca_native"]["surfaces"] = ["responses"]
    files["routes.yaml"]["routes"] |= {
        "seeing": {"try": ["ca_seeing"]},
        "claude-seeing": {"try": ["ca_claude_seeing"]},
        "native": {"try": ["ca_native"]},
        "embed": {"use": "embeddings", "try": ["ca"]},
        "embed-numbers": {"use": "embeddings", "try": ["ca_seeing"]},
    }
    more = ["seeing", "claude-seeing", "native", "embed", "embed-numbers"]
    teller = teams["branch"]["apps"]["teller"]
    teller["models"] += more
    teams["branch"]["apps"]["printer"] = {"data": ["plain"], "models": teller["models"]}
    teams["branch"]["apps"]["pocket"] = {
        "data": ["client"],
        "models": ["chat", "only-ca", "only-ca-on"],
        "budget": {"per": "month", "limit": "0.0001"},
    }
    teams["branch"]["apps"]["hasty"] = {
        "data": ["client"],
        "models": ["chat"],
        "rate": {"requests_per_minute": 1},
    }
    return files
