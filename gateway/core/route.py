"""Routing: which permitted deployment is tried next, and when to give up.

The only source of candidates is the decision, so a strategy can reorder what is
permitted and never add to it. One retry policy for every surface: the permitted
deployments in the route's order; a lone deployment gets one more try after a
short pause, if its failure billed nothing and the vendor did not forbid it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.decide import Decision
from gateway.core.errors import Code, Refusal, UpstreamFailed
from gateway.core.snapshot import App, Route, Snapshot

RETRY_PAUSE_MS = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """The next try: its number from 1, its deployment and a pause before it."""

    number: int
    deployment: str
    pause_ms: int = 0


def find_route(app: App, model: str, snapshot: Snapshot) -> Route | Refusal:
    """Return the route that an app means by a model name, or a 404 that lists its own."""
    alias = snapshot.aliases.get(model)
    if alias is None or alias not in app.models:
        have = ", ".join(f"'{name}'" for name in app.models) or "none yet"
        return Refusal(
            code=Code.MODEL_NOT_FOUND,
            message=f"The model '{model[:80]}' does not exist for app '{app.id}'. It may use: {have}.",
            param="model",
            extension={"use_instead": list(app.models)},
            retry=False,
        )
    return snapshot.routes[alias]


def next_try(
    decision: Decision,
    route: Route,
    failures: tuple[tuple[str, UpstreamFailed], ...],
    resting: Mapping[str, int],
    *,
    now: int,
    closed: frozenset[str] = frozenset(),
) -> Try | None:
    """Return the next try, or None when the call must be answered with what is known.

    ``failures`` are the tries so far; ``resting`` maps a deployment to the instant
    until which its vendor asked to be left alone. A resting deployment goes last. ``closed``
    ones are not tried: they are suspended for the budgets of this call.
    """
    number = len(failures) + 1
    if number > route.tries_at_most:
        return None
    if failures and not failures[-1][1].retryable:
        return None
    tried = {deployment for deployment, _ in failures}
    fresh = [d for d in decision.permitted if d not in tried and d not in closed]
    if fresh:
        awake = [d for d in fresh if resting.get(d, 0) <= now]
        return Try(number=number, deployment=(awake or fresh)[0])
    if len(decision.permitted) == 1 and number == 2:
        deployment, failure = failures[-1]
        refusal = failure.refusal
        # What it cannot say, or will not take from us, it will not a moment later either.
        hopeless = refusal.retry is False or refusal.code is Code.UNSUPPORTED_FEATURE
        if not failure.sent and not hopeless and refusal.retry_after is None:
            return Try(number=number, deployment=deployment, pause_ms=RETRY_PAUSE_MS)
    return None


def give_up(failures: tuple[tuple[str, UpstreamFailed], ...]) -> Refusal:
    """Return the answer when no try is left.

    The only vendor's error keeps its identity; several vendors' failures become one
    503 that names no upstream.
    """
    last = failures[-1][1].refusal
    if last.code is Code.UPSTREAM_REJECTED and (len(failures) == 1 or not failures[-1][1].retryable):
        return last
    if len({deployment for deployment, _ in failures}) == 1:
        return last
    waits = [f.refusal.retry_after for _, f in failures if f.refusal.retry_after is not None]
    return Refusal(
        code=Code.PERMITTED_MODELS_UNAVAILABLE,
        message=f"All {len(failures)} permitted deployments of this model failed just now. "
        "Nothing was sent elsewhere. Retry shortly.",
        retry_after=min(waits, default=5),
    )


def suspended(owner: str) -> Refusal:
    """Return the refusal of a call under a hard budget whose deployments all billed beyond their bound."""
    who = owner or "the platform team"
    return Refusal(
        code=Code.PERMITTED_MODELS_UNAVAILABLE,
        message="Every permitted deployment of this model billed more than its bound, and is suspended for "
        f"apps with a hard budget until a person clears it. Nothing was sent. Ask {who}.",
        extension={"suspended": True},
        retry=False,
    )


def no_app(app: str) -> Refusal:
    """Return the refusal of a key whose app the policy no longer has."""
    return Refusal(
        code=Code.PERMISSION_DENIED,
        message=f"The app '{app}' of this key is not registered (teams.yaml). Ask the platform team.",
        retry=False,
    )
