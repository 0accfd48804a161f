"""What must agree between ``alerts.yaml`` and the other files, and what deserves a warning."""

from __future__ import annotations

from gateway.policy.checker import Checker
from gateway.policy.source import Key


def alerts(check: Checker) -> None:
    """Check who is told: destinations and teams that exist, and budgets that somebody is told about."""
    file, document = check.bundle.alerts, check.document("alerts")
    for i, send in enumerate(file.send):
        path: Key = ("send", i)
        check.known(document, (*path, "to"), "destination", send.to, file.destinations)
        check.known(document, (*path, "team"), "team", send.team, check.bundle.teams.teams)
    for name, receiver in file.destinations.items():
        if receiver.webhook is not None and receiver.webhook.secret is None:
            message, fix = (
                "what is sent to this webhook is not signed",
                "name a secret: file:/path or env:NAME",
            )
            check.warn(document, ("destinations", name, "webhook"), message, fix)
    used = {name for send in file.send for name in send.to}
    if file.send:
        for name in file.destinations:
            if name not in used:
                message = f"nothing is sent to `{name}`"
                check.warn(document, ("destinations", name), message, "name it under send, or remove it")
