"""The slow surfaces: models, feedback, reports, admin and the OpenAPI document, over FastAPI.

The document lists the hot surfaces too. Swagger's page is off: it would load its script
from another host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from gateway import __version__
from gateway.adapters.store_sql import Store
from gateway.api import (
    admin,
    books,
    budgets,
    bundles,
    content,
    decisions,
    feedback,
    models,
    privacy,
    reconcile,
    reports,
    suspensions,
    withdrawals,
)
from gateway.api.auth import AdminTokens
from gateway.api.endpoints import Endpoint
from gateway.api.errors import INTERNAL, render
from gateway.core.errors import Code, Refusal
from gateway.core.ids import IdIssuer
from gateway.core.values import Surface
from gateway.policy.sign import Keyring
from gateway.policy.watch import PolicySource
from gateway.ports import Budgets, Clock, ContentStore, Detector, Journal, Keys
from gateway.reports.statements import Sign

Handler = Callable[
    [
        MutableMapping[str, object],
        Callable[[], Awaitable[MutableMapping[str, object]]],
        Callable[[MutableMapping[str, object]], Awaitable[None]],
    ],
    Awaitable[None],
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDeps:
    """What the slow surfaces need."""

    keys: Keys
    tokens: AdminTokens
    ids: IdIssuer
    rater_key: bytes = field(repr=False)
    vault_key: bytes = field(repr=False)
    content: ContentStore
    detector: Detector
    journal: Journal
    store: Store
    source: PolicySource
    judges: Callable[[], Keyring | None]
    policy_source: Literal["folder", "store"]
    budgets: Budgets
    clock: Clock
    issue_id: Callable[[], str]
    endpoints: Sequence[Endpoint]
    journals: Path  # the folder of this machine's journals
    sign: Callable[[], Sign | None]  # signs statements of closed months


def slow_surfaces(deps: SlowDeps) -> Handler:
    """Return the FastAPI app."""
    app = FastAPI(title="Borderpost", version=__version__, docs_url=None, redoc_url=None)

    async def reload() -> admin.Reloaded:
        before = deps.source.snapshot.hash
        await asyncio.to_thread(deps.source.poll, now=deps.clock.now())
        after = deps.source.snapshot.hash
        problems = tuple(str(problem) for problem in deps.source.problems)
        return admin.Reloaded(hash=after, changed=after != before, problems=problems)

    app.include_router(models.router(keys=deps.keys, snapshot=lambda: deps.source.snapshot, clock=deps.clock))
    app.include_router(
        feedback.router(
            feedback.FeedbackDeps(
                keys=deps.keys,
                tokens=deps.tokens,
                ids=deps.ids,
                rater_key=deps.rater_key,
                journal=deps.journal,
                store=deps.store,
                content=deps.content,
                snapshot=lambda: deps.source.snapshot,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        reconcile.router(
            reconcile.ReconcileDeps(
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                journal=deps.journal,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        reports.router(
            reports.ReportDeps(
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        withdrawals.router(
            withdrawals.WithdrawalDeps(
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                journal=deps.journal,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        suspensions.router(
            suspensions.SuspensionDeps(
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                journal=deps.journal,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        budgets.router(
            budgets.BudgetDeps(
                tokens=deps.tokens,
                keys=deps.keys,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                budgets=deps.budgets,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        admin.router(
            admin.AdminDeps(
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                reload=reload,
                journal=deps.journal,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )

    app.include_router(
        books.router(
            books.BookDeps(
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                keyring=deps.judges,
                sign=deps.sign,
                journals=deps.journals,
                journal=deps.journal,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        bundles.router(
            bundles.BundleDeps(
                tokens=deps.tokens,
                store=deps.store,
                keyring=deps.judges,
                accept=deps.source.accept,
                source=deps.policy_source,
                journal=deps.journal,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )
    app.include_router(
        decisions.router(
            decisions.DecisionDeps(
                keys=deps.keys,
                tokens=deps.tokens,
                store=deps.store,
                snapshot=lambda: deps.source.snapshot,
                clock=deps.clock,
                issue_id=deps.issue_id,
            )
        )
    )

    app.include_router(
        privacy.router(
            privacy.PrivacyDeps(
                keys=deps.keys, detector=deps.detector, clock=deps.clock, issue_id=deps.issue_id
            )
        )
    )

    served = frozenset({"/v1/models", "/v1/feedback", *(endpoint.path for endpoint in deps.endpoints)})

    app.include_router(
        content.router(
            content.ContentDeps(
                tokens=deps.tokens,
                content=deps.content,
                snapshot=lambda: deps.source.snapshot,
                issue_id=deps.issue_id,
                vault_key=deps.vault_key,
                rater_key=deps.rater_key,
            )
        )
    )

    async def refused(request: Request, stop: Exception) -> Response:
        hint = misdirected(request.url.path, served)
        return answer(request, as_refusal(stop, hint), deps.issue_id())

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, refused)
    plain = app.openapi

    def documented() -> dict[str, object]:
        document = plain()
        for endpoint in deps.endpoints:
            document["paths"].setdefault(endpoint.path, {})["post"] = described(endpoint)
        return document

    app.openapi = documented  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def described(endpoint: Endpoint) -> dict[str, object]:
    """Return the OpenAPI operation of a hot surface. Bodies are the vendor's own; unknown fields pass."""
    return {
        "summary": endpoint.summary,
        "tags": ["surfaces"],
        "operationId": endpoint.surface.value,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object", "required": ["model"]}}},
        },
        "responses": {
            "200": {"description": "The answer in the surface's own shape."},
            "4XX": {"description": "A refusal or a mistake; see docs/reference/errors.md."},
            "5XX": {"description": "A failure of the vendor or the gateway."},
        },
    }


def misdirected(path: str, served: Collection[str]) -> str:
    """Return how to mend a base URL that led to a path beside a served one; empty if it did not."""
    bare = "/" + "/".join(part for part in path.split("/") if part)
    if f"/v1{bare}" in served:
        return f" Did you mean /v1{bare}? OpenAI's SDK takes a base URL that ends in /v1."
    if bare.startswith("/v1/v1/") and bare[3:] in served:
        return f" Did you mean {bare[3:]}? Anthropic's SDK takes a base URL without /v1."
    if bare != path and bare in served:
        return f" Did you mean {bare}?"
    if "/deployments/" in bare:
        return " Azure's client: use the plain OpenAI client instead, with a base URL that ends in /v1."
    return ""


def as_refusal(stop: Exception, hint: str = "") -> Refusal:
    """Return what a caller may know of a failure here. ``hint`` is :func:`misdirected`'s."""
    if not isinstance(stop, HTTPException):
        return INTERNAL
    if stop.status_code == 405:
        return Refusal(code=Code.METHOD_NOT_ALLOWED, message="This path answers another method.")
    if stop.status_code == 404:
        return Refusal(
            code=Code.ROUTE_NOT_FOUND,
            message="The gateway does not serve this path. A path that no policy walker covers does "
            f"not exist here; GET /openapi.json lists what does.{hint}",
            retry=False,
        )
    return Refusal(code=Code.INVALID_REQUEST, message="The request is not valid.", status=stop.status_code)


def answer(request: Request, refusal: Refusal, request_id: str) -> Response:
    """Return an error in the shape of the surface that the path looks like."""
    anthropic = request.url.path.startswith("/v1/messages") or "anthropic-version" in request.headers
    status, headers, body = render(refusal, Surface.MESSAGES if anthropic else None, request_id)
    text = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return Response(content=body, status_code=status, headers=text)
