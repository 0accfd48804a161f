"""Who is told of what."""

from __future__ import annotations

from gateway.core.alert_plan import AlertKind, AlertPlan, Mail, Receiver, Sending, Webhook

HOOK = Webhook(url="https://hooks.example.com/x", secret=None)
BOTH = {name: Receiver(name=name, way=HOOK, place="CA") for name in ("finance", "ops")}


def test_without_a_word_everybody_is_told_everything() -> None:
    """Doubt tells."""
    plan = AlertPlan(receivers=BOTH)
    assert plan.to(AlertKind.OVERRUN, frozenset()) == ("finance", "ops")
    assert plan.places == {"CA"}


def test_by_kind_and_by_team() -> None:
    """A line for a team is for what is about it, and each destination is told once."""
    plan = AlertPlan(
        receivers=BOTH,
        sendings=(
            Sending(kinds=frozenset({AlertKind.THRESHOLD}), teams=None, to=("finance",)),
            Sending(kinds=None, teams=frozenset({"lab"}), to=("ops", "finance")),
        ),
    )
    assert plan.to(AlertKind.THRESHOLD, frozenset({"branch"})) == ("finance",)
    assert plan.to(AlertKind.THRESHOLD, frozenset({"lab"})) == ("finance", "ops")
    assert plan.to(AlertKind.FORECAST, frozenset({"lab"})) == ("ops", "finance")
    assert plan.to(AlertKind.JOURNAL, frozenset()) == ()


def test_a_relay_is_a_destination_by_its_origin() -> None:
    """As `borderpost egress` lists it and the guard compares it."""
    relay = Mail(
        host="::1", port=25, tls="none", user=None, secret=None, sender="a@b.example", to=("c@d.example",)
    )
    assert relay.url == "smtp://[::1]:25"
