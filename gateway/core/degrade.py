"""Degrading before refusing: which ladder counts for a call, and what may stand in for its model.

Pure. A stand-in is decided like any other call, by every rule, under the same snapshot; and beyond
that its facts must lie within those of the deployments that the call itself is permitted.
INVARIANT: degrading never widens: no place, no operator's staff, no training, no longer keeping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.core.decide import Decision, decide
from gateway.core.ladder import Cheaper, Ladder
from gateway.core.places import Places, inside
from gateway.core.snapshot import App, Deployment, Route, Snapshot
from gateway.core.values import LabelledCall, Surface

MOST_STAND_INS = 8
"""Deployments that are looked at for one call; more would be a search, not a ladder."""

REPLACEABLE = frozenset({Surface.CHAT, Surface.MESSAGES, Surface.RESPONSES})
"""Surfaces whose model may be another one. Vectors of two embedding models do not compare."""

_PLACES = ("processed_in", "stored_in", "vendor_logs_in", "staff_access_from", "tls_ends_in")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """Another route that could answer the call: the call as asked of it, and what it permits there."""

    labelled: LabelledCall
    decision: Decision
    route: Route
    deployments: tuple[str, ...]


def ladder_of(app: App, route: Route) -> Ladder:
    """Return what may be done before a call of this app on this route is refused; () is nothing."""
    return route.when_over if app.when_over is None else app.when_over


def siblings(decision: Decision, deployment: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the other deployments that the call's own decision permits: it may fall back to them anyway."""
    return tuple(d for d in decision.permitted if d != deployment and d in snapshot.connections)


def stand_ins(
    labelled: LabelledCall,
    decision: Decision,
    route: Route,
    rung: Cheaper,
    snapshot: Snapshot,
    *,
    now: int,
    decision_id: str,
) -> tuple[StandIn, ...]:
    """Return the other routes of the app that may answer this very call, in the ladder's order."""
    call = labelled.call
    app = snapshot.apps.get(call.caller.app)
    if app is None or call.surface not in REPLACEABLE:
        return ()
    allowed = _of(decision.permitted, snapshot)
    found: list[StandIn] = []
    for alias in app.models if rung.aliases is None else rung.aliases:
        other = snapshot.routes.get(alias)
        if other is None or alias == route.alias or alias not in app.models:
            continue
        asked = replace(labelled, call=replace(call, model=alias, instead_of=call.instead_of or call.model))
        decided = decide(asked, snapshot, now=now, decision_id=decision_id)
        deployments = tuple(
            name for name in decided.permitted if not wider(snapshot.deployments[name], allowed)
        )
        if deployments:
            found.append(StandIn(labelled=asked, decision=decided, route=other, deployments=deployments))
    return tuple(found)


def wider(one: Deployment, allowed: Iterable[Deployment]) -> bool:
    """Return whether a deployment's facts reach beyond those of the permitted ones, taken together."""
    known = tuple(allowed)
    if not known:
        return True
    for fact in _PLACES:
        places: Places | None = getattr(one, fact)
        sets: list[Places | None] = [getattr(each, fact) for each in known]
        if places is None:
            if None not in sets:
                return True
        elif places and not inside(places, frozenset(code for each in sets for code in each or ())):
            return True
    days = [each.keeps_content_days for each in known]
    if _beyond(one.keeps_content_days, days):
        return True
    return one.trains_on_data != "never" and one.trains_on_data not in {e.trains_on_data for e in known}


def _beyond(value: int | None, known: list[int | None]) -> bool:
    """Return whether a number is above all that are known; unknown is above every number."""
    if value is None:
        return None not in known
    return None not in known and value > max(each for each in known if each is not None)


def _of(names: Iterable[str], snapshot: Snapshot) -> tuple[Deployment, ...]:
    return tuple(snapshot.deployments[name] for name in names if name in snapshot.deployments)


def told(steps: Mapping[str, str | int]) -> str:
    """Return what was done, as the header ``x-borderpost-degraded`` says it."""
    return ", ".join(f"{name}={value}" for name, value in steps.items())
