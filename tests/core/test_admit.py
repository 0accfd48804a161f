"""The cheap refusal: what a call asks for first, and what it has used when it ended."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.admit import admission, name_of, used
from gateway.core.values import Caller, Hold
from tests.core.maple import CALLER, NOW, app, limit, snapshot

RATES = (
    replace(limit("team", "branch", "requests", 600, "minute"), id="rate:team:branch:requests"),
    replace(limit("app", "teller", "concurrent", 4, "now"), id="rate:app:teller:concurrent"),
    replace(limit("app", "teller", "tokens", 9000, "minute"), id="rate:app:teller:tokens"),
)


def test_an_app_without_rates_asks_for_nothing() -> None:
    """No window is looked at, and an app that is not registered is refused elsewhere."""
    assert admission(snapshot(), CALLER, at=NOW) == ()
    assert admission(snapshot(), Caller(tenant="m", team="t", app="ghost", key_id="k"), at=NOW) == ()


def test_a_call_asks_for_one_request_and_one_place() -> None:
    """Tokens are asked for later: how many is not known yet."""
    made = admission(snapshot(apps={"teller": app(rates=RATES)}), CALLER, at=NOW)
    assert [(w.budget, w.amount, w.rate) for w in made] == [
        ("rate:team:branch:requests", 1, True),
        ("rate:app:teller:concurrent", 1, True),
    ]


def test_a_call_that_ended_has_used_a_request_and_no_place() -> None:
    """The place is somebody else's now."""
    made = admission(snapshot(apps={"teller": app(rates=RATES)}), CALLER, at=NOW)
    assert used(Hold(id=name_of("req_1"), wants=made)) == {
        "rate:team:branch:requests": 1,
        "rate:app:teller:concurrent": 0,
    }
