"""The tests beside the rules: run them, and say in words what came out differently.

A test names an app, data, and a deployment or model; it goes through the same decision as a
call. A failure reads as a sentence that a lawyer can act on.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.decide import closed
from gateway.core.explain import Explanation, duties, explain_subject
from gateway.core.rules import UNLABELLED, Obligations, Subject
from gateway.core.snapshot import Snapshot
from gateway.core.values import Label
from gateway.policy.bundle import Bundle, Placed
from gateway.policy.compile_rules import DAY, day_end
from gateway.policy.schema import CaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one test came out; ``failure`` is empty when it passed."""

    say: str
    at: str
    failure: str

    @property
    def passed(self) -> bool:
        """Whether it came out as written."""
        return not self.failure


def run(bundle: Bundle, snapshot: Snapshot, *, now: int) -> list[Outcome]:
    """Run every test of a bundle at an instant (ns); a test with ``at`` runs on that day's noon."""
    return [_run(placed, snapshot, now) for placed in bundle.tests]


def subject_for(
    snapshot: Snapshot, *, app: str, data: tuple[str, ...], model: str, use: str = "chat"
) -> tuple[Subject, tuple[Label, ...]]:
    """Return a subject with the app's own labels and further ones, and who set each."""
    registered = snapshot.apps[app]
    found: dict[str, str] = {}
    base = registered.data or (() if data else (snapshot.rules.treat_as or UNLABELLED,))
    for names, source in ((base, f"app {app}" if registered.data else UNLABELLED), (data, "test")):
        for name in names:
            for label in (name, *sorted(closed(snapshot.rules, (name,)))):
                found.setdefault(label, source)
    subject = Subject(
        app=app,
        use=use,
        place=None,
        claims=(),
        purpose=registered.purpose,
        features=frozenset(),
        model=model,
        labels=frozenset(found),
    )
    return subject, tuple(Label(name=name, set_by=source) for name, source in found.items())


def _run(placed: Placed[CaseModel], snapshot: Snapshot, now: int) -> Outcome:
    case = placed.value
    if case.at is not None:
        now = day_end(case.at) - DAY // 2
    named = snapshot.deployments.get(case.try_)
    subject, labels = subject_for(
        snapshot, app=case.app, data=tuple(case.data), model=case.try_, use=case.use
    )
    subject = Subject(
        app=subject.app,
        use=subject.use,
        place=case.from_place,
        claims=tuple(sorted(case.claims.items())),
        purpose=subject.purpose or case.purpose,
        features=frozenset(case.features),
        model=subject.model,
        labels=subject.labels,
    )
    candidates = (named.id,) if named is not None else None
    why = explain_subject(subject, labels, snapshot, now=now, candidates=candidates)
    failure = _difference(case, why)
    who = f"{case.app} with {', '.join(case.data) or 'its own'} data on {case.try_}"
    return Outcome(say=case.say, at=placed.at, failure=f"“{case.say}” ({who}): {failure}" if failure else "")


def _difference(case: CaseModel, why: Explanation) -> str:
    """Return what came out differently, or nothing."""
    if case.expect == "refused" and why.permitted:
        return f"{_named(case)}expected refused, was allowed because {_because_allowed(case, why)}"
    if case.expect == "allowed" and not why.permitted:
        return f"expected allowed, was refused because {_because_refused(why)}"
    if case.expect == "refused":
        refusing = {reason.rule for c in why.candidates for reason in c.reasons if reason.refuses}
        missing = [rule for rule in case.by or () if rule not in refusing]
        if missing:
            return f"expected refused by {_and(missing)}, was refused by {_and(sorted(refusing))} only"
        return ""
    missing = [rule for rule in case.by or () if rule not in why.matched]
    if missing:
        return f"expected {_and(missing)} to match, but {_and(why.matched)} did"
    by_exception = {rule for c in why.candidates if c.permitted for rule in c.by_exception}
    missing = [rule for rule in case.by_exception or () if rule not in by_exception]
    if missing:
        return f"expected allowed by an exception to {_and(missing)}, but none was needed or used"
    missing = [duty for duty in case.with_ or () if not _done(duty, why.obligations)]
    if missing:
        return f"expected with {_and(missing)}, but the duties are {_and(duties(why.obligations)) or 'none'}"
    return ""


def _named(case: CaseModel) -> str:
    return f"{_and(case.by)}: " if case.by else ""


def _because_allowed(case: CaseModel, why: Explanation) -> str:
    permitted = next(c for c in why.candidates if c.permitted)
    unmatched = [rule for rule in case.by or () if rule not in why.matched]
    parts = []
    if unmatched:
        parts.append(f"{_and(unmatched)} does not match this call")
    by_exception = set(permitted.by_exception)
    if by_exception:
        parts.append(f"an exception lifts {_and(sorted(by_exception))}")
    passed = [rule for rule in permitted.passed if rule not in by_exception]
    if passed:
        parts.append(f"{permitted.deployment} passes {_and(passed)}")
    parts.append(f"{_and(why.allowed_by)} allows it")
    return ", and ".join(parts)


def _because_refused(why: Explanation) -> str:
    if not why.candidates:
        return f"no route is called {why.alias}"
    reasons = [
        f"{reason.rule} refuses {candidate.deployment}: {reason.fact} ({reason.at or reason.rule_at})"
        for candidate in why.candidates
        for reason in candidate.reasons
        if reason.refuses
    ]
    return "; ".join(dict.fromkeys(reasons))


def _done(duty: str, obligations: Obligations) -> bool:
    """Return whether a duty as written in ``with`` is among the obligations."""
    verb, _, kind = duty.partition(" ")
    kinds = {
        "mask": obligations.mask,
        "tokenise": obligations.tokenise,
        "block": obligations.block,
        "hash": obligations.hash,
        "report": obligations.report,
    }
    if verb in kinds:
        return kind in kinds[verb] if kind else bool(kinds[verb])
    alias = {"answer_tokens": "answer", "log_in": "log in", "disclose_ai": "say that it is AI"}
    wanted = alias.get(duty, duty)
    return any(word == wanted or word.startswith(f"{wanted} ") for word in duties(obligations))


def _and(words: tuple[str, ...] | list[str] | None) -> str:
    names = list(words or ())
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
