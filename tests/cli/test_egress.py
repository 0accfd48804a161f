"""``borderpost egress``: the list as people, programs and clusters read it."""

from __future__ import annotations

import orjson
import pytest
from click.testing import CliRunner

from gateway.cli.egress import command
from tests.acceptance import bank
from tests.spine import Vendorless


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command over the bank's bundle; the US deployment is at a name."""
    files = bank.bundle({"ca": Vendorless("openai", 1001), "us": Vendorless("openai", 1003)})
    files["connections.yaml"]["connections"]["us"]["url"] = "https://us.models.example/v1"
    bank.write(tmp_path / "policies", files)
    monkeypatch.setenv("BORDERPOST_POLICIES", str(tmp_path / "policies"))
    monkeypatch.setenv("BORDERPOST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BORDERPOST_TELEMETRY_OTLP_ENDPOINT", "https://collector.example")
    monkeypatch.setenv("BORDERPOST_TELEMETRY_OTLP_PLACE", "CA-QC")

    def run(*arguments):
        return CliRunner().invoke(command, list(arguments))

    return run


def test_as_a_table(run):
    """Each origin with what it is for and where it is."""
    lines = run().stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["http://127.0.0.1:1001", "attempt", "ca", "CA-QC"],
        ["https://collector.example:443", "telemetry", "telemetry.otlp_endpoint", "CA-QC"],
        ["https://us.models.example:443", "attempt", "us", "US"],
    ]


def test_as_json(run):
    """For programs."""
    found = orjson.loads(run("--format", "json").stdout)
    assert {
        "origin": "https://us.models.example:443",
        "purpose": "attempt",
        "used_by": "us",
        "place": "US",
    } in found


def test_as_a_network_policy_that_says_what_it_cannot_know(run):
    """JSON on standard output, which kubectl reads; what has no address is named on standard error."""
    done = run("--format", "networkpolicy", "--address", "us.models.example=192.0.2.7/32", "--label", "a=b")
    policy = orjson.loads(done.stdout)
    assert policy["spec"]["podSelector"]["matchLabels"] == {"a": "b"}
    assert "192.0.2.7/32" in str(policy)
    assert "no rule for collector.example" in done.stderr
    assert run("--format", "networkpolicy", "--address", "nonsense").exit_code == 2
