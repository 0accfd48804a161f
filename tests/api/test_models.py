"""The model list: aliases only, in the SDK's shape, only those of the key."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.adapters.clock import SetClock
from gateway.api.models import router
from tests.api.test_hot import KEY, OneKey
from tests.spine import NOW, snapshot


def client(folder: Path) -> TestClient:
    """A client of the routes alone."""
    compiled = snapshot(folder)
    app = FastAPI()
    app.include_router(router(keys=OneKey(), snapshot=lambda: compiled, clock=SetClock(NOW)))
    return TestClient(app, headers={"authorization": f"Bearer {KEY}"})


def test_openais_shape_lists_aliases_and_what_they_are_also_called(tmp_path: Path) -> None:
    """The names that the app may send; no deployment, no upstream model."""
    data = client(tmp_path).get("/v1/models").json()["data"]
    names = [model["id"] for model in data]
    assert {"chat", "gpt-4.1-mini", "chat-pro"} <= set(names)
    assert not {"ca", "us", "fake-1"} & set(names)


def test_anthropics_shape_is_told_apart_by_its_header(tmp_path: Path) -> None:
    """Anthropic's SDK gets its own page shape."""
    page = client(tmp_path).get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    assert page["data"][0]["type"] == "model"
    assert page["first_id"] == page["data"][0]["id"]
    assert page["has_more"] is False


def test_one_model_and_an_unknown_one(tmp_path: Path) -> None:
    """A known name is shown; another is a 404 that lists the app's own."""
    asking = client(tmp_path)
    assert asking.get("/v1/models/gpt-4.1-mini").json()["id"] == "gpt-4.1-mini"
    missing = asking.get("/v1/models/gpt-99")
    assert missing.status_code == 404
    assert "chat" in missing.json()["error"]["message"]


def test_without_a_key(tmp_path: Path) -> None:
    """No key, no list."""
    got = client(tmp_path).get("/v1/models", headers={"authorization": ""})
    assert got.status_code == 401
