"""Edges of proofs over sinks that mutation testing found untested."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.rules import Obligations, PlaceTest, ValueTest
from gateway.policy.prove import Goal, _kept, _leaks, _sink_path
from gateway.policy.sinks import Sink, SinkKind
from tests import spine

IN_CANADA = PlaceTest(fact="vendor_logs_in", allowed=frozenset({"CA"}), shown="Canada")


def journal(place: str | None) -> Sink:
    """The journal of a node somewhere."""
    return Sink(kind=SinkKind.JOURNAL, place=place, at="settings: place")


@pytest.mark.parametrize(
    ("place", "test", "leaks"),
    [
        ("CA-QC", IN_CANADA, False),
        ("US", IN_CANADA, True),
        (None, IN_CANADA, True),  # nobody knows where it is
        ("US", replace(IN_CANADA, fact="processed_in"), False),  # a journal processes nothing
        ("US", ValueTest(fact="vendor_logs_in", values=frozenset({"never"})), False),  # about no place
    ],
)
def test_a_sink_leaks_what_a_sentence_says_about_what_it_does(place, test, leaks):
    """The place of the sink against the places of the sentence; unknown is outside."""
    assert _leaks(journal(place), test) is leaks


@pytest.mark.parametrize(
    ("log_in", "shadow", "labels", "kept"),
    [
        (None, False, {"client"}, True),
        ({"CA"}, False, {"client"}, False),  # refused before anything is written in the US
        ({"US"}, False, {"client"}, True),
        ({"CA"}, True, {"client"}, True),  # a shadow refuses nothing
        ({"CA"}, False, {"public"}, True),  # the rule is about clients
    ],
)
def test_a_call_that_may_not_be_logged_there_never_gets_to_the_sink(tmp_path, log_in, shadow, labels, kept):
    """``log_in`` refuses a call on a node elsewhere, so its journal holds nothing of it."""
    made = spine.snapshot(tmp_path)
    duty = Obligations(log_in=None if log_in is None else frozenset(log_in))
    rules = tuple(
        replace(rule, do=duty, shadow=shadow) if rule.id == "CA-1" else rule for rule in made.rules.rules
    )
    snapshot = replace(made, rules=replace(made.rules, rules=rules))
    app = snapshot.apps["teller"]
    assert _kept(journal("US"), app, "chat", frozenset(labels), snapshot) is kept


def test_the_path_to_a_sink_names_app_sink_place_and_setting(tmp_path):
    """A sentence that a person can act on; a place that nobody declared is called unknown."""
    app = spine.snapshot(tmp_path).apps["teller"]
    goal = Goal(label="client", test=IN_CANADA)
    assert _sink_path(journal("US"), app, goal) == (
        "client data, app teller → the journal of this node: journal must be inside Canada; "
        "is US (settings: place)"
    )
    assert "is unknown (settings: place)" in _sink_path(journal(None), app, goal)
