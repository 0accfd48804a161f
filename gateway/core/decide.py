"""The decision: which of a route's deployments may see this very call, and under what duties.

A deployment is permitted if its facts are fresh, it serves this use, its facts cover every
feature of the request, at least one rule allows the call, and *every* matching ``must`` holds.
Order never matters, the default is to deny, and whatever is unknown (a label, a fact, an app)
denies. Sets of deployments are bitmasks; reasons are not gathered here but recomputed by
:mod:`gateway.core.explain` when somebody asks.

INVARIANT: a further label only narrows. Rules match more with more labels, exemptions less,
and a rule that allows may not look at labels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.core.frozen import quick
from gateway.core.places import inside
from gateway.core.rules import (
    NOTHING_TO_DO,
    CompiledRules,
    Exemption,
    Label,
    Lapsing,
    Obligations,
    Rule,
    Scope,
    Subject,
    Verdict,
    merge,
)
from gateway.core.snapshot import App, Snapshot
from gateway.core.values import Label as CallLabel
from gateway.core.values import LabelledCall, Surface

__all__ = ["CompiledRules", "Decision", "Label", "Obligations", "decide", "judge", "permits", "subject_of"]

USES: dict[Surface, str] = {
    Surface.CHAT: "chat",
    Surface.RESPONSES: "chat",
    Surface.MESSAGES: "chat",
    Surface.COUNT_TOKENS: "chat",
    Surface.EMBEDDINGS: "embeddings",
}
"""What a surface is used for, in the words of rules and facts."""

_MEMO_LIMIT = 8_192


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided for a call under one snapshot.

    ``permitted`` are deployment ids in the order of the route's tries; ``candidates`` all of
    them; ``rules`` the ids of the rules that matched.
    """

    id: str
    snapshot_hash: str = ""
    permitted: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    obligations: Obligations = NOTHING_TO_DO
    rules: tuple[str, ...] = ()
    labels: tuple[CallLabel, ...] = ()
    verdict: Verdict | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Rules that only warn or shadow and would have refused a permitted deployment."""
        return self.verdict.warnings if self.verdict is not None else ()

    @property
    def subject(self) -> Subject | None:
        """What was looked at; kept for the check at the socket."""
        return self.verdict.subject if self.verdict is not None else None


def decide(labelled: LabelledCall, snapshot: Snapshot, *, now: int, decision_id: str) -> Decision:
    """Decide a labelled call at an instant. Never raises; ``permitted`` may be empty."""
    call = labelled.call
    caller = call.caller
    rules = snapshot.rules
    labels = labelled.labels
    key = (
        bisect_right(rules.instants, now),
        caller.app,
        call.surface,
        call.model,
        call.features,
        caller.place,
        caller.claims,
        call.purpose,
        frozenset([label.name for label in labels]),
    )
    verdict = rules.memo.get(key)
    if verdict is None:
        verdict = judge(subject_of(labelled, snapshot), snapshot, now=now)
        if len(rules.memo) >= _MEMO_LIMIT:
            rules.memo.clear()
        rules.memo[key] = verdict
    return Decision(
        id=decision_id,
        snapshot_hash=snapshot.hash,
        permitted=verdict.permitted,
        candidates=verdict.candidates,
        obligations=verdict.obligations,
        rules=verdict.rules,
        labels=labels,
        verdict=verdict,
    )


def permits(about: Decision | LabelledCall, deployment_id: str, snapshot: Snapshot, *, now: int) -> bool:
    """Return whether a deployment may be tried now, under what may be a newer snapshot.

    The check at the socket: freshness of facts and documents, and every rule again. Under
    another snapshot than the decision's, the app's labels of today count too, and duties that
    the decision did not know deny, since the body was prepared without them.
    """
    if isinstance(about, LabelledCall):
        return deployment_id in decide(about, snapshot, now=now, decision_id="").permitted
    subject = about.subject
    if subject is None:
        return False
    if about.snapshot_hash == snapshot.hash:
        return deployment_id in judge(subject, snapshot, now=now).permitted
    app = snapshot.apps.get(subject.app)
    registered = closed(snapshot.rules, app.data) if app is not None else frozenset[str]()
    verdict = judge(replace(subject, labels=subject.labels | registered), snapshot, now=now)
    return deployment_id in verdict.permitted and _done_already(about.obligations, verdict.obligations)


def _done_already(done: Obligations, wanted: Obligations) -> bool:
    return merge((done, wanted)) == merge((done,))


def subject_of(labelled: LabelledCall, snapshot: Snapshot) -> Subject:
    """Return what a decision looks at in a call."""
    call = labelled.call
    app = snapshot.apps.get(call.caller.app)
    return Subject(
        app=call.caller.app,
        use=USES[call.surface],
        place=call.caller.place,
        claims=call.caller.claims,
        # The purpose that was registered for the app stands above the one a call declares.
        purpose=app.purpose if app is not None and app.purpose is not None else call.purpose,
        features=call.features,
        model=call.model,
        labels=closed(snapshot.rules, labelled.label_names),
    )


def closed(rules: CompiledRules, names: frozenset[str] | tuple[str, ...]) -> frozenset[str]:
    """Return labels with everything that they are also. Unknown names stay, and deny later."""
    found = set(names)
    for name in names:
        label = rules.labels.get(name)
        if label is not None:
            found |= label.closure
    return frozenset(found)


def judge(
    subject: Subject,
    snapshot: Snapshot,
    *,
    now: int,
    candidates: tuple[str, ...] | None = None,
) -> Verdict:
    """Decide a subject: the masks of every rule that matches it, ANDed. Not memoised.

    ``candidates`` replaces the tries of the route that the subject's model names.
    """
    rules = snapshot.rules
    matched = matching(subject, snapshot)
    obligations = merge(rule.do for rule in matched if not rule.shadow)
    mask = rules.alive.at(now) & rules.uses.get(subject.use, 0)
    for feature in subject.features:
        mask &= rules.covers.get(feature, 0)
    if not allowed(matched, subject) or not known(subject, rules) or unmet(subject, obligations):
        mask = 0
    soft: list[tuple[str, int]] = []
    for rule in matched:
        passing = passes(rule, subject, snapshot, now=now)
        if passing is None:
            continue
        if rule.refuses:
            mask &= passing
        else:
            soft.append((rule.id, passing))
    if candidates is None:
        route = snapshot.routes.get(snapshot.aliases.get(subject.model, ""))
        candidates = route.tries if route is not None else ()
        if route is not None and route.uses is not None and subject.use not in route.uses:
            mask = 0
    permitted = tuple([d for d in candidates if mask >> snapshot.deployments[d].index & 1])
    chosen = sum({1 << snapshot.deployments[d].index for d in permitted})
    return Verdict(
        mask=mask,
        permitted=permitted,
        candidates=candidates,
        obligations=obligations,
        rules=tuple(rule.id for rule in matched),
        warnings=tuple(rule_id for rule_id, passing in soft if chosen & ~passing),
        subject=subject,
    )


# ------------------------------------------------------------ what explain asks too


def known(subject: Subject, rules: CompiledRules) -> bool:
    """Return whether there is a label, and the policy knows every one."""
    return bool(subject.labels) and all(name in rules.labels for name in subject.labels)


def allowed(matched: tuple[Rule, ...], subject: Subject) -> bool:
    """Return whether a rule allows the call."""
    return any(allows(rule, subject) for rule in matched)


def allows(rule: Rule, subject: Subject) -> bool:
    """Return whether a rule that matches allows: not in shadow, nor where its ``only_if`` is not so."""
    return rule.allow and not rule.shadow and (rule.only_if is None or rule.only_if(subject))


def unmet(subject: Subject, obligations: Obligations) -> frozenset[str]:
    """Return the duties that cannot be done for this call, so that they refuse it."""
    missing = {f"ask {who}" for who in obligations.ask}
    missing |= {f"without {feature}" for feature in subject.features & obligations.forbid_tools}
    if obligations.no_store:
        missing |= {f"without {feature}" for feature in subject.features & {"store", "background"}}
    if obligations.log_in is not None and not obligations.log_in:
        missing.add("logged in a place that every rule accepts")
    least, most = obligations.keep_log_days_at_least, obligations.keep_log_days_at_most
    if least is not None and most is not None and least > most:
        missing.add(f"logs kept at least {least} and at most {most} days")
    return frozenset(missing)


def matching(subject: Subject, snapshot: Snapshot) -> tuple[Rule, ...]:
    """Return the rules that match a subject."""
    app = snapshot.apps.get(subject.app)
    return tuple(
        [
            rule
            for rule in snapshot.rules.rules
            if (rule.data is None or not rule.data.isdisjoint(subject.labels))
            and in_scope(rule.scope, subject, app, snapshot.tenant, doubt=not rule.allow)
        ]
    )


def in_scope(scope: Scope, subject: Subject, app: App | None, tenant: str, *, doubt: bool) -> bool:
    """Return whether a scope matches. ``doubt`` is the answer to each part whose side is unknown."""
    if scope.within is not None and not in_scope(scope.within, subject, app, tenant, doubt=doubt):
        return False
    if scope.uses is not None and subject.use not in scope.uses:
        return False
    if scope.tenants is not None and tenant not in scope.tenants:
        return False
    if scope.apps is not None and not (
        doubt if app is None else app.id in scope.apps or not app.groups.isdisjoint(scope.apps)
    ):
        return False
    if scope.teams is not None and not (doubt if app is None else app.team in scope.teams):
        return False
    purpose, place = subject.purpose, subject.place
    if scope.purposes is not None and not (doubt if purpose is None else purpose in scope.purposes):
        return False
    if scope.groups is not None:
        groups = {value for key, value in subject.claims if key == "group"}
        if not (doubt if not groups else not groups.isdisjoint(scope.groups)):
            return False
    return scope.caller_in is None or (
        doubt if place is None else inside(frozenset({place}), scope.caller_in)
    )


def passes(rule: Rule, subject: Subject, snapshot: Snapshot, *, now: int) -> int | None:
    """Return the mask of deployments that pass a rule's ``must``, exemptions included."""
    outside = rule.caller_must_be_in is not None and not inside(
        frozenset({subject.place}) if subject.place is not None else None, rule.caller_must_be_in
    )
    if rule.passes is None:
        return 0 if outside else None
    mask = by_use(rule.passes, subject.use).at(now)
    for exemption in rule.exemptions:
        if applies(exemption, subject, snapshot, now=now):
            mask |= by_use(exemption.passes, subject.use).at(now)
    return 0 if outside else mask


def by_use(table: Mapping[str, Lapsing], use: str) -> Lapsing:
    """Return the masks for a use; most rules do not depend on it."""
    return table.get(use) or table[""]


def applies(exemption: Exemption, subject: Subject, snapshot: Snapshot, *, now: int) -> bool:
    """Return whether an exemption covers a subject: unexpired, in scope, and for every label."""
    return (
        now < exemption.until
        and (exemption.data is None or subject.labels <= exemption.data)
        and in_scope(exemption.scope, subject, snapshot.apps.get(subject.app), snapshot.tenant, doubt=False)
    )
