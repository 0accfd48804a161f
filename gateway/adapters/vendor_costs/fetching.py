"""Fetching a vendor's bill from its API, with an admin key, from the origin that ``vendors.yaml`` declares.

Everything leaves through the guarded transport, by a permit for that origin and no other: no redirect
is followed, no proxy variable read. What came is written to a file and imported like any other.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from gateway.adapters.guard import EgressRefused, Permit, permit_declared
from gateway.adapters.transport import Failure, Incoming, Outgoing, Transport, TransportFailed
from gateway.core.bill import Billing

MOST_PAGES: Final = 1_000
MOST_TRIES: Final = 5
LONGEST_WAIT_S: Final = 60
MOST_BYTES: Final = 32 * 1024 * 1024
_FIRST_BYTE_MS = 60_000

Sleep = Callable[[float], Awaitable[None]]
Pairs = Sequence[tuple[str, str]]


class FetchFailed(Exception):
    """A bill could not be fetched. The text says why and what to do; nothing was imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One report of a vendor's API: its path and what to ask for, but the page."""

    source: str  # the reader of what comes
    path: str
    pairs: Pairs
    headers: tuple[tuple[str, str], ...]


def queries(billing: Billing, key: str, *, start_us: int, end_us: int) -> list[Query]:
    """Return the reports that make up a bill of whole UTC days: what is charged and what is counted."""
    headers: tuple[tuple[str, str], ...]
    if billing.api == "openai":
        span = (("start_time", str(start_us // 1_000_000)), ("end_time", str(end_us // 1_000_000)))
        common = (*span, ("bucket_width", "1d"), ("limit", "31"))
        headers = (("authorization", f"Bearer {key}"),)
        return [
            Query(
                source="openai-costs",
                path="/v1/organization/costs",
                pairs=(*common, ("group_by", "line_item"), ("group_by", "project_id")),
                headers=headers,
            ),
            Query(
                source="openai-usage",
                path="/v1/organization/usage/completions",
                pairs=(*common, ("group_by", "model"), ("group_by", "project_id")),
                headers=headers,
            ),
        ]
    if billing.api == "anthropic":
        span = (("starting_at", _rfc3339(start_us)), ("ending_at", _rfc3339(end_us)))
        common = (*span, ("bucket_width", "1d"), ("limit", "31"))
        headers = (("x-api-key", key), ("anthropic-version", "2023-06-01"))
        return [
            Query(
                source="anthropic-costs",
                path="/v1/organizations/cost_report",
                pairs=(*common, ("group_by[]", "description"), ("group_by[]", "workspace_id")),
                headers=headers,
            ),
            Query(
                source="anthropic-usage",
                path="/v1/organizations/usage_report/messages",
                pairs=(*common, ("group_by[]", "model"), ("group_by[]", "workspace_id")),
                headers=headers,
            ),
        ]
    raise FetchFailed(
        f"vendors.yaml says nothing about fetching the bill of `{billing.vendor}`; write billing: "
        "{api: openai, url: …, secret: …} there, or import a file"
    )


async def fetch(transport: Transport, billing: Billing, query: Query, *, sleep: Sleep) -> bytes:
    """Return every page of a report, one JSON document a line. Raises FetchFailed.

    Too many requests and a vendor that is away are waited out, a bounded number of times.
    """
    try:
        permit = permit_declared(billing.url, purpose="billing")
    except ValueError as wrong:
        raise FetchFailed(f"the url of the bill of `{billing.vendor}` is none: {wrong}") from None
    pages: list[bytes] = []
    page = ""
    seen: set[str] = set()
    while len(pages) < MOST_PAGES:
        body = await _page(transport, permit, billing, query, page=page, sleep=sleep)
        found = _parsed(billing, query, body)
        # Kept as the vendor wrote it, on one line: numbers are read from the text, exactly.
        pages.append(b" ".join(body.split(b"\n")).replace(b"\r", b" ").strip())
        if not found.get("has_more"):
            return b"\n".join(pages) + b"\n"
        page = str(found.get("next_page") or "")
        if not page or page in seen:
            raise FetchFailed(f"{query.path} says that there are more pages and names none; try again later")
        seen.add(page)
    raise FetchFailed(f"{query.path} has more than {MOST_PAGES:,} pages; fetch fewer days")


def _rfc3339(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _parsed(billing: Billing, query: Query, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise FetchFailed(
            f"`{billing.vendor}` answered {query.path} with something that is no page of a report"
        )
    return found


async def _page(
    transport: Transport, permit: Permit, billing: Billing, query: Query, *, page: str, sleep: Sleep
) -> bytes:
    """Return the body of one page, after as many tries as are allowed."""
    pairs = [*query.pairs, *([("page", page)] if page else [])]
    url = f"{billing.url}{query.path}?{urlencode(pairs, quote_via=quote, safe='')}"
    outgoing = Outgoing(
        method="GET",
        url=url,
        headers={"accept": "application/json", **dict(query.headers)},
        body=b"",
        first_byte_timeout_ms=_FIRST_BYTE_MS,
        max_bytes=MOST_BYTES,
    )
    wait = 1.0
    said = ""
    for _ in range(MOST_TRIES):
        try:
            async with transport.request(outgoing, permit) as reply:
                if reply.status == 200:
                    return await reply.read()
                said, wait = _refused(billing, query, reply, wait)
        except EgressRefused as refused:
            raise FetchFailed(f"the egress guard stopped it: {refused.reason}; nothing was sent") from None
        except TransportFailed as failed:
            if failed.failure is Failure.TOO_LARGE:
                raise FetchFailed(f"a page of {query.path} is larger than 32 MiB; fetch fewer days") from None
            said = f"`{billing.vendor}` cannot be reached ({failed.failure.value})"
        await sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_S)
    raise FetchFailed(f"{said}; given up after {MOST_TRIES} tries, try again later")


def _refused(billing: Billing, query: Query, reply: Incoming, wait: float) -> tuple[str, float]:
    """Return what to say and how long to wait before the next try. Raises FetchFailed where none helps."""
    status = reply.status
    if status in {401, 403}:
        raise FetchFailed(
            f"`{billing.vendor}` refused the key {billing.secret} (status {status}); costs are read with an "
            "admin key of the organisation"
        )
    if 300 <= status < 400:
        raise FetchFailed(
            f"`{billing.vendor}` answered {query.path} with a redirect, which is never followed"
        )
    if status != 429 and status < 500:
        raise FetchFailed(f"`{billing.vendor}` answered {query.path} with status {status}")
    after = reply.headers.get("retry-after", "")
    if after.isascii() and after.isdigit():
        if int(after) > LONGEST_WAIT_S:
            raise FetchFailed(f"`{billing.vendor}` asks to wait {int(after):,} s; try again then")
        wait = float(after)
    return f"`{billing.vendor}` answered {query.path} with status {status}", wait
