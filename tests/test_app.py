"""The composition root: what is served, what is not, and what refuses start-up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.api.health import Lifecycle
from gateway.app import ENDPOINTS, Gateway, start
from gateway.core.values import Surface
from tests.worker import running, settings


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole worker, in this process."""
    async with running(tmp_path) as made:
        yield made


async def test_every_surface_has_an_endpoint_and_every_endpoint_a_surface(client: httpx.AsyncClient) -> None:
    """Promise 10: the served POST paths are exactly those that a surface's walker covers."""
    assert {endpoint.surface for endpoint in ENDPOINTS} == set(Surface)
    for endpoint in ENDPOINTS:
        got = await client.post(endpoint.path, json={"model": "chat"})
        assert got.status_code == 401, endpoint.path


@pytest.mark.parametrize(
    "path",
    ["/v1/files", "/v1/batches", "/v1/audio/transcriptions", "/v1/images/generations", "/v1/completions",
     "/v1/assistants", "/v1/messages/batches", "/openai/deployments/x/chat/completions", "/docs",
     "/v1/chat/completions/", "/v1//chat/completions", "/v1/responses/resp_1", "/"],
)  # fmt: skip
async def test_what_nobody_covers_does_not_exist(client: httpx.AsyncClient, path: str) -> None:
    """A 404 with the reason, in the shape of the surface that the path looks like."""
    got = await client.post(path, json={}, headers={"authorization": "Bearer x"})
    assert got.status_code == 404
    body = got.json()
    assert "does not serve" in body["error"]["message"]
    assert (body.get("type") == "error") == path.startswith("/v1/messages")


async def test_the_document_lists_hot_and_slow_surfaces(client: httpx.AsyncClient) -> None:
    """/openapi.json is whole, and needs nothing from another host."""
    got = await client.get("/openapi.json")
    paths = set(got.json()["paths"])
    assert {endpoint.path for endpoint in ENDPOINTS} <= paths
    assert {"/v1/models", "/v1/feedback", "/v1/reports/{kind}", "/v1/admin/keys"} <= paths
    assert "https://cdn" not in got.text


async def test_status_names_each_control_and_its_mode(client: httpx.AsyncClient) -> None:
    """/status says for each control what it does now and what it does when it fails."""
    status = (await client.get("/status")).json()
    controls = {control["name"]: control for control in status["controls"]}
    assert {"policy", "keys", "budgets", "journal", "detectors"} <= set(controls)
    assert all(control["on_failure"] for control in controls.values())
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    assert b"borderpost_calls" in (await client.get("/metrics")).content


async def test_a_control_that_is_asked_for_and_not_wired_refuses_start_up(tmp_path: Path) -> None:
    """Rules that need a detector, and detectors off: no start, and the text says the fix."""
    gateway = Gateway(settings(tmp_path, detectors_mode="off"), Lifecycle())
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await gateway({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]  # ASGI messages
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "detectors.mode" in sent[0]["message"]


async def test_a_broken_bundle_refuses_start_up_and_says_where(tmp_path: Path) -> None:
    """File, line and column of the mistake, and the nearest right word."""
    chosen = settings(tmp_path)
    policy = tmp_path / "policies" / "policy.yaml"
    content = orjson.loads(policy.read_bytes())
    content["rules"][0]["must"]["processed_in"] = "Canda"
    policy.write_bytes(orjson.dumps(content))
    with pytest.raises(Exception, match="Canada"):
        await start(chosen, Lifecycle())
