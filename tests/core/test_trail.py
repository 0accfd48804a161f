"""The trail of one attempt: what was held, topped up, settled and released adds up."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.record import abandoned, intent, top_up
from gateway.core.trail import steps
from gateway.core.values import Usage
from tests.core.maple import NOW, attempt, want
from tests.core.test_fold import MOST, entry, record, served

NAME = "req_1.a1"


def said(found):
    return [(step.what, step.budget, step.amount) for step in found]


def test_a_served_try_holds_settles_and_releases_the_rest():
    """Held = settled + released, per budget; the charge in its own currency and in ours."""
    tried = attempt(wants=(want(10**9, 10**12),))
    usage = Usage(input=1000, output=100)
    found = steps(
        [
            entry(1, "writer.open", {}),
            entry(2, "attempt.intent", intent(tried, bound=MOST)),
            entry(3, "call.record", record(served(tried, usage))),
        ],
        NAME,
    )
    assert said(found) == [
        ("held", "team:branch:CAD", "1.00"),
        ("settled", "", "0.000616"),
        ("settled", "", "0.00085778"),
        ("settled", "team:branch:CAD", "0.00085778"),
        ("released", "team:branch:CAD", "0.99914222"),
    ]
    assert {step.where for step in found} == {"w1:2", "w1:3"}
    assert [step.unit for step in found if step.what == "settled"] == ["USD", "CAD", "CAD"]


def test_a_top_up_is_a_step_of_its_own():
    """By how much, and what is held then."""
    tried = attempt(wants=(want(100, 10**12),))
    larger = replace(tried.hold, wants=(want(250, 10**12),))
    found = steps(
        [
            entry(2, "attempt.intent", intent(tried, bound=MOST)),
            entry(3, "attempt.top_up", top_up(tried, larger, bound=MOST)),
        ],
        NAME,
    )
    assert [(step.what, step.amount, step.note) for step in found] == [
        ("held", "0.0000001", ""),
        ("topped up", "0.00000015", "now 0.00000025"),
    ]


def test_an_abandoned_try_is_read_from_its_adopter_alone():
    """The dead writer's journal may be gone: what it held stands in the adopter's entry."""
    tried = attempt(wants=(want(100, 10**12),))
    begun = intent(tried, bound=MOST)
    found = steps([entry(9, "attempt.outcome", abandoned("w0", begun, ended=NOW), writer="w2")], NAME)
    assert [(step.what, step.budget) for step in found][:1] == [("held", "team:branch:CAD")]
    assert ("settled", "team:branch:CAD", "0.0000001") in said(found)
    assert "released" not in {step.what for step in found}
    assert any("estimated" in step.note for step in found)


def test_other_attempts_are_not_its_trail():
    """Also of the same call."""
    tried = attempt("req_1.a2", wants=(want(100, 10**12),))
    assert (
        steps([entry(2, "attempt.intent", intent(tried, bound=MOST)), entry(3, "key.created", {})], NAME)
        == []
    )
