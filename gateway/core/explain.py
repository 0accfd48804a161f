"""Why: every reason behind a decision, recomputed from the same tables when somebody asks.

:func:`explain` lists each candidate with every rule that it fails, the fact that failed and
where it is written; :func:`text` prints an explanation; ``policy_refusal`` says the same to an app in
one sentence. No text here holds content of a prompt.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.core import must
from gateway.core.decide import (
    allowed,
    allows,
    applies,
    judge,
    known,
    matching,
    passes,
    subject_of,
    unmet,
)
from gateway.core.degrade import ladder_of
from gateway.core.explanation import BUILT_IN, Candidate, Explanation, Reason, duties, text
from gateway.core.ladder import spoken as spoken_ladder
from gateway.core.places import inside, spoken
from gateway.core.rules import DocumentTest, Obligations, PlaceTest, Rule, Subject, Verdict
from gateway.core.snapshot import Deployment, Snapshot
from gateway.core.values import Label, LabelledCall

__all__ = [
    "BUILT_IN",
    "Candidate",
    "Explanation",
    "Reason",
    "duties",
    "explain",
    "explain_subject",
    "text",
]


def explain(
    labelled: LabelledCall, snapshot: Snapshot, *, now: int, candidates: tuple[str, ...] | None = None
) -> Explanation:
    """Explain a call under a snapshot at an instant: every candidate with every failing rule.

    ``candidates`` replaces the tries of the alias, to ask about deployments by name.
    """
    subject = subject_of(labelled, snapshot)
    return explain_subject(subject, labelled.labels, snapshot, now=now, candidates=candidates)


def explain_subject(
    subject: Subject,
    labels: tuple[Label, ...],
    snapshot: Snapshot,
    *,
    now: int,
    candidates: tuple[str, ...] | None = None,
) -> Explanation:
    """Explain a subject that need not be a call: also for uses that have no surface yet."""
    verdict = judge(subject, snapshot, now=now, candidates=candidates)
    matched = matching(subject, snapshot)
    deployments = [snapshot.deployments[name] for name in verdict.candidates]
    app = snapshot.apps.get(subject.app)
    return Explanation(
        policy=snapshot.policy_name,
        version=snapshot.policy_version,
        snapshot_hash=snapshot.hash,
        facts_hash=snapshot.facts_hash,
        facts_seen=min((d.seen for d in deployments), default=""),
        alias=snapshot.aliases.get(subject.model, subject.model),
        labels=labels,
        app_at=app.at if app is not None else "",
        candidates=tuple(
            _candidate(deployment, subject, verdict, matched, snapshot, now=now) for deployment in deployments
        ),
        allowed_by=tuple(rule.id for rule in matched if allows(rule, subject)),
        matched=verdict.rules,
        obligations=verdict.obligations,
        use_instead=_instead(subject, snapshot, now) if not verdict.permitted else (),
        when_over=_when_over(subject, snapshot),
    )


def _when_over(subject: Subject, snapshot: Snapshot) -> str:
    """Return what the app's ladder lets be done to this call; nothing for an app that allows nothing."""
    app = snapshot.apps.get(subject.app)
    route = snapshot.routes.get(snapshot.aliases.get(subject.model, ""))
    ladder = ladder_of(app, route) if app is not None and route is not None else ()
    return spoken_ladder(ladder) if ladder else ""


def _candidate(
    deployment: Deployment,
    subject: Subject,
    verdict: Verdict,
    matched: tuple[Rule, ...],
    snapshot: Snapshot,
    *,
    now: int,
) -> Candidate:
    bit = 1 << deployment.index
    reasons = _built_in(deployment, subject, verdict.obligations, matched, snapshot, now=now)
    passed: list[str] = []
    by_exception: list[str] = []
    passing_by_rule = {rule.id: passes(rule, subject, snapshot, now=now) for rule in matched}
    hard = frozenset(
        rule.id
        for rule in matched
        if rule.refuses and rule.strength == "hard" and not (passing_by_rule[rule.id] or bit) & bit
    )
    for rule in matched:
        passing = passing_by_rule[rule.id]
        if passing is None:
            continue
        if passing & bit:
            passed.append(rule.id)
            if rule.must is not None and must.failing(rule.must, deployment, subject.use, now):
                by_exception.append(rule.id)
        else:
            note = _exception_note(rule, subject, snapshot, hard, now)
            reasons.extend(_reasons(rule, deployment, subject, note, now=now))
    return Candidate(
        deployment=deployment.id,
        permitted=bool(verdict.mask & bit),
        reasons=tuple(reasons),
        passed=tuple(passed),
        by_exception=tuple(by_exception),
        not_established=_not_established(deployment, matched),
        known_by=_known_by(deployment, matched),
    )


def _built_in(
    deployment: Deployment,
    subject: Subject,
    obligations: Obligations,
    matched: tuple[Rule, ...],
    snapshot: Snapshot,
    *,
    now: int,
) -> list[Reason]:
    reasons: list[Reason] = []

    def add(rule: str, fact: str, at: str) -> None:
        reasons.append(
            Reason(rule=rule, strength="hard", says=BUILT_IN[rule], fact=fact, at=at, rule_at="built in")
        )

    if not known(subject, snapshot.rules):
        add("labels", "the call carries a kind of data that the policy does not know", "")
    if not allowed(matched, subject):
        add("default", _nothing_allows(matched), "")
    if deployment.withdrawn:
        add("facts", deployment.withdrawn, _line(deployment, "processed_in"))
    elif now >= deployment.expires:
        add("facts", f"facts had to be rechecked by {deployment.recheck_by}", _line(deployment, "seen"))
    route = snapshot.routes.get(snapshot.aliases.get(subject.model, ""))
    if route is not None and route.uses is not None and subject.use not in route.uses:
        add(
            "use",
            f"the route {route.alias} is for {must.either(route.uses)}, not for {subject.use}",
            route.at,
        )
    if subject.use not in deployment.uses:
        add(
            "use",
            f"uses must name {subject.use}; is {must.shown(deployment.uses)}",
            _line(deployment, "uses"),
        )
    missing = subject.features - deployment.covers
    if missing:
        add("features", f"covers must name {', '.join(sorted(missing))}", _line(deployment, "covers"))
    for duty in sorted(unmet(subject, obligations)):
        rule = next((rule for rule in matched if not rule.shadow and _asks(rule.do, duty)), None)
        if rule is not None:
            # A duty binds whatever the strength of its rule's `must`.
            fact = duty if duty.startswith("ask ") else f"can only be done {duty}"
            reasons.append(replace(_reason(rule, fact, "", ""), strength="hard"))
    return reasons


def _nothing_allows(matched: tuple[Rule, ...]) -> str:
    unmet_ones = [f"{rule.id} only if {rule.only_if_shown}" for rule in matched if rule.only_if is not None]
    return "no rule allows this app this use" + (f" ({'; '.join(unmet_ones)})" if unmet_ones else "")


def _asks(do: Obligations, duty: str) -> bool:
    word, _, what = duty.partition(" ")
    if word == "ask":
        return what in do.ask
    if word == "without":
        return what in do.forbid_tools or (do.no_store and what in {"store", "background"})
    if word == "logged":
        return do.log_in is not None
    return do.keep_log_days_at_most is not None


def _reason(
    rule: Rule, fact: str, at: str, note: str, *, deployment: Deployment | None = None, key: str = ""
) -> Reason:
    own = deployment.provenance.get(key) if deployment is not None else None
    known_by = own if own is not None else deployment
    return Reason(
        rule=rule.id,
        strength="shadow" if rule.shadow else rule.strength,
        says=rule.says,
        fact=fact,
        at=at,
        rule_at=rule.at,
        source=known_by.source if known_by is not None else "",
        seen=known_by.seen if known_by is not None else "",
        recheck_by=known_by.recheck_by if known_by is not None else "",
        note=note,
    )


def _reasons(rule: Rule, deployment: Deployment, subject: Subject, note: str, *, now: int) -> list[Reason]:
    reasons: list[Reason] = []
    if rule.caller_must_be_in is not None and not inside(
        frozenset({subject.place}) if subject.place else None, rule.caller_must_be_in
    ):
        said = spoken(frozenset({subject.place}) if subject.place else None)
        reasons.append(
            _reason(rule, f"the caller must be in {rule.caller_shown}; is in {said}", rule.at, note)
        )
    if rule.must is not None:
        for test in must.failing(rule.must, deployment, subject.use, now):
            reasons.append(  # noqa: PERF401 (reads best as the sibling of the one above)
                _reason(
                    rule,
                    must.sentence(test, deployment, subject.use, now),
                    _line(deployment, must.fact_of(test)),
                    note,
                    deployment=deployment,
                    key=must.fact_of(test),
                )
            )
    return reasons


def _exception_note(rule: Rule, subject: Subject, snapshot: Snapshot, hard: frozenset[str], now: int) -> str:
    if rule.strength != "exception" or rule.shadow:
        return ""
    if hard:
        verb = "is" if len(hard) == 1 else "are"
        return f"no exception can help: {', '.join(sorted(hard))} {verb} hard"
    for exemption in rule.exemptions:
        if now >= exemption.until:
            return f"the exception of {exemption.owner} ended on {exemption.until_day}"
        if not applies(exemption, subject, snapshot, now=now):
            return f"the exception at {exemption.at} is not for this app with all of this data"
        return f"the exception at {exemption.at} does not let this"
    return "no exception is in force"


def _line(deployment: Deployment, fact: str) -> str:
    own = deployment.provenance.get(fact)
    if own is not None and own.at:
        return own.at
    file, _, line = deployment.at.rpartition(":")
    return f"{file}:{deployment.lines.get(fact, line)}"


_RESIDENCY = ("processed_in", "stored_in", "vendor_logs_in", "staff_access_from", "tls_ends_in")


def _not_established(deployment: Deployment, matched: tuple[Rule, ...]) -> tuple[tuple[str, str], ...]:
    tested = {
        test.fact
        for rule in matched
        if rule.must is not None and rule.refuses
        for test in rule.must.tests
        if isinstance(test, PlaceTest)
    }
    return tuple(
        (fact, must.shown(must.place_fact(deployment, fact))) for fact in _RESIDENCY if fact not in tested
    )


def _known_by(deployment: Deployment, matched: tuple[Rule, ...]) -> tuple[tuple[str, str], ...]:
    tested = dict.fromkeys(
        test.fact
        for rule in matched
        if rule.must is not None and rule.refuses
        for test in rule.must.tests
        if not isinstance(test, DocumentTest)
    )
    return tuple((fact, must.rung_of(deployment, fact)) for fact in tested)


def _instead(subject: Subject, snapshot: Snapshot, now: int) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    app = snapshot.apps.get(subject.app)
    if app is None:
        return ()
    asked = snapshot.aliases.get(subject.model)
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for alias in app.models:
        if alias == asked:
            continue
        other = replace(subject, model=alias)
        verdict = judge(other, snapshot, now=now)
        if verdict.permitted:
            bit = 1 << snapshot.deployments[verdict.permitted[0]].index
            rules = [
                rule.id
                for rule in matching(other, snapshot)
                if (passing := passes(rule, other, snapshot, now=now)) is not None and passing & bit
            ]
            found.append((alias, verdict.permitted[0], tuple(rules)))
    return tuple(found)
