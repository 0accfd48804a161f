"""The bank, the hospital and the SaaS firm: their written policies, through the whole spine.

Every case that stands beside a rule becomes a real call: labels come from the app, a header, a
verified claim or a finding, as they would; what is refused sends nothing, what is allowed reaches
that very deployment. Then what each of the three would lose sleep over.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.adapters.memory_upstream import Scripted
from gateway.core.errors import Code, GatewayError, Refusal, UpstreamFailed
from gateway.core.snapshot import Snapshot
from gateway.core.values import Call, Caller, Surface
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of, read_folder
from gateway.policy.schema import KINDS, CaseModel
from gateway.policy.source import read
from tests.policy.written import HERE
from tests.spine import NOW, Spine, completion

FIRMS = ("bank", "hospital", "saas")
DAY = 86_400 * 10**9
NAME = "Odile Tremblay"
HEALTH = "9876-543-217-AB"
CARD = "4111 1111 " + "1111 1111"


def _data(raw: bytes) -> Any:
    return read("x.yaml", raw).data


def _files(firm: str, **changes: str) -> dict[str, bytes]:
    """The firm's files, wired: each deployment under an alias of its own, and all of them as ``any``."""
    files = {**read_folder(HERE / "bundles" / firm), **{f"{k}.yaml": v.encode() for k, v in changes.items()}}
    names = sorted(_data(files["deployments.yaml"])["deployments"])
    teams = _data(files["teams.yaml"])
    for team in teams["teams"].values():
        team.pop("budget", None)
        for app in team["apps"].values():
            app["models"] = [*names, "any", *_data(files.get("routes.yaml", b"routes: {}"))["routes"]]
    routes = _data(files.get("routes.yaml", b"routes: {}"))["routes"]
    routes |= {name: {"try": [name]} for name in names} | {"any": {"try": names}}
    wires = {name: {"api": "openai", "url": "https://a.example.com/v1", "model": "m"} for name in names}
    prices = [
        {
            "id": name,
            "deployment": name,
            "currency": teams.get("currency", "CAD"),
            "meters": {},
            "valid": {"from": "2026-01-01"},
            "free": True,
            "source": "test",
        }
        for name in names
    ]
    return files | {
        "prices/free.yaml": orjson.dumps(prices),
        "teams.yaml": orjson.dumps(teams),
        "routes.yaml": orjson.dumps({"routes": routes}),
        "connections.yaml": orjson.dumps({"connections": wires}),
    }


def _snapshot(firm: str, **changes: str) -> Snapshot:
    return compile_bundle(bundle_of(_files(firm, **changes), now=NOW), now=NOW)


CASES = [
    pytest.param(firm, placed.value, id=f"{firm}: {placed.value.say}")
    for firm in FIRMS
    for placed in bundle_of(_files(firm), now=NOW).tests
]


def _call(snapshot: Snapshot, case: CaseModel) -> tuple[Call, tuple[str, ...]]:
    """A call that has a case's labels the way a real one would, and the kinds to be found in it."""
    headers: list[str] = []
    claims: list[tuple[str, str]] = list(case.claims.items())
    kinds: list[str] = []
    for name in case.data:
        label = snapshot.rules.labels[name]
        if name in snapshot.apps[case.app].data:
            continue
        if label.by_header:
            headers.append(name)
        elif label.kinds:
            kinds.append(min(label.kinds))
        else:
            claims.append(label.claims[0])
    model = case.try_
    surface = Surface.EMBEDDINGS if case.use == "embeddings" else Surface.CHAT
    body: dict[str, object] = (
        {"model": model, "input": "hello"}
        if surface is Surface.EMBEDDINGS
        else {"model": model, "messages": [{"role": "user", "content": f"{NAME} {HEALTH} {CARD}"}]}
    )
    app = snapshot.apps[case.app]
    caller = Caller(
        tenant=snapshot.tenant,
        team=app.team,
        app=case.app,
        key_id="k1",
        place=case.from_place,
        claims=tuple(claims),
    )
    return Call(
        id="req_1",
        surface=surface,
        caller=caller,
        model=model,
        stream=False,
        body=body,
        size=200,
        received=NOW,
        header_labels=tuple(headers),
        features=frozenset(case.features),
        purpose=case.purpose,
    ), tuple(kinds)


SPOKEN = {"person": NAME, "health_number": HEALTH, "card": CARD}


def _spine(snapshot: Snapshot, *kinds: str, log_place: str = "CA-ON") -> Spine:
    found = {SPOKEN[kind]: kind for kind in kinds}
    return Spine(snapshot, detector=ScriptedDetector(found, extra=frozenset(KINDS)), log_place=log_place)


async def _sent_to(spine: Spine, call: Call) -> list[str]:
    """Handle a call and return the deployments that it was sent to; all of them answer."""
    for name in spine.snapshot.deployments:
        spine.upstream.script(name, Scripted(reply=completion()))
    await spine.pipeline.handle(call)
    return [attempt.deployment.id for attempt in spine.upstream.sent]


@pytest.mark.parametrize(("firm", "case"), CASES)
async def test_each_written_case_is_what_happens(firm: str, case: CaseModel) -> None:
    """As written: allowed reaches that deployment, refused sends nothing and names the rules."""
    snapshot = _snapshot(firm)
    call, kinds = _call(snapshot, case)
    spine = _spine(snapshot, *kinds)
    if case.expect == "allowed":
        assert await _sent_to(spine, call) == [case.try_]
        (record,) = spine.records()
        assert record["outcome"] == "served"
        assert set(case.data) <= {label["name"] for label in record["labels"]}
        return
    with pytest.raises(GatewayError) as stopped:
        await _sent_to(spine, call)
    refusal = stopped.value.refusal
    assert refusal.code is Code.POLICY_REFUSED
    assert set(case.by or ()) <= set(refusal.extension["rules"])  # type: ignore[call-overload]  # JSON
    assert spine.upstream.sent == []
    (record,) = spine.records()
    assert record["outcome"] == "policy_refused"


def _chat(snapshot: Snapshot, app: str, model: str = "any", **changes: Any) -> Call:
    case = CaseModel.model_validate({"say": "x", "app": app, "try": model, "expect": "allowed"})
    call, _ = _call(snapshot, case)
    fields = {name: getattr(call, name) for name in Call.__dataclass_fields__}
    return Call(**{**fields, **changes})


def _down() -> UpstreamFailed:
    return UpstreamFailed(Refusal(code=Code.UPSTREAM_UNAVAILABLE, message="down"), retryable=True, sent=True)


@pytest.mark.parametrize(
    ("firm", "app", "inside"),
    [
        ("bank", "teller", {"azure-cae-41mini"}),
        ("hospital", "scribe", {"vault-ca"}),
        ("hospital", "clinic", {"clinic-us"}),
        ("saas", "assistant", {"self-no", "vertex-jp", "us-scc"}),
        ("saas", "toy", {"self-no"}),
    ],
)
async def test_when_everything_is_down_nothing_else_is_tried(firm: str, app: str, inside: set[str]) -> None:
    """A route over every deployment, all of them failing: tries stay where the policy lets them."""
    spine = _spine(_snapshot(firm))
    for name in spine.snapshot.deployments:
        spine.upstream.script(name, *[Scripted(failure=_down()) for _ in range(5)])
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(_chat(spine.snapshot, app, header_labels=()))
    assert {attempt.deployment.id for attempt in spine.upstream.sent} == inside


@pytest.mark.parametrize("firm", FIRMS)
async def test_a_header_cannot_lift_anything(firm: str) -> None:
    """Whatever an app says of its data in a header, no deployment joins."""
    snapshot = _snapshot(firm)
    for app in snapshot.apps:
        plain = await _reached(snapshot, _chat(snapshot, app))
        for label in [*snapshot.rules.labels, "nonsense"]:
            said = await _reached(snapshot, _chat(snapshot, app, header_labels=(label,)))
            assert said <= plain


async def _reached(snapshot: Snapshot, call: Call) -> set[str]:
    spine = _spine(snapshot)
    for name in snapshot.deployments:
        spine.upstream.script(name, *[Scripted(failure=_down()) for _ in range(5)])
    with pytest.raises(GatewayError):
        await spine.pipeline.handle(call)
    return {attempt.deployment.id for attempt in spine.upstream.sent}


async def test_the_bank_when_papers_lapse() -> None:
    """Facts of 2 November and the agreement both count through 31 January; the day after, both refuse."""
    spine = _spine(_snapshot("bank"))
    spine.clock.advance(nanoseconds=69 * DAY)  # 31 January
    teller = _chat(spine.snapshot, "teller", "azure-cae-41mini")
    assert await _sent_to(spine, teller) == ["azure-cae-41mini"]
    spine.clock.advance(nanoseconds=DAY)
    with pytest.raises(GatewayError) as stopped:
        await spine.pipeline.handle(teller)
    assert stopped.value.refusal.extension["rules"] == ["facts", "V-1"]


async def test_the_hospital_masks_and_marks() -> None:
    """The vendor sees neither the name nor the health number, and the reply asks for a clinician."""
    spine = _spine(_snapshot("hospital"), "person", "health_number")
    spine.upstream.script("vault-ca", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(_chat(spine.snapshot, "scribe"))
    (attempt,) = spine.upstream.sent
    body = str(attempt.cleared.body)
    assert NAME not in body
    assert HEALTH not in body
    assert reply.served.marks == ("needs_human_review",)
    assert reply.served.masked == {"person": 1, "health_number": 1}


async def test_the_hospital_logs_in_canada_or_not_at_all() -> None:
    """A node that keeps its records in the US does not serve the ward."""
    spine = _spine(_snapshot("hospital"), log_place="US")
    with pytest.raises(GatewayError) as stopped:
        await _sent_to(spine, _chat(spine.snapshot, "scribe"))
    assert "may be logged in CA only" in stopped.value.refusal.message
    assert spine.upstream.sent == []


async def test_the_saas_firm_by_plan() -> None:
    """The same app: a tenant on the EU-only plan stays in the EEA, another may reach Japan."""
    snapshot = _snapshot("saas")
    plan = Caller(
        tenant=snapshot.tenant,
        team="product",
        app="assistant",
        key_id="k1",
        claims=(("tenant.plan", "eu-only"),),
    )
    assert await _reached(snapshot, _chat(snapshot, "assistant", caller=plan)) == {"self-no"}
    assert "vertex-jp" in await _reached(snapshot, _chat(snapshot, "assistant"))


async def test_the_saas_firm_says_that_it_is_ai() -> None:
    """Every answer of a product app says so, and a hiring app also asks for a person."""
    spine = _spine(_snapshot("saas"))
    spine.upstream.script("self-no", Scripted(reply=completion()))
    reply = await spine.pipeline.handle(_chat(spine.snapshot, "recruiting", "self-no"))
    assert reply.served.disclose_ai
    assert reply.served.marks == ("needs_human_review",)


async def test_a_warning_is_recorded_and_refuses_nothing() -> None:
    """A rule that only warns, and one in shadow, are named in the record of what they would have stopped."""
    policy = (HERE / "bundles" / "bank" / "policy.yaml").read_text()
    more = """
  - {id: W-1, says: Prefer our own machines., for: {data: client}, must: {vendor: self}, strength: warn}
  - {id: W-2, says: Tomorrow's rule., for: {data: client}, must: {human_review: never}, shadow: true}
  - {id: W-3, says: Holds anyway., for: {data: client}, must: {processed_in: Canada}, strength: warn}

exceptions:"""
    spine = _spine(_snapshot("bank", policy=policy.replace("\nexceptions:", more, 1)))
    assert await _sent_to(spine, _chat(spine.snapshot, "teller", "azure-cae-41mini")) == ["azure-cae-41mini"]
    (record,) = spine.records()
    assert record["warnings"] == ["W-1", "W-2"]


async def test_a_unit_narrows_what_the_bank_allows() -> None:
    """The branch asks more than the bank does; the laboratory is as before."""
    files = _files("bank")
    files["units/branch.yaml"] = orjson.dumps(
        {
            "unit": "branch",
            "for": {"team": "branch"},
            "rules": [{"id": "B-1", "says": "Probed only.", "must": {"rung": {"processed_in": "probe"}}}],
        }
    )
    snapshot = compile_bundle(bundle_of(files, now=NOW), now=NOW)
    with pytest.raises(GatewayError) as stopped:
        await _sent_to(_spine(snapshot), _chat(snapshot, "teller", "azure-cae-41mini"))
    assert stopped.value.refusal.extension["rules"] == ["B-1"]
    assert await _sent_to(_spine(snapshot), _chat(snapshot, "hackathon", "together-us")) == ["together-us"]
