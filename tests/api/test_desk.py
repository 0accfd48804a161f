"""Whatever goes wrong on the slow surfaces is answered in one shape, without what was sent."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, Request

from gateway.adapters.store_sql import StoreUnavailable
from gateway.api.desk import MOST_BODY, bad, refusing, require, small_body
from gateway.core.errors import Code, GatewayError, Refusal
from tests.api.desk_under_test import ADMIN, OURS, as_role, client_of, issue_id


def router():
    routes = APIRouter(route_class=refusing(issue_id))

    @routes.get("/fine")
    async def fine():
        return {"fine": True}

    @routes.get("/refused")
    async def refused():
        raise GatewayError(Refusal(code=Code.BUDGET_EXCEEDED, message="Spent.", retry_after=5, retry=False))

    @routes.get("/away")
    async def away():
        raise StoreUnavailable("postgresql://user:password@db.internal is away")

    @routes.get("/number/{number}")
    async def number(number: int):
        return number

    @routes.get("/bad")
    async def wrong():
        raise bad("month", "No.")

    @routes.post("/body")
    async def body(request: Request):
        return len(await small_body(request))

    @routes.get("/closed")
    async def closed(request: Request):
        return require(ADMIN)(request).name

    return routes


@pytest.fixture
async def client():
    async with client_of(router()) as opened:
        yield opened


async def test_answers_carry_an_id_and_are_not_cached(client):
    """Money and keys are kept by no cache on the way."""
    answer = await client.get("/fine")
    assert answer.status_code == 200
    assert OURS.recognise(answer.headers["x-request-id"])
    assert answer.headers["cache-control"] == "no-store"


async def test_a_refusal_has_the_shape_of_the_hot_surfaces(client):
    """Status, code, retry advice."""
    answer = await client.get("/refused")
    assert answer.status_code == 402
    assert answer.json()["error"]["code"] == "budget_exceeded"
    assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("5", "false")
    assert OURS.recognise(answer.headers["x-request-id"])


async def test_a_database_that_is_away_is_a_503_that_names_nothing(client):
    """The driver's text holds hosts and passwords."""
    answer = await client.get("/away")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert "internal" not in answer.text
    assert "password" not in answer.text


async def test_a_wrong_parameter_is_named_and_not_repeated(client):
    """What was sent may be a secret in the wrong field."""
    answer = await client.get("/number/my-secret")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "number"
    assert "my-secret" not in answer.text
    assert (await client.get("/bad")).json()["error"]["param"] == "month"


async def test_a_body_is_bounded(client):
    """Also when no length is declared."""

    async def endless():
        for _ in range(MOST_BODY // 1024 + 1):
            yield b"x" * 1024

    assert (await client.post("/body", content=b"x" * MOST_BODY)).json() == MOST_BODY
    answer = await client.post("/body", content=endless())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


async def test_roles_guard(client):
    """401 without a token, 403 with another role's."""
    assert (await client.get("/closed")).status_code == 401
    assert (await client.get("/closed", headers=as_role("finance"))).status_code == 403
    assert (await client.get("/closed", headers=as_role("admin"))).json() == "a-admin"
