"""The list of everything that may be sent to, and the NetworkPolicy of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.destinations import Sink, destinations, network_policy, without_rule
from tests import spine


@pytest.fixture
def snapshot(tmp_path):
    """The bank's, with one deployment at a name, one at IPv6, and credentials fetched elsewhere."""
    made = spine.snapshot(tmp_path)
    connections = dict(made.connections)
    connections["ca"] = replace(
        connections["ca"],
        url="https://Models.Example/v1",
        options={"credentials_url": "https://login.example/token"},
    )
    connections["ca_on"] = replace(connections["ca_on"], url="http://[::1]:1002/v1")
    return replace(made, connections=connections)


def test_every_connection_credential_endpoint_and_sink_is_listed_once(snapshot):
    """Origins with their port always written, what for, by whom, and where."""
    sinks = (
        Sink(url="http://collector.example:4318", purpose="telemetry", setting="otlp", place="CA"),
        Sink(url="postgresql+psycopg://u:p@db.example/x", purpose="database", setting="database_url"),
        Sink(url="postgresql+psycopg://u:p@db.example/x", purpose="database", setting="database_url"),
    )
    found = destinations(snapshot, sinks)
    assert [(each.origin, each.purpose, each.used_by, each.place) for each in found] == [
        ("http://127.0.0.1:1003", "attempt", "us", "US"),
        ("http://[::1]:1002", "attempt", "ca_on", "CA-ON"),
        ("http://collector.example:4318", "telemetry", "otlp", "CA"),
        ("postgresql://db.example:5432", "database", "database_url", ""),
        ("https://login.example:443", "credentials", "ca", ""),
        ("https://models.example:443", "attempt", "ca", "CA-QC"),
    ]
    assert "p@" not in repr(found)
    assert found[1].authority == "[::1]:1002"


@pytest.mark.parametrize("url", ["/v1", "nowhere", "gopher://x"])
def test_a_url_without_a_host_is_an_error(snapshot, url):
    """A list with a hole in it would be worse than none."""
    with pytest.raises(ValueError, match="names no host"):
        destinations(snapshot, (Sink(url=url, purpose="telemetry", setting="otlp"),))


def test_a_network_policy_opens_what_has_an_address_and_nothing_else(snapshot):
    """Names need an address that somebody states; without one there is no rule, and it is said."""
    found = destinations(snapshot)
    known = {"models.example": ("192.0.2.0/24",)}
    policy = network_policy(found, known, name="n", labels={"app": "borderpost"})
    assert policy["spec"]["policyTypes"] == ["Egress"]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app": "borderpost"}}
    opened = [
        (block["ipBlock"]["cidr"], rule["ports"][0]["port"])
        for rule in policy["spec"]["egress"]
        for block in rule["to"]
        if "ipBlock" in block
    ]
    assert opened == [("127.0.0.1/32", 1003), ("::1/128", 1002), ("192.0.2.0/24", 443)]
    assert all(rule["ports"] for rule in policy["spec"]["egress"])
    assert without_rule(found, known) == ("login.example",)


def test_where_alerts_go_is_listed_too(snapshot):
    """A webhook by its URL, a relay by its protocol and port; each with its declared place."""
    from gateway.core.alert_plan import AlertPlan, Mail, Receiver, Webhook

    hook = Webhook(url="https://hooks.example/x?y=1", secret=None)
    relay = Mail(host="mail.example", port=587, tls="starttls", user=None, secret=None, sender="a", to=("b",))
    told = {
        "ops": Receiver(name="ops", way=hook, place="CA-QC"),
        "post": Receiver(name="post", way=relay, place="CA"),
    }
    found = destinations(replace(snapshot, alerts=AlertPlan(receivers=told)))
    assert [(each.origin, each.used_by, each.place) for each in found if each.purpose == "alert"] == [
        ("https://hooks.example:443", "ops", "CA-QC"),
        ("smtp://mail.example:587", "post", "CA"),
    ]
