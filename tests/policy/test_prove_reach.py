"""How far a call may reach, rule by rule: what mutation testing found untested in the proofs' reach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.policy.compile import compile_bundle
from gateway.policy.prove import USES, Reaches, label_set, prove_sentence, widest
from gateway.policy.sinks import Sink, SinkKind
from tests.policy.written import DAY_NS, NOW, written

DEPLOYMENTS = """
deployments:
  home: {vendor: v, processed_in: [CA], uses: [chat], seen: 2026-11-02, recheck_days: 90}
  away: {vendor: v, processed_in: [US], uses: [chat, embeddings], seen: 2026-11-02, recheck_days: 90}
"""
CONNECTIONS = """
connections:
  home: {api: openai, url: "https://a.example.com/v1", model: m}
  away: {api: openai, url: "https://b.example.com/v1", model: m}
"""
ROUTES = "routes: {near: {try: [home]}, both: {try: [home, away]}}"
HEAD = """
policy: p
places: {Canada: [CA]}
data:
  a: {found_by: [app, header]}
  b: {found_by: [header]}
  c: {found_by: ["plan=gold"]}
  d: {found_by: ["detector:sin"]}
  e: {found_by: [app]}
"""
ALLOW = "  - {id: OK, says: s, allow: true}\n"
AWAY, HOME = 1, 2  # bits, by the order of names


def world(rules=ALLOW, *, app="{data: a, models: [both]}", head=HEAD, more=""):
    """The bundle and the snapshot of a policy with one app."""
    loaded = written(
        policy=f"{head}rules:\n{rules}{more}",
        deployments=DEPLOYMENTS,
        connections=CONNECTIONS,
        routes=ROUTES,
        teams=f"teams: {{t: {{apps: {{one: {app}}}}}}}",
    )
    return loaded, compile_bundle(loaded, now=NOW)


def reach(rules=ALLOW, labels=("a",), *, use="chat", now=NOW, **more):
    """The deployments that some call of the app may reach."""
    _, snapshot = world(rules, **more)
    return widest(snapshot.apps["one"], use, frozenset(labels), snapshot, now=now)


def proof(text, rules=ALLOW, *, sinks=(), **more):
    """A sentence, proved over the bundle."""
    loaded, snapshot = world(rules, **more)
    return prove_sentence(text, "here", loaded, snapshot, now=NOW, sinks=sinks)


AT_HOME = "  - {id: R, says: s, for: {data: a}, must: {processed_in: Canada}}\n"


def test_nothing_is_reached_that_no_rule_allows():
    """Not even the deployment with the first bit; a shadow allows nothing."""
    assert reach() == HOME | AWAY
    assert reach("  - {id: R, says: s, for: {data: a}, must: {vendor: v}}\n") == 0
    assert reach("  - {id: OK, says: s, allow: true, shadow: true}\n") == 0


def test_only_what_serves_the_use_and_whose_facts_are_fresh_is_reached():
    """A use that nobody serves reaches nothing; facts that are past their day neither."""
    assert reach(use="embeddings") == AWAY
    assert reach(use="files") == 0
    assert reach(use="no such use") == 0
    assert reach(now=NOW + 100 * DAY_NS) == 0


SOFT = "  - {id: R, says: s, for: {data: [a, b]}, must: {processed_in: Canada}, strength: exception}\n"
EXCEPTION = """exceptions:
  - {{rule: R, for: {{data: a{scope}}}, lets: {{processed_in: US}}, owner: o, approved_by: [l, s],
     until: 2026-12-01}}
"""
END = 1_796_169_600_000_000_000
"""The first instant after 2026-12-01, UTC."""


@pytest.mark.parametrize(
    ("labels", "now", "reached"),
    [
        (("a",), NOW, HOME | AWAY),
        (("a", "b"), NOW, HOME),  # the exception is for `a` alone
        (("a",), END - 1, HOME | AWAY),
        (("a",), END, HOME),
        (("b",), END, HOME),
    ],
)
def test_an_exception_reaches_for_its_data_until_its_day_is_over(labels, now, reached):
    """For every label on the call, and not a nanosecond longer."""
    assert reach(ALLOW + SOFT, labels, now=now, more=EXCEPTION.format(scope="")) == reached


def test_an_exception_for_what_is_unknown_of_a_call_may_apply_to_one():
    """A proof that left it out would hold, and a caller in Canada would get through."""
    assert reach(ALLOW + SOFT, more=EXCEPTION.format(scope=", caller_in: Canada")) == HOME | AWAY
    two = ", purpose: p"
    assert (
        reach(ALLOW + SOFT, app="{data: a, models: [both], purpose: q}", more=EXCEPTION.format(scope=two))
        == HOME
    )


@pytest.mark.parametrize(
    ("label", "app", "found"),
    [
        ("a", "{data: a, models: []}", {"a"}),  # the app carries it
        ("b", "{data: a, models: []}", {"a", "b"}),  # a header may add it
        ("c", "{data: a, models: []}", {"a", "c"}),  # a claim may
        ("d", "{data: a, models: []}", {"a", "d"}),  # a detector may
        ("e", "{data: a, models: []}", None),  # only another app does
    ],
)
def test_who_may_put_a_label_on_a_call(label, app, found):
    """Each way of its own is enough; without any, no call of the app carries it."""
    _, snapshot = world(app=app)
    assert label_set(snapshot.apps["one"], label, snapshot.rules) == (found and frozenset(found))


def test_what_nothing_labelled_stands_for_stays_on_the_call():
    """A header adds to an unlabelled app's call; it never takes away what unlabelled is treated as."""
    head = HEAD + "  unlabelled: {treat_as: a}\n"
    _, snapshot = world(app="{models: []}", head=head)
    app = snapshot.apps["one"]
    assert label_set(app, "b", snapshot.rules) == {"a", "b"}
    # A verified claim may speak for the call: then it is no longer unlabelled.
    assert label_set(app, "c", snapshot.rules) == {"c"}
    plain = world(app="{models: []}")[1]
    assert label_set(plain.apps["one"], "b", plain.rules) == {"b"}
    sentence = "B data never reaches a deployment outside Canada."
    assert proof(sentence, ALLOW + AT_HOME, app="{models: [both]}", head=head).holds
    assert not proof(sentence, ALLOW + AT_HOME, app="{models: [both]}").holds


def test_every_path_is_counted():
    """Uses times tries, and one per sink; an app that cannot carry the label has none."""
    text = "A data never reaches a deployment outside Canada."
    counted = proof(text, app="{data: a, models: [near, both]}").paths
    assert counted == 3 * len(USES)  # three tries, in each use
    sinks = (Sink(kind=SinkKind.JOURNAL, place="CA", at="x"),) * 2
    assert proof(text, app="{data: a, models: [near, both]}", sinks=sinks).paths == counted + 2
    assert proof("E data never reaches a deployment outside Canada.").paths == 0


KEPT = "A data is never logged outside Canada."
JOURNAL = Sink(kind=SinkKind.JOURNAL, place="US", at="settings: place")


def test_a_sink_breaks_a_sentence_only_where_a_call_gets_that_far():
    """The journal abroad is a path if some deployment may serve the call, and `log_in` does not refuse it."""
    found = proof(KEPT, sinks=(JOURNAL,))
    assert any("the journal of this node" in path for path in found.broken), found
    unreached = proof(KEPT, "  - {id: OK, says: s, allow: true, shadow: true}\n", sinks=(JOURNAL,))
    assert not any("journal" in path for path in unreached.broken)
    none = proof(KEPT, app="{data: a, models: []}", sinks=(JOURNAL,))
    assert none.broken == ()
    logged = "  - {id: L, says: s, for: {data: a}, do: [{log_in: Canada}]}\n"
    assert not any("journal" in path for path in proof(KEPT, ALLOW + logged, sinks=(JOURNAL,)).broken)
    # A rule that may not match keeps nothing away for sure.
    maybe = "  - {id: L, says: s, for: {data: a, purpose: p}, do: [{log_in: Canada}]}\n"
    assert any("journal" in path for path in proof(KEPT, ALLOW + maybe, sinks=(JOURNAL,)).broken)


def test_a_fact_that_ends_now_has_ended():
    """The instant at which a fact lapses is outside it."""
    deployments = DEPLOYMENTS.replace(
        "away: {vendor: v, processed_in: [US]", "away: {vendor: v, processed_in: [CA]"
    )
    fact = "{value: [CA], source: x, seen: 2026-11-02, good_for_days: 20}"  # to 2026-11-22, included
    loaded = written(
        policy=f"{HEAD}rules:\n{ALLOW}",
        deployments=deployments.replace("in: [CA], uses: [chat],", f"in: {fact}, uses: [chat],"),
        connections=CONNECTIONS, routes=ROUTES, teams="teams: {t: {apps: {one: {data: a, models: [both]}}}}",
    )  # fmt: skip
    snapshot = compile_bundle(loaded, now=NOW)
    text = "A data never reaches a deployment outside Canada."
    ends = snapshot.deployments["home"].provenance["processed_in"].ends
    assert ends == NOW
    assert not prove_sentence(text, "here", loaded, snapshot, now=NOW).holds
    assert prove_sentence(text, "here", loaded, snapshot, now=NOW - 1).holds


def test_apps_to_whom_other_rules_or_exceptions_apply_are_of_another_kind():
    """Answers are shared only where nothing tells two apps apart."""
    rules = ALLOW + SOFT + "  - {id: T, says: s, for: {app: two}, must: {vendor: v}}\n"
    exception = EXCEPTION.format(scope=", app: three, purpose: p")
    loaded = written(
        policy=f"{HEAD}rules:\n{rules}{exception}", deployments=DEPLOYMENTS, connections=CONNECTIONS,
        routes=ROUTES,
        teams="teams: {t: {apps: {one: {data: a, models: []}, two: {data: a, models: []}, "
        "three: {data: a, models: []}, four: {data: a, models: []}}}}",
    )  # fmt: skip
    snapshot = compile_bundle(loaded, now=NOW)
    reaches = Reaches(snapshot, now=NOW)
    purposeful = replace(snapshot.apps["three"], id="five", purpose="q")
    assert reaches.kind(purposeful, "chat") != reaches.kind(snapshot.apps["three"], "chat")
    kinds = {name: reaches.kind(app, "chat") for name, app in snapshot.apps.items()}
    assert kinds["one"] == kinds["four"]
    assert len({kinds["one"], kinds["two"], kinds["three"]}) == 3
    assert reaches.kind(snapshot.apps["one"], "embeddings") != kinds["one"]
    for app in snapshot.apps.values():
        labels = frozenset({"a"})
        assert reaches.of(app, "chat", labels) == widest(app, "chat", labels, snapshot, now=NOW)
