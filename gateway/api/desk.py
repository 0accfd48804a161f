"""How the slow surfaces answer: admin, reports, feedback. FastAPI, one shape of error.

A refusal raised anywhere below becomes the same body, code and headers that the hot
surfaces give. What FastAPI would say about a wrong body is replaced: its text repeats the input.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from typing_extensions import override

from gateway.adapters.store_sql import StoreUnavailable
from gateway.api.auth import Actor, AdminTokens, Role
from gateway.api.errors import render
from gateway.core.errors import Code, GatewayError, Refusal

MOST_BODY = 64 * 1024
"""Bytes of a request body on these surfaces at most."""

STORE_AWAY = Refusal(
    code=Code.STORE_UNAVAILABLE,
    message="The gateway's database is away. Nothing was changed. Retry.",
    retry_after=2,
    retry=True,
)


def refusing(issue_id: Callable[[], str]) -> type[APIRoute]:
    """Return the class of routes that answers refusals in the gateway's shape.

    ``issue_id`` gives each answer its ``x-request-id``.
    """

    class Refusing(APIRoute):
        # Any: FastAPI's own signature of a handler.
        @override
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                request_id = issue_id()
                try:
                    response = await handle(request)
                except GatewayError as stop:
                    return _refuse(stop.refusal, request_id)
                except RequestValidationError as wrong:
                    return _refuse(_invalid(wrong), request_id)
                except StoreUnavailable:
                    return _refuse(STORE_AWAY, request_id)
                response.headers["x-request-id"] = request_id
                # What these surfaces say is about money and keys: no cache on the way keeps it.
                response.headers["cache-control"] = "no-store"
                return response

            return answer

    return Refusing


def raw_headers(request: Request) -> dict[bytes, bytes]:
    """Return the request's headers by lower-case name; of a repeated one, the first counts."""
    found: dict[bytes, bytes] = {}
    for name, value in request.headers.raw:
        found.setdefault(name, value)
    return found


def require(tokens: AdminTokens, *allowed: Role) -> Callable[[Request], Actor]:
    """Return the dependency that lets in these roles (ADMIN always) and returns who asks."""

    def check(request: Request) -> Actor:
        actor = tokens.authorise(raw_headers(request), *allowed)
        if isinstance(actor, Refusal):
            raise GatewayError(actor)
        return actor

    return check


async def small_body(request: Request, most: int = MOST_BODY) -> bytes:
    """Return the body of a request. Raises GatewayError with BODY_TOO_LARGE past ``most`` bytes."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise GatewayError(
                Refusal(
                    code=Code.BODY_TOO_LARGE,
                    message=f"The body is larger than {most // 1024} KiB.",
                    retry=False,
                )
            )
        parts.append(part)
    return b"".join(parts)


def bad(param: str | None, message: str) -> GatewayError:
    """Return the error of a request that is wrong at ``param``."""
    return GatewayError(Refusal(code=Code.INVALID_REQUEST, message=message, param=param, retry=False))


def _invalid(wrong: RequestValidationError) -> Refusal:
    first: Mapping[str, object] = wrong.errors()[0]
    where = first.get("loc")
    path = [str(part) for part in where[1:]] if isinstance(where, tuple) else []
    # Not the library's sentence with the input in it: what was sent may be a secret in the wrong field.
    return Refusal(
        code=Code.INVALID_REQUEST,
        message=f"`{'.'.join(path) or 'body'}` is not valid ({first.get('type', 'wrong')}).",
        param=".".join(path)[:128] or None,
        retry=False,
    )


def _refuse(refusal: Refusal, request_id: str) -> Response:
    status, headers, body = render(refusal, None, request_id)
    text = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    return Response(content=body, status_code=status, headers=text)
