"""Erasure over HTTP: ``POST /v1/admin/content/erase`` destroys the keys of one subject's content.

A subject is named as the app names it (its conversation id, its user as the rater of a
reply); what is kept, and what the journal says, is the pseudonym.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from gateway.api.auth import AdminTokens
from gateway.api.desk import bad, refusing, require
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.feedback import pseudonym
from gateway.core.snapshot import Snapshot
from gateway.core.vault import conversation_name
from gateway.ports import ContentStore, ContentUnavailable, JournalUnavailable, Subject

Named = Annotated[str, StringConstraints(min_length=1, max_length=256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDeps:
    """What the route needs. The keys make pseudonyms, as where the content was kept."""

    tokens: AdminTokens
    content: ContentStore
    snapshot: Callable[[], Snapshot]
    issue_id: Callable[[], str]
    vault_key: bytes = field(repr=False)
    rater_key: bytes = field(repr=False)


class Erasure(BaseModel):
    """Whose content is to be erased: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    app: Named
    conversation: Named | None = None  # as sent in x-borderpost-conversation
    rater: Named | None = None  # as sent with feedback
    call: Named | None = None  # comments on it that name no rater


def router(deps: ContentDeps) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["admin"], route_class=refusing(deps.issue_id))

    @routes.post("/v1/admin/content/erase", summary="Destroy the keys of a subject's content.")
    async def erase(wanted: Erasure, request: Request) -> Response:
        actor = require(deps.tokens)(request)
        subject = subject_of(wanted, deps)
        try:
            pieces = await deps.content.erase(subject, by=actor.name)
        except ContentUnavailable:
            raise GatewayError(_away(Code.STORE_UNAVAILABLE, "Nothing was erased. Retry.")) from None
        except JournalUnavailable:
            why = "It is erased; the journal does not say so yet. Retry."
            raise GatewayError(_away(Code.JOURNAL_UNAVAILABLE, why)) from None
        return JSONResponse({"object": "content.erasure", "subject": subject.name, "erased": pieces})

    return routes


def subject_of(wanted: Erasure, deps: ContentDeps) -> Subject:
    """Return the subject that is meant. Raises GatewayError unless exactly one is named."""
    names: list[str] = []
    if wanted.conversation is not None:
        names.append(conversation_name(deps.vault_key, app=wanted.app, conversation=wanted.conversation))
    if wanted.rater is not None:
        names.append("rater:" + pseudonym(deps.rater_key, f"{wanted.app}\0{wanted.rater}"))
    if wanted.call is not None:
        names.append(f"call:{wanted.call}")
    if len(names) != 1:
        raise bad("conversation", "Send exactly one of `conversation`, `rater` and `call`.")
    return Subject(tenant=deps.snapshot().tenant, name=names[0])


def _away(code: Code, message: str) -> Refusal:
    return Refusal(code=code, message=message, retry_after=2, retry=True)
