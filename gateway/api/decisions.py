"""``GET /v1/decisions/{id}``: why a decision came out as it did, for the app that it was made for.

An app asks with its own key and learns of its own decisions only; another's and an invented one
are the same 404. It is told aliases, rules and facts of place, never a deployment, a vendor or an
address. People with the role of auditor or admin are told everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.adapters.keys import Database
from gateway.api.auth import AdminTokens, Role, authenticate, presented_key
from gateway.api.desk import raw_headers, refusing, require
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.explanation import Candidate, Reason, duties
from gateway.core.snapshot import Snapshot
from gateway.core.values import Caller
from gateway.policy.recorded import Told, recorded_why
from gateway.ports import Clock, Keys

UNKNOWN = Refusal(
    code=Code.TARGET_NOT_FOUND,
    message="No such decision of yours is recorded. A fresh one takes a second or two to get there.",
    param="id",
    retry=False,
)

_LONGEST = 80

_TOLD = (
    "processed_in ",
    "stored_in ",
    "vendor_logs_in ",
    "staff_access_from ",
    "tls_ends_in ",
    "keeps_content_days ",
    "trains_on_data ",
    "human_review ",
    "document ",
    "baa_covers ",
    "covers must",
    "uses must",
    "facts had",
    "the call",
    "the caller",
    "no rule",
    "ask ",
    "can only",
)
"""How a fact begins that names no upstream. INVARIANT: what is not listed is not told to an app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionDeps:
    """What the route needs."""

    keys: Keys
    tokens: AdminTokens
    store: Database
    snapshot: Callable[[], Snapshot]
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: DecisionDeps) -> APIRouter:
    """Return the route of recorded decisions."""
    routes = APIRouter(tags=["decisions"], route_class=refusing(deps.issue_id))
    auditor = require(deps.tokens, Role.AUDITOR)

    @routes.get("/v1/decisions/{decision}", summary="Why a decision came out as it did.")
    async def show(decision: str, request: Request) -> Response:
        headers = raw_headers(request)
        caller: Caller | None = None
        if (presented_key(headers) or "").startswith("bp_"):
            found = authenticate(headers, deps.keys, deps.clock.now())
            if isinstance(found, Refusal):
                raise GatewayError(found)
            caller = found
        else:
            auditor(request)
        told = await _told(deps, decision)
        if caller is None:
            return Response(orjson.dumps(whole(told), default=_plain), media_type="application/json")
        if (told.row.tenant, told.row.subject.app) != (caller.tenant, caller.app):
            raise GatewayError(UNKNOWN)
        return JSONResponse(for_app(told))

    return routes


async def _told(deps: DecisionDeps, decision: str) -> Told:
    if len(decision) > _LONGEST or not decision.startswith("dec_"):
        raise GatewayError(UNKNOWN)
    now, snapshot = deps.clock.now(), deps.snapshot()
    told = await deps.store.ask(lambda connection: recorded_why(connection, decision, snapshot, now=now))
    if told is None:
        raise GatewayError(UNKNOWN)
    return told


def _head(told: Told) -> dict[str, object]:
    row = told.row
    return {
        "id": row.decision,
        "call": row.call_id,
        "at": f"{datetime.fromtimestamp(row.received_us / 1e6, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        "app": row.subject.app,
        "model": row.subject.asked,
        "outcome": row.subject.outcome,
        "status": row.status,
        "policy": {
            "name": told.why.policy,
            "decided_under": row.snapshot,
            "explained_under": told.snapshot.hash,
            "same": told.exact,
        },
        "labels": [{"name": one.name, "set_by": one.set_by} for one in told.seen.labels],
        "features": sorted(told.seen.features),
        "degraded": orjson.loads(row.degraded) if row.degraded else None,
    }


def for_app(told: Told) -> dict[str, object]:
    """Return a decision as its app may see it: aliases only."""
    why = told.why
    reasons = [reason for candidate in why.candidates for reason in candidate.reasons]
    rules = {reason.rule: reason for reason in reasons if reason.refuses}
    untold = sorted({fact for candidate in why.candidates for fact, _ in candidate.not_established})
    return {
        **_head(told),
        "permitted": why.permitted,
        "rules": [
            {
                "id": name,
                "says": reason.says,
                "strength": reason.strength,
                "facts": sorted({one.fact for one in reasons if one.rule == name and told_to_apps(one)}),
            }
            for name, reason in rules.items()
        ],
        "tries": [_try(number, one) for number, one in enumerate(why.candidates, 1)],
        "allowed_by": list(why.allowed_by),
        "duties": duties(why.obligations),
        "use_instead": [alias for alias, _, _ in why.use_instead],
        "ask": _ask(told, list(rules)),
        "not_established": untold,
    }


def told_to_apps(reason: Reason) -> bool:
    """Whether the words of a failed fact name no upstream."""
    return reason.fact.startswith(_TOLD)


def _try(number: int, one: Candidate) -> dict[str, object]:
    refused = dict.fromkeys(reason.rule for reason in one.reasons if reason.refuses)
    return {"try": number, "permitted": one.permitted, "refused_by": list(refused)}


def _ask(told: Told, rules: list[str]) -> str:
    """Return who can help: whom a duty names, else the owner of a failing rule or of the policy."""
    if told.why.obligations.ask:
        return told.why.obligations.ask[0]
    owners = {rule.id: rule.owner for rule in told.snapshot.rules.rules if rule.owner}
    return next((owners[rule] for rule in rules if rule in owners), told.snapshot.policy_owner)


def whole(told: Told) -> dict[str, object]:
    """Return a decision with every deployment, fact and line, for who may see all."""
    return {**_head(told), "deployment": told.row.deployment, "explanation": told.why}


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)
