"""Replay: recorded decisions, decided again; golden sentences, and the same verdict as at the time."""

# ruff: noqa: E501 (sentences stand whole, as people read them)

from __future__ import annotations

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.classify import classify
from gateway.core.decide import decide
from gateway.core.values import Label
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of
from gateway.policy.replay import recorded, relabelled, replay, text, why
from tests.policy.signed import BANK, edited
from tests.policy.written import NOW, calls, files, found, load_data, snapshot

BEFORE = snapshot("bank")


def _snapshot(data):
    return compile_bundle(bundle_of(data, now=NOW), now=NOW)


def _seen(app="teller", model="chat", labels=(("client", "app teller"),), outcome="served", **more):
    values = {
        "team": "branch",
        "surface": "chat",
        "features": "[]",
        "masked": "{}",
        "purpose": None,
        "place": None,
        **more,
    }
    named = orjson.dumps([{"name": name, "set_by": by} for name, by in labels]).decode()
    return recorded(app=app, asked=model, labels=named, outcome=outcome, **values)


GROUPS = [
    (_seen(), 90_000),
    (_seen(labels=(("client", "app teller"), ("quebec_client", "header"))), 312),
    (_seen(app="hackathon", model="chat-lab", labels=(("public", "app hackathon"),), team="lab"), 99),
    (_seen(model="chat-pro", outcome="policy_refused"), 0),
]


def test_how_many_would_change():
    """By app, model and rule, the most frequent first: the sentence before a change goes live."""
    stricter = _snapshot(
        edited(
            "rules:\n",
            "rules:\n  - {id: QC-9, says: None of it., for: {data: quebec_client}, must: {processed_in: US}}\n",
        )
    )
    outcome = replay(GROUPS, stricter, now=NOW, before=BEFORE, undecided=7)
    assert text(outcome) == (
        "312 of 90,418 calls would change\n"
        "     312  teller · chat: would be refused by QC-9\n"
        "7 came to no decision (unknown model, malformed body): not replayed"
    )
    assert outcome.changed == 312


def test_what_would_be_let_through():
    """A refusal that goes away is named with the rule that made it."""
    shut = _snapshot(edited("vendor: [microsoft, cohere, self]", "vendor: [cohere]"))
    outcome = replay(GROUPS, BEFORE, now=NOW, before=shut)
    assert "would be allowed, no longer refused by V-1" in text(outcome)
    assert outcome.changed == 90_312


def test_nothing_would_change():
    """The same bundle on the same calls, against itself and against what was recorded."""
    assert replay(GROUPS, BEFORE, now=NOW, before=BEFORE).changed == 0
    assert replay(GROUPS, BEFORE, now=NOW).changed == 0


def test_duties_routes_and_apps_count_too():
    """Another mask, another first deployment, an app that is gone."""
    masks = _snapshot(
        edited("rules:\n", "rules:\n  - {id: M, says: m., for: {app: teller}, do: [{mask: [sin]}]}\n")
    )
    assert "would have other duties, by M" in text(replay(GROUPS, masks, now=NOW, before=BEFORE))
    routed = _snapshot(
        edited(
            "chat-lab: {try: [together-us, azure-cae-41mini]}",
            "chat-lab: {try: [azure-cae-41mini, together-us]}",
            "routes.yaml",
        )
    )
    said = text(replay(GROUPS, routed, now=NOW, before=BEFORE))
    assert "99  hackathon · chat-lab: would be served by another deployment first" in said
    other = _snapshot(
        {
            **edited("hackathon:", "hackers:", "teams.yaml"),
            "policy.yaml": BANK["policy.yaml"].replace(b"hackathon", b"hackers"),
        }
    )
    assert "come from an app that the candidate does not register" in text(
        replay(GROUPS, other, now=NOW, before=BEFORE)
    )


def test_labels_follow_what_was_found():
    """A candidate that labels a found kind otherwise is replayed with its own labels."""
    card = _seen(labels=(("client", "app teller"), ("card_number", "detector:card")), masked='{"card":1}')
    assert {label.name for label in relabelled(card, BEFORE).labels} == {"client", "card_number"}
    without = _snapshot(edited('found_by: ["detector:card"]', "found_by: [app]"))
    assert {label.name for label in relabelled(card, without).labels} == {"client"}
    header = _seen(labels=(("client", "header"), ("quebec_client", "header")))
    assert Label(name="quebec_client", set_by="header") in relabelled(header, BEFORE).labels
    unknown = _seen(labels=(("client", "app teller"), ("unknown", "header")))
    assert "unknown" in {label.name for label in relabelled(unknown, BEFORE).labels}
    failed = _seen(labels=(("client", "detector failure"), ("public", "app hackathon")), app="hackathon")
    assert {label.name for label in relabelled(failed, BEFORE).labels} == {"client", "public"}


def test_why_keeps_the_labels_as_they_were():
    """An explanation of a recorded decision is of that call, whoever labels it today."""
    told = why(_seen(model="chat-pro", outcome="policy_refused"), BEFORE, now=NOW)
    assert not told.permitted
    assert told.labels == (Label(name="client", set_by="app teller"),)
    assert "CA-1" in {reason.rule for c in told.candidates for reason in c.reasons}


def test_a_surface_that_is_none():
    """A record of another version is not guessed at."""
    with pytest.raises(ValueError, match="telepathy"):
        _seen(surface="telepathy")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), calls(), st.sampled_from([(), ("sin",)]))
def test_a_replay_decides_as_the_call_was_decided(data, asked, kinds):
    """Recording and replaying under the same bundle gives the same verdict, claims apart."""
    asked = type(asked)(
        **{name: getattr(asked, name) for name in asked.__slots__}
        | {
            "caller": type(asked.caller)(
                tenant="t", team="t", app=asked.caller.app, key_id="k", place=asked.caller.place
            )
        }
    )
    rules = load_data(data)
    labelled = classify(asked, found(*kinds), rules, detectors_failed=False)
    decision = decide(labelled, rules, now=NOW, decision_id="d")
    seen = recorded(
        app=asked.caller.app,
        team="t",
        surface=asked.surface.value,
        asked=asked.model,
        labels=orjson.dumps([{"name": one.name, "set_by": one.set_by} for one in labelled.labels]).decode(),
        features=orjson.dumps(sorted(asked.features)).decode(),
        masked=orjson.dumps(dict.fromkeys(kinds, 1)).decode(),
        purpose=asked.purpose,
        place=asked.caller.place,
        outcome="served" if decision.permitted else "policy_refused",
    )
    again = decide(relabelled(seen, rules), rules, now=NOW, decision_id="d")
    assert again.permitted == decision.permitted
    assert why(seen, rules, now=NOW).permitted == bool(decision.permitted)
    assert replay([(seen, 3)], rules, now=NOW).changed == 0
