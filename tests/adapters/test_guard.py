"""The egress guard: a permit names one origin, and only what was decided gets one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.adapters.guard import (
    EgressRefused,
    Permit,
    check,
    origin_of,
    permit_declared,
    permit_for,
    permit_for_credentials,
)
from tests.fakes.attempts import attempt, connection

HERE = "https://ca.vendor.example/v1"
BODY: dict[str, object] = {"model": "chat", "messages": []}


def reason(refused: pytest.ExceptionInfo[EgressRefused]) -> str:
    return refused.value.reason


def test_origin_always_has_its_port():
    """Two spellings of one origin compare equal."""
    assert (
        origin_of(HERE) == origin_of("https://CA.vendor.example:443/other") == "https://ca.vendor.example:443"
    )
    assert origin_of("http://[::1]:8000/v1") == "http://[::1]:8000"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://vendor.example/",
        "vendor.example/v1",
        "https://user:pass@vendor.example/",
        "https://good.example\\@evil.example/",
        "https://good.example/\r\nhost: evil",
        "https://gööd.example/",
        "https:///v1",
        "https://vendor.example/#x",
    ],
)
def test_odd_urls_have_no_origin(url):
    """What two parsers could read differently is no URL here."""
    with pytest.raises(ValueError, match="url"):
        origin_of(url)


def test_permit_for_names_the_connections_origin():
    """A cleared attempt gets a permit for its own connection and nothing wider."""
    made = permit_for(attempt(connection(HERE), BODY))
    assert made == Permit(origin="https://ca.vendor.example:443", purpose="attempt")


def test_permit_for_refuses_what_was_not_decided():
    """A deployment outside the decision gets no permit, whatever else is right."""
    with pytest.raises(EgressRefused) as refused:
        permit_for(attempt(connection(HERE), BODY, permitted=("other",)))
    assert reason(refused) == "not_permitted"
    assert not refused.value.sent
    assert not refused.value.retryable


def test_permit_for_refuses_a_connection_that_is_not_the_snapshots():
    """A connection swapped after clearance, or of another deployment, gets no permit."""
    cleared = attempt(connection(HERE), BODY)
    elsewhere = connection("https://us.vendor.example/v1")
    with pytest.raises(EgressRefused) as refused:
        permit_for(replace(cleared, connection=elsewhere))
    assert reason(refused) == "foreign_connection"
    foreign = attempt(connection(HERE, deployment="there"), BODY, permitted=("here", "there"))
    with pytest.raises(EgressRefused) as refused:
        permit_for(replace(foreign, deployment=cleared.deployment))
    assert reason(refused) == "foreign_connection"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://us.vendor.example/v1", "other_origin"),
        ("https://ca.vendor.example:8443/v1", "other_origin"),
        ("http://ca.vendor.example:443/v1", "other_origin"),
        ("https://ca.vendor.example.evil.example/v1", "other_origin"),
        ("https://ca.vendor.example@evil.example/v1", "bad_url"),
    ],
)
def test_check_refuses_another_origin(url, why):
    """Host, port and scheme must all be those of the permit."""
    with pytest.raises(EgressRefused) as refused:
        check(permit_for(attempt(connection(HERE), BODY)), url)
    assert reason(refused) == why


def test_plain_http_needs_loopback_or_a_declaration():
    """Content crosses a network in clear only where the connection says so."""
    url = "http://vllm.internal:8000/v1"
    with pytest.raises(EgressRefused) as refused:
        check(permit_for(attempt(connection(url), BODY)), url)
    assert reason(refused) == "plain_http"
    declared = connection(url, options={"plain_http": "allowed"})
    assert check(permit_for(attempt(declared, BODY)), url).host == "vllm.internal"
    for loopback in ("http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1"):
        assert check(permit_for(attempt(connection(loopback), BODY)), loopback)


def test_declared_permit():
    """Telemetry gets the origin that settings name."""
    made = permit_declared("https://otel.example:4318/v1/traces", purpose="telemetry")
    assert check(made, "https://otel.example:4318/v1/metrics")
    with pytest.raises(EgressRefused):
        check(made, "https://otel.example/v1/metrics")


def test_the_refusal_names_no_host():
    """What the app reads has no address in it."""
    with pytest.raises(EgressRefused) as refused:
        check(permit_for(attempt(connection(HERE), BODY)), "https://evil.example/")
    assert "example" not in refused.value.refusal.message


def test_credentials_are_fetched_from_the_declared_endpoint_alone():
    """A connection that names where its credentials are fetched gets a permit for there; no other does."""
    named = connection(HERE, options={"credentials_url": "https://login.vendor.example/token"})
    made = permit_for_credentials(named)
    assert made == Permit(origin="https://login.vendor.example:443", purpose="credentials")
    with pytest.raises(EgressRefused):
        check(made, HERE)
    for options in ({}, {"credentials_url": "http://login.vendor.example"}):
        with pytest.raises(EgressRefused) as refused:
            permit_for_credentials(connection(HERE, options=options))
        assert reason(refused) == "no_credentials_endpoint"
    with pytest.raises(EgressRefused) as refused:
        permit_for_credentials(connection(HERE, options={"credentials_url": "https://a@b.example"}))
    assert reason(refused) == "bad_url"


def test_alerts_go_to_the_destinations_of_the_policy_in_force_alone():
    """By its very value: a changed URL under the same name is a stranger, and so is a bad one."""
    from dataclasses import replace

    from gateway.adapters.guard import permit_alert
    from gateway.core.alert_plan import Webhook
    from tests.adapters.alarm import telling
    from tests.people import snapshot

    found = telling(snapshot(), Webhook(url="https://hooks.example.com/x", secret=None))
    receiver = found.alerts.receivers["one"]
    permit = permit_alert(receiver, found)
    assert (permit.origin, permit.purpose, permit.plain) == ("https://hooks.example.com:443", "alert", False)
    moved = replace(receiver, way=Webhook(url="https://evil.example/x", secret=None))
    with pytest.raises(EgressRefused, match="internal") as refused:
        permit_alert(moved, found)
    assert refused.value.reason == "not_permitted"
    odd = telling(snapshot(), Webhook(url="https://user@hooks.example.com/x", secret=None))
    with pytest.raises(EgressRefused) as refused:
        permit_alert(odd.alerts.receivers["one"], odd)
    assert refused.value.reason == "bad_url"
