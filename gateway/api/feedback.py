"""Feedback over HTTP: ``POST /v1/feedback`` for apps, ``GET /v1/feedback/summary`` for people.

A rating names a reply by an id that the gateway issued (recognised by its tag, so it is
taken before the call's record is in the database) or by the reply's own id where that is
unambiguous. Unknown and foreign ids get the same answer, so that nobody can probe for calls.

A comment is masked before anything is kept, and is kept sealed under a key of its rater's
own in the content store, which can destroy that key. It never enters the journal, which is
content-free and cannot be erased from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from gateway.adapters.keys import Database
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql import feedback as rows
from gateway.api.auth import AdminTokens, Role, authenticate
from gateway.api.desk import bad, raw_headers, refusing, require, small_body
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.feedback import Rating, parse, pseudonym, too_late
from gateway.core.ids import IdIssuer, choice_id
from gateway.core.patterns import KINDS, scan
from gateway.core.record import Entry
from gateway.core.snapshot import Snapshot
from gateway.core.values import Caller
from gateway.ports import (
    Clock,
    ContentStore,
    ContentUnavailable,
    Journal,
    JournalUnavailable,
    Keys,
    Subject,
)
from gateway.reports.feedback import as_json, query
from gateway.reports.period import month_of

log = logging.getLogger("gateway.feedback")

NOT_FOUND = Refusal(
    code=Code.TARGET_NOT_FOUND,
    message="No reply of yours has this id. Send the x-request-id header of the reply, "
    "or the reply's own id.",
    param="target",
    retry=False,
)
COMMENT_KIND = "feedback.comment"
COMMENT_KEPT_NS = 400 * 86_400 * 10**9
"""A comment is kept for 400 days: a year's report and the time to write it."""

_ANYONE = "-"  # the rater of ratings that name none: they supersede one another


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackDeps:
    """What the feedback routes need. ``rater_key`` is :func:`gateway.core.ids.rater_key`'s."""

    keys: Keys
    tokens: AdminTokens
    ids: IdIssuer
    rater_key: bytes = field(repr=False)
    journal: Journal
    store: Database
    content: ContentStore
    snapshot: Callable[[], Snapshot]
    clock: Clock
    issue_id: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aim:
    """The reply that a rating is about."""

    call: str
    choice: int | None
    place: str | None

    @property
    def target(self) -> str:
        return self.call if self.choice is None else choice_id(self.call, self.choice)


def router(deps: FeedbackDeps) -> APIRouter:
    """Return the feedback routes."""
    routes = APIRouter(tags=["feedback"], route_class=refusing(deps.issue_id))

    @routes.post("/v1/feedback", status_code=201, summary="Rate a reply.")
    async def post_feedback(request: Request) -> Response:
        caller = authenticate(raw_headers(request), deps.keys, deps.clock.now())
        if isinstance(caller, Refusal):
            raise GatewayError(caller)
        try:
            body = orjson.loads(await small_body(request))
        except orjson.JSONDecodeError:
            raise GatewayError(
                Refusal(code=Code.INVALID_JSON, message="The body is not valid JSON.", retry=False)
            ) from None
        rating = parse(body, now=deps.clock.now())
        if isinstance(rating, Refusal):
            raise GatewayError(rating)
        status, answer = await _take(deps, caller, rating)
        return JSONResponse(answer, status_code=status)

    reader = require(deps.tokens, Role.FINANCE, Role.AUDITOR)

    @routes.get(
        "/v1/feedback/summary",
        summary="Thumbs per alias and deployment, with intervals.",
        dependencies=[Depends(reader)],
    )
    async def summary(month: str | None = None) -> Response:
        snapshot, now = deps.snapshot(), deps.clock.now()
        try:
            work = query(snapshot, month_name=month or month_of(now, snapshot.timezone))
        except ValueError as wrong:
            raise bad("month", f"{wrong}.") from None
        return Response(as_json(await deps.store.ask(work)), media_type="application/json")

    return routes


def masked(comment: str) -> str:
    """Return a comment with everything that a pattern finds replaced by its kind, like ``[EMAIL]``.

    Names of people are no pattern and stay: docs say so.
    """
    out: list[str] = []
    done = 0
    for span in sorted(scan(comment, KINDS), key=lambda found: (found.start, -found.end)):
        if span.start < done:
            done = max(done, span.end)
            continue
        out += [comment[done : span.start], f"[{span.kind.upper()}]"]
        done = span.end
    return "".join([*out, comment[done:]])


async def _take(deps: FeedbackDeps, caller: Caller, rating: Rating) -> tuple[int, dict[str, object]]:
    """Journal a rating and put it into the tables; return the status and the answer."""
    aim = await _aim(deps, caller, rating)
    feedback_id = rating.feedback_id or f"fb_{deps.issue_id().rpartition('_')[2]}"
    if rating.feedback_id is not None and await _repeats(deps, caller, rating, aim):
        return 200, _answer(feedback_id, aim, rating, comment="unchanged")
    now_us = deps.clock.now() // 1000
    data: dict[str, object] = {
        "feedback_id": feedback_id,
        "tenant": caller.tenant,
        "app": caller.app,
        "target": aim.target,
        "call_id": aim.call,
        "choice": aim.choice,
        "key": rating.key,
        "value": rating.value,
        "thumb": rating.thumb,
        "label": rating.label,
        "rater": _rater(deps, caller, rating),
        "rater_kind": rating.rater_kind,
        "place": aim.place,
        "occurred_us": rating.occurred // 1000,
        "received_us": now_us,
    }
    try:
        seq = await deps.journal.append("feedback", data)
    except JournalUnavailable:
        raise GatewayError(
            Refusal(
                code=Code.JOURNAL_UNAVAILABLE,
                message="Feedback cannot be kept now. Retry.",
                retry_after=2,
                retry=True,
            )
        ) from None
    entry = Entry(writer=deps.journal.writer, seq=seq, t=now_us, kind="feedback", data=data, prev="")
    kept = await _store(deps, entry, rating.comment)
    return 201, _answer(feedback_id, aim, rating, comment=kept)


async def _aim(deps: FeedbackDeps, caller: Caller, rating: Rating) -> _Aim:
    ours = deps.ids.recognise(rating.target)
    if ours is not None:
        if too_late(ours.issued_ms, now=deps.clock.now()):
            raise bad("target", "This reply is more than 35 days old. Ratings of it are no longer taken.")
        return _Aim(call=ours.request, choice=ours.choice, place=ours.place)
    if rating.target.startswith("req_"):
        # An id of ours in form that is not ours in fact: no vendor's id either.
        raise GatewayError(NOT_FOUND)
    call = await deps.store.ask(
        lambda connection: rows.call_of(connection, tenant=caller.tenant, vendor_id=rating.target)
    )
    known = None if call is None else deps.ids.recognise(call)
    if call is None:
        raise GatewayError(NOT_FOUND)
    return _Aim(call=call, choice=None, place=None if known is None else known.place)


async def _repeats(deps: FeedbackDeps, caller: Caller, rating: Rating, aim: _Aim) -> bool:
    """Tell whether this feedback id was taken before, for the same rating. Raises GatewayError otherwise."""
    feedback_id = rating.feedback_id or ""
    try:
        first = await deps.store.ask(
            lambda connection: rows.stored(connection, tenant=caller.tenant, feedback_id=feedback_id)
        )
    except StoreUnavailable:
        return False  # the projection drops a second rating with this id
    if first is None:
        return False
    if (first.target, first.key, first.value) != (aim.target, rating.key, rating.value):
        raise GatewayError(
            Refusal(
                code=Code.IDEMPOTENCY_CONFLICT,
                message="This `feedback_id` was used for another rating. To change a rating, send a new id.",
                param="feedback_id",
                retry=False,
            )
        )
    return True


async def _store(deps: FeedbackDeps, entry: Entry, comment: str | None) -> str:
    """Put the entry into the tables now, with its comment; say what became of the comment.

    The projector puts it there again without effect; when the database is away it is the
    projector that does, and the comment, which only the database may hold, is lost.
    """
    hidden = None if comment is None else masked(comment)
    try:
        await deps.store.run(lambda connection: rows.project_feedback(connection, entry))
        if hidden is not None:
            expires = deps.clock.now() + COMMENT_KEPT_NS
            name = comment_name(entry.writer, entry.seq)
            await deps.content.put(
                comment_subject(entry), COMMENT_KIND, {name: hidden.encode()}, expires=expires
            )
    except (StoreUnavailable, ContentUnavailable):
        log.warning("feedback waits for the database", extra={"writer": entry.writer})
        return "none" if hidden is None else "lost"
    return "none" if hidden is None else "masked" if hidden != comment else "kept"


def comment_subject(entry: Entry) -> Subject:
    """Return whose a comment is: its rater's, by pseudonym; where none is named, the call's."""
    rater, tenant = str(entry.data["rater"]), str(entry.data["tenant"])
    owner = f"call:{entry.data['call_id']}" if rater == _ANYONE else f"rater:{rater}"
    return Subject(tenant=tenant, name=owner)


def comment_name(writer: str, seq: int) -> str:
    """Return the name of a comment among its subject's: the journal entry of its rating."""
    return f"{writer}:{seq}"


def _rater(deps: FeedbackDeps, caller: Caller, rating: Rating) -> str:
    named = rating.rater or caller.user
    # The app is part of what is hashed: one person's pseudonyms in two apps cannot be linked.
    return _ANYONE if named is None else pseudonym(deps.rater_key, f"{caller.app}\0{named}")


def _answer(feedback_id: str, aim: _Aim, rating: Rating, *, comment: str) -> dict[str, object]:
    # A thumb is answered as people say it, not as it is counted.
    value = rating.value if rating.thumb is None else "up" if rating.thumb else "down"
    body: Mapping[str, object] = {
        "id": feedback_id,
        "object": "feedback",
        "target": aim.target,
        "key": rating.key,
        "value": value,
        "comment": comment,
    }
    return dict(body)
