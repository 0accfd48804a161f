"""A whole worker in this process: the bank's bundle in a folder, its settings, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from gateway.api.health import Lifecycle
from gateway.app import Gateway, start
from gateway.settings import Settings
from tests.acceptance import bank
from tests.spine import Vendorless


def settings(folder: Path, **changes: str) -> Settings:
    """Settings over the bank's bundle in a folder."""
    files = bank.bundle({"ca": Vendorless("openai", 1001), "us": Vendorless("openai", 1003)})
    bank.write(folder / "policies", files)
    environ = {
        "BORDERPOST_DATA_DIR": str(folder / "data"),
        "BORDERPOST_POLICIES": str(folder / "policies"),
        "BORDERPOST_PLACE": "CA-QC",
        **{f"BORDERPOST_{name.upper()}": value for name, value in changes.items()},
    }
    return Settings.load(None, environ)


@asynccontextmanager
async def running(folder: Path, lifecycle: Lifecycle | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Start a worker over the bank's bundle; yield a client of it; stop it."""
    gateway = Gateway(settings(folder), lifecycle or Lifecycle())
    gateway._parts = parts = await start(gateway._settings, gateway._lifecycle)
    gateway._hot, gateway._slow = parts.hot, parts.slow
    transport = httpx.ASGITransport(app=gateway)  # type: ignore[arg-type]  # ASGI
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", trust_env=False) as made:
            yield made
    finally:
        await parts.stop()
