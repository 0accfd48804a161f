"""The slow surfaces over ASGI, in process: what the tests of admin, feedback and reports share."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from itertools import count

import httpx
from fastapi import FastAPI

from gateway.adapters.clock import SetClock
from gateway.api.auth import AdminTokens
from gateway.core.ids import IdIssuer, rater_key, tenant_key
from gateway.settings import AdminToken
from tests.people import NOW

ROOT = bytes(range(32))
OURS = IdIssuer(tenant_key(ROOT, "maple"))
THEIRS = IdIssuer(tenant_key(ROOT, "birch"))
RATER_KEY = rater_key(ROOT, "maple")
CLOCK = SetClock(NOW)

TOKENS = {role: f"bpa_{role}_" + "t" * 40 for role in ("admin", "finance", "auditor")}
ADMIN = AdminTokens(
    AdminToken(role=role, sha256=hashlib.sha256(token.encode()).digest(), name=f"a-{role}")
    for role, token in TOKENS.items()
)


_chance = count(1)


def as_role(role):
    """The header of one who has this role."""
    return {"authorization": f"Bearer {TOKENS[role]}"}


def issue_id():
    """The id of an answer of these surfaces."""
    return OURS.request("CA-QC", now=NOW, random=next(_chance).to_bytes(8, "big"))


@asynccontextmanager
async def client_of(*routers):
    """A client of an app with these routers."""
    app = FastAPI()
    for router in routers:
        app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as client:
        yield client
