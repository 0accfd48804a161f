"""Recorded decisions, decided again: why one came out as it did, and what a candidate would change.

A record holds no prompt. It holds what labelled the call (app, header, kinds that detectors found)
and what the decision looked at, so a call can be labelled and decided again under any bundle. Kinds
that the recorded policy did not look for were not looked for: a candidate that asks for more
detectors may find more than a replay can say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import orjson

from gateway.core.classify import classify
from gateway.core.decide import Decision, decide, subject_of
from gateway.core.errors import Code
from gateway.core.explain import explain_subject
from gateway.core.explanation import Explanation, duties
from gateway.core.rules import UNKNOWN, UNLABELLED
from gateway.core.snapshot import Snapshot
from gateway.core.values import Call, Caller, Finding, Label, LabelledCall, Surface

What = Literal["refused", "allowed", "elsewhere", "duties", "unknown app"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a record says that a decision looked at."""

    app: str
    team: str
    surface: Surface
    model: str  # as asked
    labels: tuple[Label, ...]
    features: frozenset[str]
    kinds: frozenset[str]  # of findings that labelled or were masked
    purpose: str | None
    place: str | None  # of the key
    refused: bool  # by policy

    @property
    def header(self) -> tuple[str, ...]:
        """The labels that a header set."""
        return tuple(label.name for label in self.labels if label.set_by == "header")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What would change for equal calls, and by which rules."""

    app: str
    model: str
    what: What
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The outcome over many calls."""

    calls: int
    undecided: int  # calls that came to no decision: nothing to replay
    turns: tuple[tuple[Turn, int], ...]  # the most frequent first

    @property
    def changed(self) -> int:
        """How many calls would come out differently."""
        return sum(number for _, number in self.turns)


def recorded(
    *,
    app: str,
    team: str,
    surface: str,
    asked: str,
    labels: str,
    features: str,
    masked: str,
    purpose: str | None,
    place: str | None,
    outcome: str,
) -> Recorded:
    """Return a record's columns as a value; JSON columns as text. Raises ValueError on an unknown surface."""
    named = tuple(Label(name=item["name"], set_by=item["set_by"]) for item in orjson.loads(labels))
    found = {
        label.set_by.removeprefix("detector:") for label in named if label.set_by.startswith("detector:")
    }
    return Recorded(
        app=app,
        team=team,
        surface=Surface(surface),
        model=asked,
        labels=named,
        features=frozenset(orjson.loads(features)),
        kinds=frozenset(found) | frozenset(orjson.loads(masked)),
        purpose=purpose,
        place=place,
        refused=outcome == Code.POLICY_REFUSED.value,
    )


def call_of(seen: Recorded, *, tenant: str) -> Call:
    """Return the call as far as a record knows it: without its body."""
    return Call(
        id="",
        surface=seen.surface,
        caller=Caller(tenant=tenant, team=seen.team, app=seen.app, key_id="", place=seen.place),
        model=seen.model,
        stream=False,
        body={},
        size=0,
        received=0,
        purpose=seen.purpose,
        features=seen.features,
    )


def as_labelled(seen: Recorded, *, tenant: str) -> LabelledCall:
    """Return the call with the labels that it had, whoever would set them now."""
    return LabelledCall(call=call_of(seen, tenant=tenant), labels=seen.labels, findings=())


def relabelled(seen: Recorded, snapshot: Snapshot) -> LabelledCall:
    """Return the call as a snapshot would label it: registration and found kinds count anew."""
    failed = any(label.set_by == "detector failure" for label in seen.labels)
    findings = tuple(
        Finding(kind=kind, path=(), start=0, end=0, score=100, detector="record")
        for kind in sorted(seen.kinds)
    )
    # What a label is also was noted as set by the header too; the header named the narrowest.
    named = [name for name in seen.header if name not in (UNKNOWN, UNLABELLED)]
    above = {
        also
        for name in named
        if name in snapshot.rules.labels
        for also in snapshot.rules.labels[name].closure - {name}
    }
    header = tuple(name for name in named if name not in above)
    if UNKNOWN in seen.header:
        header = (*header, UNKNOWN)
    call = replace(call_of(seen, tenant=snapshot.tenant), header_labels=header)
    return classify(call, findings, snapshot, detectors_failed=failed)


def why(seen: Recorded, snapshot: Snapshot, *, now: int) -> Explanation:
    """Explain a recorded decision under a snapshot, with the labels as they were recorded."""
    labelled = as_labelled(seen, tenant=snapshot.tenant)
    return explain_subject(subject_of(labelled, snapshot), seen.labels, snapshot, now=now)


def replay(
    groups: Iterable[tuple[Recorded, int]],
    candidate: Snapshot,
    *,
    now: int,
    before: Snapshot | None = None,
    undecided: int = 0,
) -> Replay:
    """Decide recorded calls again under a candidate and count what would change.

    Compared with ``before`` (decided at the same instant, so that only the bundles differ), or with
    what was recorded. Each kind of call is decided once, however many there were.
    """
    turns: Counter[Turn] = Counter()
    seen: Counter[Recorded] = Counter()
    for one, number in groups:
        seen[one] += number
    for one, number in seen.items():
        turn = _turn(one, candidate, before, now=now)
        if turn is not None:
            turns[turn] += number
    ordered = sorted(turns.items(), key=lambda item: (-item[1], item[0].app, item[0].model, item[0].rules))
    return Replay(calls=sum(seen.values()) + undecided, undecided=undecided, turns=tuple(ordered))


def _turn(one: Recorded, candidate: Snapshot, before: Snapshot | None, *, now: int) -> Turn | None:
    if one.app not in candidate.apps:
        return Turn(app=one.app, model=one.model, what="unknown app", rules=())
    then = _decided(one, candidate, now=now)
    was = None if before is None or one.app not in before.apps else _decided(one, before, now=now)
    refused = one.refused if was is None else not was.permitted
    model = candidate.aliases.get(one.model, one.model)
    if bool(then.permitted) is refused:
        if refused:
            rules = _refusing(one, before, now=now) if before is not None else ()
            return Turn(app=one.app, model=model, what="allowed", rules=rules)
        return Turn(app=one.app, model=model, what="refused", rules=_refusing(one, candidate, now=now))
    if was is None or refused:
        return None
    if was.permitted[0] != then.permitted[0]:
        rules = tuple(sorted(set(then.rules) ^ set(was.rules)))
        return Turn(app=one.app, model=model, what="elsewhere", rules=rules)
    if set(duties(was.obligations)) != set(duties(then.obligations)):
        rules = tuple(sorted(set(then.rules) ^ set(was.rules)))
        return Turn(app=one.app, model=model, what="duties", rules=rules)
    return None


def _decided(one: Recorded, snapshot: Snapshot, *, now: int) -> Decision:
    labelled = relabelled(one, snapshot)
    return decide(labelled, snapshot, now=now, decision_id="")


def _refusing(one: Recorded, snapshot: Snapshot, *, now: int) -> tuple[str, ...]:
    labelled = relabelled(one, snapshot)
    explained = explain_subject(subject_of(labelled, snapshot), labelled.labels, snapshot, now=now)
    rules = [reason.rule for c in explained.candidates for reason in c.reasons if reason.refuses]
    return tuple(dict.fromkeys(rules)) or ("no route",)


# ------------------------------------------------------------------------ text


_WORDS: dict[str, str] = {
    "refused": "would be refused by",
    "allowed": "would be allowed, no longer refused by",
    "elsewhere": "would be served by another deployment first, by",
    "duties": "would have other duties, by",
    "unknown app": "come from an app that the candidate does not register",
}


def text(outcome: Replay) -> str:
    """Return ``312 of 90,411 calls would change`` and a line for each app, model and rules."""
    lines = [f"{outcome.changed:,} of {outcome.calls:,} calls would change"]
    for turn, number in outcome.turns:
        rules = ", ".join(turn.rules) or (
            "facts, routes or registration" if turn.what != "unknown app" else ""
        )
        lines.append(f"{number:>8,}  {turn.app} · {turn.model}: {_WORDS[turn.what]} {rules}".rstrip())
    if outcome.undecided:
        lines.append(
            f"{outcome.undecided:,} came to no decision (unknown model, malformed body): not replayed"
        )
    return "\n".join(lines)
