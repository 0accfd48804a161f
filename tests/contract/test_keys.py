"""What every adapter of the port ``Keys`` promises: who presents a key, or why it is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.adapters import key_changes
from gateway.adapters.clock import SetClock
from gateway.adapters.key_changes import By
from gateway.adapters.keys import KeySnapshot
from gateway.adapters.memory_keys import MemoryKeys
from gateway.core.errors import Code, Refusal
from gateway.core.snapshot import App
from gateway.core.values import Caller
from gateway.ports import Keys
from tests.people import NOW, app, database, sqlite

BY = By(actor="ops", role="admin")


class Office:
    """The same few moves on every adapter: make a key, revoke it, look it up."""

    def __init__(self, apps: dict[str, App]) -> None:
        self.apps = apps

    keys: Keys
    create: Callable[..., str]
    revoke: Callable[[str, int], None]


class MemoryOffice(Office):
    def __init__(self, apps):
        super().__init__(apps)
        self.keys = MemoryKeys(lambda: self.apps, now=NOW, valid_s=300)

    async def create(self, owner, **options):
        return self.keys.create(owner, now=NOW, **options)

    async def revoke(self, key_id, at_us):
        self.keys.revoke(key_id, at_us=at_us, now=NOW)


class SqlOffice(Office):
    def __init__(self, apps, store):
        super().__init__(apps)
        self.store = store
        self.keys = KeySnapshot(store, lambda: self.apps, SetClock(NOW), valid_s=300)

    async def create(self, owner, **options):
        made = await self.store.run(
            lambda connection: key_changes.create(connection, owner, now=NOW - 10**9, by=BY, **options)
        )
        await self.keys.refresh()
        return made.presented

    async def revoke(self, key_id, at_us):
        await self.store.run(
            lambda connection: key_changes.revoke(connection, "maple", key_id, now=NOW, by=BY, at_us=at_us)
        )
        await self.keys.refresh()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def office(request, tmp_path):
    """An office on each adapter, with the app ``teller`` registered."""
    apps = {"teller": app()}
    if request.param == "memory":
        yield MemoryOffice(apps)
        return
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store:
        yield SqlOffice(apps, store)


async def test_a_key_names_its_app(office):
    """Team and tenant come from the registration, not from the key."""
    presented = await office.create(app())
    caller = office.keys.find(presented, NOW)
    assert isinstance(caller, Caller)
    assert (caller.tenant, caller.team, caller.app) == ("maple", "branch", "teller")
    assert presented.split("_")[:3] == ["bp", "live", caller.key_id]


async def test_any_other_key_is_unknown(office):
    """Not one character may differ, and a stranger learns nothing of which keys there are."""
    presented = await office.create(app())
    last = "a" if presented[-1] != "a" else "b"
    unknown = [
        presented[:-1] + last,
        presented + "a",
        presented.replace("live", "demo"),
        "bp_live_x_y",
        "",
        "é" * 99,
    ]
    refusals = [office.keys.find(other, NOW) for other in unknown]
    assert all(isinstance(refusal, Refusal) and refusal.code is Code.INVALID_API_KEY for refusal in refusals)
    assert len({refusal.message for refusal in refusals}) == 1


async def test_a_revoked_key_is_refused_from_its_instant_on(office):
    """Before it, a rotation overlaps; from it on, the key is dead."""
    presented = await office.create(app())
    await office.revoke(presented.split("_")[2], NOW // 1000 + 1_000_000)
    assert isinstance(office.keys.find(presented, NOW + 999_999_000), Caller)
    refusal = office.keys.find(presented, NOW + 1_000_000_000)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_API_KEY
    assert "revoked" in refusal.message


async def test_an_expired_key_is_refused(office):
    """An expiry needs no one to act."""
    presented = await office.create(app(), expires_us=NOW // 1000 + 5_000_000)
    assert isinstance(office.keys.find(presented, NOW), Caller)
    refusal = office.keys.find(presented, NOW + 5_000_000_000)
    assert isinstance(refusal, Refusal)
    assert "expired" in refusal.message


async def test_a_key_of_an_app_that_is_gone_is_refused(office):
    """An app that teams.yaml no longer registers may not call; nor may one that another tenant owns now."""
    presented = await office.create(app())
    office.apps.clear()
    assert isinstance(office.keys.find(presented, NOW), Refusal)
    office.apps["teller"] = app(tenant="birch")
    assert isinstance(office.keys.find(presented, NOW), Refusal)


async def test_a_team_that_moves_takes_its_keys_along(office):
    """The caller is made of the snapshot in force, also where it was looked up before."""
    presented = await office.create(app())
    assert office.keys.find(presented, NOW).team == "branch"
    office.apps["teller"] = app(team="online")
    assert office.keys.find(presented, NOW).team == "online"


async def test_keys_that_nobody_confirmed_for_too_long_are_not_judged(office):
    """Past the declared time the answer is 503 for every key, right or wrong: never a false 401."""
    presented = await office.create(app())
    assert isinstance(office.keys.find(presented, NOW + 300 * 10**9), Caller)
    for key in (presented, "bp_live_x_y"):
        refusal = office.keys.find(key, NOW + 301 * 10**9)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.retry) == (Code.STORE_UNAVAILABLE, True)
