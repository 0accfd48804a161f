"""``alerts.yaml`` as people write it: what it means, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.alert_plan import AlertKind, Mail, Webhook
from gateway.policy.schema_alerts import AlertsFile, is_private, plan
from gateway.policy.source import read

HOOK: dict[str, Any] = {
    "webhook": {"url": "https://hooks.example.com/x", "secret": "env:HOOK"},
    "place": "CA",
}
MAIL: dict[str, Any] = {
    "email": {
        "host": "mail.example.com", "user": "bp", "secret": "file:/run/secrets/smtp",
        "from": "borderpost@example.com", "to": "finance@example.com",
    },
    "place": "CA-ON",
}  # fmt: skip


def test_the_whole_file_as_the_core_reads_it() -> None:
    """Names, places, ways, and what goes where; STARTTLS on 587 unless it is said otherwise."""
    file = AlertsFile.model_validate(
        {
            "soon_days": 30,
            "destinations": {"ops": HOOK, "finance": MAIL},
            "send": [
                {"on": ["budget_threshold", "overrun"], "to": "finance"},
                {"team": "lab", "to": ["ops"]},
            ],
        }
    )
    found = plan(file, read("alerts.yaml", b"destinations:\n  ops: {}\n  finance: {}\n"))
    assert found.receivers["ops"].way == Webhook(url="https://hooks.example.com/x", secret="env:HOOK")
    assert found.receivers["finance"].way == Mail(
        host="mail.example.com", port=587, tls="starttls", user="bp", secret="file:/run/secrets/smtp",
        sender="borderpost@example.com", to=("finance@example.com",),
    )  # fmt: skip
    assert (found.receivers["finance"].place, found.receivers["finance"].at) == ("CA-ON", "alerts.yaml:3")
    assert found.sendings[0].kinds == {AlertKind.THRESHOLD, AlertKind.OVERRUN}
    assert (found.sendings[1].kinds, found.sendings[1].teams) == (None, {"lab"})
    assert found.soon_days == 30


def changed(base: dict[str, Any], way: str, **changes: object) -> dict[str, Any]:
    """A destination with some keys of its way changed; None takes one away."""
    inner = {k: v for k, v in {**base[way], **changes}.items() if v is not None}
    return {**base, way: inner}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"place": "CA"}, "a destination is a webhook or e-mail"),
        ({**HOOK, **MAIL}, "a destination is a webhook or e-mail"),
        ({"webhook": HOOK["webhook"]}, "place"),
        ({**HOOK, "place": "Canada"}, "unknown place code"),
        (changed(HOOK, "webhook", url="http://hooks.example.com/x"), "plain http"),
        (changed(HOOK, "webhook", url="https://user:pw@hooks.example.com/"), "no URL of a webhook"),
        (changed(HOOK, "webhook", url="ftp://hooks.example.com/"), "no URL of a webhook"),
        (changed(HOOK, "webhook", url="https://10.0.0.5/x"), "`10.0.0.5` is a private address"),
        (changed(HOOK, "webhook", url="https://10.0.0.5:8443/x"), "`10.0.0.5` is a private address"),
        (changed(HOOK, "webhook", url="https://169.254.169.254/latest"), "is a private address"),
        (changed(HOOK, "webhook", url="https://[::1]:9/x"), "is a private address"),
        (changed(HOOK, "webhook", url="http://localhost:9/x"), "is a private address"),
        (changed(HOOK, "webhook", secret="hunter2"), "secret"),
        (changed(MAIL, "email", tls="none"), "mail without TLS"),
        (changed(MAIL, "email", host="192.168.1.5"), "is a private address"),
        (changed(MAIL, "email", secret=None), "a user has a secret"),
        (changed(MAIL, "email", to="finance"), "is no mail address"),
        (changed(MAIL, "email", to=["a@b.example\r\nBcc: x@y.example"]), "is no mail address"),
        (changed(MAIL, "email", to=[]), "to"),
        (changed(MAIL, "email", port=0), "port"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: object, says: str) -> None:
    """At load, with the reason."""
    with pytest.raises(ValidationError, match=says.replace("[", r"\[")):
        AlertsFile.model_validate({"destinations": {"one": wrong}})


def test_a_private_address_may_be_meant() -> None:
    """Then it is declared."""
    here = changed(HOOK, "webhook", url="http://127.0.0.1:9/x", private=True)
    relay = changed(MAIL, "email", host="127.0.0.1", tls="none", private=True)
    AlertsFile.model_validate({"destinations": {"hook": here, "relay": relay}})


@pytest.mark.parametrize(
    ("host", "private"),
    [("localhost", True), ("10.1.2.3", True), ("169.254.169.254", True), ("[fd00::1]", True), ("[::1]", True),
     ("100.64.0.1", True), ("8.8.8.8", False), ("hooks.example.com", False)],
)  # fmt: skip
def test_what_a_private_address_is(host: str, private: bool) -> None:
    """Whatever is not globally routable, as it is written."""
    assert is_private(host) is private


def test_an_empty_file_tells_nobody() -> None:
    """And is valid."""
    assert plan(AlertsFile(), read("alerts.yaml", b"")).receivers == {}
    with pytest.raises(ValidationError, match="unknown key"):
        AlertsFile.model_validate({"destination": {}})
    with pytest.raises(ValidationError):
        AlertsFile.model_validate({"send": [{"on": "everything", "to": "x"}]})
