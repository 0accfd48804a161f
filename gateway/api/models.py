"""The models that a key may use: ``GET /v1/models`` in OpenAI's and Anthropic's shape.

Only aliases are listed, never a deployment. Anthropic's SDK is told apart by its
``anthropic-version`` header.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from gateway.api.auth import authenticate
from gateway.api.errors import render
from gateway.core.errors import Refusal
from gateway.core.route import find_route, no_app
from gateway.core.snapshot import App, Snapshot
from gateway.core.values import Surface
from gateway.ports import Clock, Keys

_EPOCH = "1970-01-01T00:00:00Z"  # an alias has no birthday; both SDKs want one


def router(*, keys: Keys, snapshot: Callable[[], Snapshot], clock: Clock) -> APIRouter:
    """Return the routes of the model list."""
    routes = APIRouter(tags=["models"])

    def app_of(request: Request) -> App | Refusal:
        caller = authenticate(dict(request.headers.raw), keys, clock.now())
        if isinstance(caller, Refusal):
            return caller
        app = snapshot().apps.get(caller.app)
        if app is None:
            return no_app(caller.app)
        return app

    def refuse(refusal: Refusal, request: Request) -> Response:
        surface = Surface.MESSAGES if anthropic(request) else Surface.CHAT
        status, headers, body = render(refusal, surface, "")
        text = {k.decode(): v.decode() for k, v in headers if v}
        return Response(content=body, status_code=status, headers=text)

    @routes.get("/v1/models", summary="List the model names that your key may use.")
    async def list_models(request: Request) -> Response:
        app = app_of(request)
        if isinstance(app, Refusal):
            return refuse(app, request)
        names = callable_names(app, snapshot())
        if anthropic(request):
            data = [anthropic_model(name) for name in names]
            ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
            return JSONResponse({"data": data, "has_more": False, "first_id": None, "last_id": None, **ends})
        return JSONResponse({"object": "list", "data": [openai_model(name) for name in names]})

    @routes.get("/v1/models/{name:path}", summary="Show one model name.")
    async def show_model(name: str, request: Request) -> Response:
        app = app_of(request)
        if isinstance(app, Refusal):
            return refuse(app, request)
        route = find_route(app, name, snapshot())
        if isinstance(route, Refusal):
            return refuse(route, request)
        return JSONResponse(anthropic_model(name) if anthropic(request) else openai_model(name))

    return routes


def callable_names(app: App, snapshot: Snapshot) -> list[str]:
    """Return every name that the app may send as ``model``: its aliases and what they are also called."""
    names: list[str] = []
    for alias in app.models:
        route = snapshot.routes.get(alias)
        if route is not None:
            names += [alias, *route.also_called]
    return names


def anthropic(request: Request) -> bool:
    """Whether the caller speaks Anthropic's shape."""
    return "anthropic-version" in request.headers


def openai_model(name: str) -> dict[str, object]:
    """Return a model in OpenAI's shape."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "borderpost"}


def anthropic_model(name: str) -> dict[str, object]:
    """Return a model in Anthropic's shape."""
    return {"type": "model", "id": name, "display_name": name, "created_at": _EPOCH}
