"""What a compiled bundle's authors will want to know: sentences, not errors."""

from __future__ import annotations

from gateway.core.decide import in_scope, judge
from gateway.core.explain import explain_subject
from gateway.core.rules import Subject
from gateway.core.snapshot import Snapshot
from gateway.policy import prove
from gateway.policy.bundle import Bundle
from gateway.policy.cases import subject_for
from gateway.policy.problems import Problem
from gateway.policy.schema import USES


def review(bundle: Bundle, snapshot: Snapshot, *, now: int) -> list[Problem]:
    """Return warnings that need the tables: aliases that give an app nothing, rules for nobody."""
    return [
        *_nothing(bundle, snapshot, now),
        *_for_nobody(bundle, snapshot),
        *_meaningless(bundle),
    ]


def _nothing(bundle: Bundle, snapshot: Snapshot, now: int) -> list[Problem]:
    document = bundle.documents["teams"]
    found = []
    for app in snapshot.apps.values():
        for i, alias in enumerate(app.models):
            route = snapshot.routes[alias]
            uses = sorted(route.uses) if route.uses is not None else ["chat", "embeddings"]
            subjects = [subject_for(snapshot, app=app.id, data=(), model=alias, use=use) for use in uses]
            if any(judge(subject, snapshot, now=now).permitted for subject, _ in subjects):
                continue
            subject, labels = subjects[0]
            why = explain_subject(subject, labels, snapshot, now=now)
            rules = dict.fromkeys(r.rule for c in why.candidates for r in c.reasons if r.refuses)
            found.append(
                document.problem(
                    ("teams", app.team, "apps", app.id, "models", i),
                    f"`{app.id}` gets nothing from `{alias}`: {', '.join(rules)} refuse all of it",
                )
            )
    return found


def _for_nobody(bundle: Bundle, snapshot: Snapshot) -> list[Problem]:
    """Return rules that no app of this bundle can ever meet."""
    tenant = snapshot.tenant

    def asked(app: str, use: str) -> Subject:
        return subject_for(snapshot, app=app, data=(), model="", use=use)[0]

    found = []
    for placed, rule in zip(bundle.rules, snapshot.rules.rules, strict=True):
        met = any(
            in_scope(rule.scope, asked(app.id, use), app, tenant, doubt=True)
            for app in snapshot.apps.values()
            for use in USES
        )
        if not met and snapshot.apps:
            found.append(
                placed.document.problem(placed.path, f"the rule `{rule.id}` matches no app of teams.yaml")
            )
    return found


def _meaningless(bundle: Bundle) -> list[Problem]:
    document = bundle.documents["policy"]
    return [
        document.problem(("prove", i), goal)
        for i, text in enumerate(bundle.policy.prove)
        if isinstance(goal := prove.parse(text, bundle), str)
    ]
