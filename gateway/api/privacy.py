"""``POST /v1/privacy/scan``: what detection finds in a text, for people who tune policies.

The caller's own key opens it; the text goes to the detectors of this process and nowhere else,
is not kept, and is not in the answer: positions and kinds are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gateway.api.auth import authenticate
from gateway.api.desk import bad, raw_headers, refusing, small_body
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.overlap import clustered
from gateway.core.values import Span
from gateway.detection import UNAVAILABLE
from gateway.ports import Clock, Detector, DetectorUnavailable, Keys, Text

MOST_TEXTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyDeps:
    """What the scan needs."""

    keys: Keys
    detector: Detector
    clock: Clock
    issue_id: Callable[[], str]


def router(deps: PrivacyDeps) -> APIRouter:
    """Return the privacy routes."""
    routes = APIRouter(tags=["privacy"], route_class=refusing(deps.issue_id))

    @routes.post("/v1/privacy/scan", summary="Find personal data in texts.")
    async def scan(request: Request) -> Response:
        caller = authenticate(raw_headers(request), deps.keys, deps.clock.now())
        if isinstance(caller, Refusal):
            raise GatewayError(caller)
        try:
            body = orjson.loads(await small_body(request))
        except orjson.JSONDecodeError:
            raise GatewayError(
                Refusal(code=Code.INVALID_JSON, message="The body is not valid JSON.", retry=False)
            ) from None
        named = _texts(body)
        try:
            found = await deps.detector.detect([text for _, text in named], deps.detector.kinds)
        except DetectorUnavailable:
            raise GatewayError(UNAVAILABLE) from None
        results = [{"id": name, "spans": shown(spans)} for (name, _), spans in zip(named, found, strict=True)]
        return JSONResponse({"detector": deps.detector.name, "results": results})

    return routes


def shown(spans: list[Span]) -> list[dict[str, object]]:
    """Return spans as JSON: half-open code points, the kind, and how sure in percent."""
    return [
        {"start": span.start, "end": span.end, "label": span.kind, "score": span.score}
        for span in clustered(spans)
    ]


def _texts(body: object) -> list[tuple[str, Text]]:
    """Read ``{"text": …}`` or ``{"texts": [{"id": …, "text": …, "key": …}]}``. Raises GatewayError."""
    if not isinstance(body, dict):
        raise bad("body", "The body must be an object with `text` or `texts`.")
    given = [body] if "text" in body else body.get("texts")
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_TEXTS:
        raise bad("texts", f"Send `text`, or `texts` with 1 to {MOST_TEXTS} objects.")
    named: list[tuple[str, Text]] = []
    for number, one in enumerate(given):
        text = one.get("text") if isinstance(one, dict) else None
        key = one.get("key") if isinstance(one, dict) else None
        if not isinstance(text, str) or not (key is None or isinstance(key, str)):
            raise bad(
                "texts", "Each text must be an object with a string `text` and, if wanted, `id` and `key`."
            )
        named.append((str(one.get("id", number)), Text(text=text, context=key)))
    return named
