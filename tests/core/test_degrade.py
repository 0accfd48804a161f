"""What may stand in: decided like any other call, and never wider than what the call itself may use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.decide import decide
from gateway.core.degrade import ladder_of, siblings, stand_ins, told, wider
from gateway.core.ladder import Cap, Cheaper
from gateway.core.places import inside
from gateway.core.snapshot import Deployment, Snapshot
from gateway.core.values import Label, LabelledCall, Surface
from tests.spine import NOW, Spine, snapshot

PLACES = ("processed_in", "stored_in", "vendor_logs_in", "staff_access_from", "tls_ends_in")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The bank's snapshot."""
    return snapshot(tmp_path_factory.mktemp("bank"))


def labelled(compiled: Snapshot, label: str, *, app: str = "teller", **changes: Any) -> LabelledCall:
    """A call with one label."""
    call = Spine(compiled).call(app=app, **changes)
    return LabelledCall(call=call, labels=(Label(name=label, set_by="app"),), findings=())


def stand(compiled: Snapshot, asked: LabelledCall, rung: Cheaper) -> dict[str, tuple[str, ...]]:
    """The stand-ins of a call: alias → deployments."""
    decision = decide(asked, compiled, now=NOW, decision_id="d")
    route = compiled.routes[asked.call.model]
    found = stand_ins(asked, decision, route, rung, compiled, now=NOW, decision_id="d2")
    for each in found:
        assert each.labelled.call.instead_of == asked.call.model
        assert set(each.deployments) <= set(each.decision.permitted)
    return {each.route.alias: each.deployments for each in found}


def test_every_stand_in_is_permitted_for_this_very_call(compiled: Snapshot) -> None:
    """Client data: the US may not stand in, whatever it costs; the order is the ladder's."""
    client = labelled(compiled, "client", model="chat")
    assert stand(compiled, client, Cheaper()) == {
        "everywhere": ("ca", "ca_on"), "only-ca": ("ca",), "only-ca-on": ("ca_on",),
    }  # fmt: skip
    assert list(stand(compiled, client, Cheaper(aliases=("only-ca-on", "only-ca", "only-us")))) == [
        "only-ca-on",
        "only-ca",
    ]
    assert stand(compiled, client, Cheaper(aliases=("nobody", "chat"))) == {}


def test_an_alias_that_the_app_may_not_use_cannot_stand_in(compiled: Snapshot) -> None:
    """A ladder lets nothing that a key does not."""
    app = replace(compiled.apps["teller"], models=("chat",))
    narrowed = replace(compiled, apps={**compiled.apps, "teller": app})
    assert stand(narrowed, labelled(narrowed, "client"), Cheaper(aliases=("only-ca",))) == {}


def test_public_data_stays_where_the_call_may_go(compiled: Snapshot) -> None:
    """The lab's public data may go to the US by law, but a call to Canada is not moved there."""
    here = labelled(compiled, "public", app="hackathon", model="chat")
    assert "only-us" not in stand(compiled, here, Cheaper())
    there = labelled(compiled, "public", app="hackathon", model="everywhere")
    assert stand(compiled, there, Cheaper())["only-us"] == ("us",)


def test_vectors_have_no_stand_in(compiled: Snapshot) -> None:
    """Those of another model do not compare."""
    asked = labelled(compiled, "client", surface=Surface.EMBEDDINGS)
    assert stand(compiled, asked, Cheaper()) == {}


def test_siblings_are_what_the_call_may_fall_back_to(compiled: Snapshot) -> None:
    """And never the one that it was about."""
    decision = decide(labelled(compiled, "client"), compiled, now=NOW, decision_id="d")
    assert siblings(decision, "ca", compiled) == ("ca_on",)


def test_the_apps_word_comes_before_the_routes(compiled: Snapshot) -> None:
    """None leaves it to the route; nothing is nothing."""
    route = replace(compiled.routes["chat"], when_over=(Cap(tokens=64),))
    app = compiled.apps["teller"]
    assert ladder_of(app, route) == ()
    assert ladder_of(replace(app, when_over=None), route) == (Cap(tokens=64),)
    assert ladder_of(replace(app, when_over=(Cheaper(),)), route) == (Cheaper(),)


codes = st.sampled_from(["CA", "CA-QC", "CA-ON", "US", "DE", "EU", "FR", "global"])
places = st.none() | st.frozensets(codes, min_size=1, max_size=3)


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    """The facts of a deployment that degrading looks at."""
    facts: dict[str, Any] = {name: draw(places) for name in PLACES}
    facts["keeps_content_days"] = draw(st.none() | st.integers(0, 60))
    facts["trains_on_data"] = draw(st.sampled_from(["never", "opt_out", None]))
    return facts


@given(deployments(), st.lists(deployments(), min_size=1, max_size=3))
def test_what_is_not_wider_has_every_fact_within(
    compiled: Snapshot, one: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    """Place by place, day by day: an oracle that asks each question by itself."""
    base: Deployment = compiled.deployments["ca"]
    allowed = [replace(base, **facts) for facts in others]
    if wider(replace(base, **one), allowed):
        return
    for name in PLACES:
        union = frozenset().union(*(facts[name] or () for facts in others))
        known = all(facts[name] is not None for facts in others)
        assert inside(one[name], union) if one[name] is not None else not known
    if one["keeps_content_days"] is None:
        assert any(facts["keeps_content_days"] is None for facts in others)
    elif all(facts["keeps_content_days"] is not None for facts in others):
        assert one["keeps_content_days"] <= max(facts["keeps_content_days"] for facts in others)
    if one["trains_on_data"] != "never":
        assert one["trains_on_data"] in {facts["trains_on_data"] for facts in others}


@given(deployments())
def test_a_deployment_is_not_wider_than_itself(compiled: Snapshot, one: dict[str, Any]) -> None:
    """Nor than itself among others; but wider than nothing at all."""
    made = replace(compiled.deployments["ca"], **one)
    assert not wider(made, [made])
    assert not wider(made, [made, compiled.deployments["us"]])
    assert wider(made, [])


def test_what_was_done_in_one_line() -> None:
    """As the header says it."""
    assert told({"cheaper": "chat-mini", "answer_tokens": 256}) == "cheaper=chat-mini, answer_tokens=256"
