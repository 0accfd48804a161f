"""``must``: tests over the facts of a deployment, and until when each holds.

Facts only ever lapse: a document ends on its date, and nothing comes back without a new
bundle. So a test over a deployment needs no truth value per instant, but one instant: *until
when does it hold*. ``NEVER`` is before every instant and ``FOREVER`` after. The compiler turns
these instants into bitmasks; explain turns the same tests into sentences.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from gateway.core.places import Places, inside
from gateway.core.rules import (
    FOREVER,
    NEVER,
    BoundTest,
    DocumentTest,
    Must,
    PlaceTest,
    RungTest,
    Test,
    UseTest,
    ValueTest,
)
from gateway.core.snapshot import Deployment


def place_fact(deployment: Deployment, fact: str) -> Places | None:
    """Return a residency fact; ``None`` is unknown."""
    match fact:
        case "processed_in":
            return deployment.processed_in
        case "stored_in":
            return deployment.stored_in
        case "vendor_logs_in":
            return deployment.vendor_logs_in
        case "staff_access_from":
            return deployment.staff_access_from
        case "tls_ends_in":
            return deployment.tls_ends_in
        case _:
            return None


def _value_holds(test: ValueTest, value: object) -> bool:
    if value is None or value == "unknown":
        return False
    if isinstance(value, (list, tuple, frozenset)):
        words = [str(item) for item in cast("Iterable[object]", value)]
        return bool(words) and all(word in test.values for word in words)
    if isinstance(value, bool):
        return str(value).lower() in test.values
    return str(value) in test.values


def holds_until(test: Test, deployment: Deployment, use: str) -> int:
    """Return the instant until which one test holds for a deployment (and a use).

    A fact with a day of its own is unknown from its end on, whatever the deployment's facts are.
    """
    if isinstance(test, DocumentTest):
        return deployment.has.get(test.document, NEVER)
    until = _whatever_the_day(test, deployment, use)
    own = deployment.provenance.get(test.fact) if deployment.provenance else None
    return until if own is None else min(until, own.ends)


def _whatever_the_day(test: Test, deployment: Deployment, use: str) -> int:
    match test:
        case PlaceTest(fact=fact, allowed=allowed):
            return _holding(inside(place_fact(deployment, fact), allowed))
        case ValueTest(fact=fact):
            return _holding(_value_holds(test, deployment.facts.get(fact)))
        case BoundTest(fact=fact):
            return _holding(_bound_holds(test, deployment.facts.get(fact)))
        case DocumentTest(document=document):
            return deployment.has.get(document, NEVER)
        case UseTest(fact=fact):
            value = deployment.facts.get(fact)
            return _holding(isinstance(value, (list, tuple)) and use in value)
        case RungTest(fact=fact, rungs=rungs):
            return _holding(rung_of(deployment, fact) in rungs)


def rung_of(deployment: Deployment, fact: str) -> str:
    """Return how well a fact is known."""
    own = deployment.provenance.get(fact)
    return deployment.rung if own is None else own.rung


def _holding(holds: bool) -> int:  # noqa: FBT001 (a truth value is all that it takes)
    return FOREVER if holds else NEVER


def _bound_holds(test: BoundTest, value: object) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return (test.at_most is None or value <= test.at_most) and (
        test.at_least is None or value >= test.at_least
    )


def passes_until(must: Must, deployment: Deployment, use: str) -> int:
    """Return the instant until which a deployment passes a whole ``must``."""
    end = FOREVER
    stand_in = max((deployment.has.get(document, NEVER) for document in must.or_has), default=NEVER)
    for test in must.tests:
        until = holds_until(test, deployment, use)
        if until != FOREVER:
            if isinstance(test, PlaceTest):
                until = max(until, stand_in)
            end = min(end, until)
            if end == NEVER:
                return NEVER
    return end


def failing(must: Must, deployment: Deployment, use: str, now: int) -> tuple[Test, ...]:
    """Return the tests that a deployment fails at an instant."""
    stood_in = any(deployment.has.get(document, NEVER) > now for document in must.or_has)
    return tuple(
        test
        for test in must.tests
        if holds_until(test, deployment, use) <= now and not (stood_in and isinstance(test, PlaceTest))
    )


def widen(must: Must, lets: Must) -> Must:
    """Return a ``must`` as an exception softens it: no wider than its ``lets``, fact by fact."""
    let: dict[str, Test] = {}
    dropped: set[str] = set()
    for test in lets.tests:
        if isinstance(test, DocumentTest):
            dropped.add(test.document)
        else:
            let[test.fact] = test
    tests: list[Test] = []
    for test in must.tests:
        match test:
            case DocumentTest(document=document):
                if document not in dropped:
                    tests.append(test)
            case PlaceTest(fact=fact) if isinstance(other := let.get(fact), PlaceTest):
                either_way = f"{test.shown} or {other.shown}"
                tests.append(replace(test, allowed=test.allowed | other.allowed, shown=either_way))
            case ValueTest(fact=fact) if isinstance(other := let.get(fact), ValueTest):
                tests.append(replace(test, values=test.values | other.values))
            case BoundTest(fact=fact) if isinstance(other := let.get(fact), BoundTest):
                tests.append(_loosen(test, other))
            case _:
                tests.append(test)
    return Must(tests=tuple(tests), or_has=must.or_has)


def _loosen(test: BoundTest, other: BoundTest) -> BoundTest:
    most = test.at_most
    if most is not None and other.at_most is not None:
        most = max(most, other.at_most)
    least = test.at_least
    if least is not None and other.at_least is not None:
        least = min(least, other.at_least)
    return BoundTest(fact=test.fact, at_most=most, at_least=least)


# ------------------------------------------------------------------- in words


def fact_of(test: Test) -> str:
    """Return the key of the fact that a test looks at, for its line in the file."""
    return "has" if isinstance(test, DocumentTest) else test.fact


def sentence(test: Test, deployment: Deployment, use: str, now: int) -> str:
    """Return what a test asks and what the fact says: ``processed_in must be inside Canada; is US``."""
    own = None if isinstance(test, DocumentTest) else deployment.provenance.get(test.fact)
    if own is not None and own.ends <= now and _whatever_the_day(test, deployment, use) > now:
        return f"{fact_of(test)} had to be rechecked by {own.recheck_by}"
    match test:
        case PlaceTest(fact=fact, shown=place):
            return f"{fact} must be inside {place}; is {shown(place_fact(deployment, fact))}"
        case ValueTest(fact=fact, values=values):
            return f"{fact} must be {either(values)}; is {shown(deployment.facts.get(fact))}"
        case BoundTest(fact=fact, at_most=most, at_least=least):
            bound = f"at most {most}" if most is not None else f"at least {least}"
            return f"{fact} must be {bound}; is {shown(deployment.facts.get(fact))}"
        case DocumentTest(document=document):
            ended = deployment.has.get(document)
            state = "is not on file" if ended is None else "has ended" if ended <= now else "is on file"
            return f"document {document} is needed; {state}"
        case UseTest(fact=fact):
            return f"{fact} must name {use}; is {shown(deployment.facts.get(fact))}"
        case RungTest(fact=fact, shown=least):
            return f"{fact} must be known by {least}; is {rung_of(deployment, fact)}"


def either(values: frozenset[str]) -> str:
    """Return values as a sentence says them: ``a, b or c``."""
    names = sorted(values)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def shown(value: object) -> str:
    """Return a fact as people read it; what is not known says so."""
    if value is None or value in ("unknown", frozenset(), []):
        return "unknown"
    if isinstance(value, (list, tuple, frozenset)):
        return ", ".join(sorted(str(item) for item in cast("Iterable[object]", value)))
    return str(value)
