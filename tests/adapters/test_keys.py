"""The key snapshot over time: polling, a store that goes and comes, other processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time

import pytest

from gateway.adapters import key_changes
from gateway.adapters.clock import SetClock, SystemClock
from gateway.adapters.key_changes import By
from gateway.adapters.keys import KeySnapshot, hash_of, mint
from gateway.adapters.store_sql import StoreUnavailable
from gateway.core.errors import Code, Refusal
from gateway.core.values import Caller
from tests.people import NOW, app, database, sqlite

BY = By(actor="ops", role="admin")
APPS = {"teller": app()}


class Away:
    """A store that can be switched off, and counts what is asked of it."""

    def __init__(self, store):
        self.store = store
        self.off = False
        self.asked = []

    async def ask(self, work):
        if self.off:
            raise StoreUnavailable("the database does not answer")
        found = await self.store.ask(work)
        self.asked.append(found)
        return found


@pytest.fixture
def store(tmp_path):
    """An empty database."""
    with database(sqlite(tmp_path)) as opened:
        yield opened


def make(store, **options):
    with store.write() as connection:
        return key_changes.create(connection, app(), now=NOW, by=BY, **options)


def test_a_key_has_256_bits_and_says_what_it_is():
    """Its kind and id can be read; its secret cannot be guessed."""
    presented, row = mint(tenant="maple", app="teller", now=NOW, by="x", kind="demo")
    brand, kind, key_id, secret = presented.split("_")
    assert (brand, kind, key_id) == ("bp", "demo", row.id)
    assert len(secret) * 5 >= 256
    assert presented != mint(tenant="maple", app="teller", now=NOW, by="x", kind="demo")[0]
    assert row.sha256 == hash_of(presented)
    with pytest.raises(ValueError, match="unknown kind"):
        mint(tenant="maple", app="teller", now=NOW, by="x", kind="free")


async def test_keys_are_read_only_when_the_counter_moved(store):
    """A poll without a change reads one number."""
    make(store)
    away = Away(store)
    snapshot = KeySnapshot(away, lambda: APPS, SetClock(NOW))
    await snapshot.refresh()
    await snapshot.refresh()
    make(store)
    await snapshot.refresh()
    assert [None if rows is None else len(rows) for _, rows in away.asked] == [1, None, 2]


async def test_a_store_away_at_boot_is_no_false_401_and_heals(store):
    """Until the first read every key gets 503; then it works, without a restart."""
    made = make(store)
    away = Away(store)
    away.off = True
    snapshot = KeySnapshot(away, lambda: APPS, SetClock(NOW), poll_s=0.01)
    await snapshot.start()
    try:
        refusal = snapshot.find(made.presented, NOW)
        assert isinstance(refusal, Refusal)
        assert refusal.code is Code.STORE_UNAVAILABLE
        assert snapshot.age_s(NOW) is None
        away.off = False
        async with asyncio.timeout(5):
            while not isinstance(snapshot.find(made.presented, NOW), Caller):  # noqa: ASYNC110 (polls as a call would)
                await asyncio.sleep(0.01)
    finally:
        await snapshot.close()


async def test_a_store_that_goes_leaves_keys_valid_for_the_declared_time(store):
    """Calls go on through an outage, bounded; the age is known to /status."""
    made = make(store)
    away, clock = Away(store), SetClock(NOW)
    snapshot = KeySnapshot(away, lambda: APPS, clock, valid_s=60)
    await snapshot.refresh()
    away.off = True
    clock.advance(seconds=59)
    with pytest.raises(StoreUnavailable):
        await snapshot.refresh()
    assert isinstance(snapshot.find(made.presented, clock.now()), Caller)
    assert snapshot.age_s(clock.now()) == 59
    clock.advance(seconds=2)
    assert isinstance(snapshot.find(made.presented, clock.now()), Refusal)
    away.off = False
    await snapshot.refresh()
    assert isinstance(snapshot.find(made.presented, clock.now()), Caller)


async def test_a_read_that_hangs_does_not_stop_the_next(store):
    """The poll gives up on a read and tries again."""
    made = make(store)

    class Hanging(Away):
        async def ask(self, work):
            if not self.asked:
                self.asked.append("hung")
                await asyncio.sleep(3600)
            return await super().ask(work)

    snapshot = KeySnapshot(Hanging(store), lambda: APPS, SystemClock(), poll_s=0.01)
    await snapshot.start()
    try:
        async with asyncio.timeout(10):
            while not isinstance(snapshot.find(made.presented, time.time_ns()), Caller):  # noqa: ASYNC110 (as above)
                await asyncio.sleep(0.02)
    finally:
        await snapshot.close()


WATCHER = """
    import asyncio, sys, time
    from gateway.adapters.clock import SystemClock
    from gateway.adapters.keys import KeySnapshot
    from gateway.adapters.store_sql import Store
    from gateway.core.values import Caller
    from tests.people import app

    async def watch(url, presented):
        store = Store(url)
        keys = KeySnapshot(store, lambda: {"teller": app()}, SystemClock())
        await keys.start()
        seen = None
        while seen is not False:
            works = isinstance(keys.find(presented, time.time_ns()), Caller)
            if works is not seen:
                print("works" if works else "refused", flush=True)
                seen = works
            await asyncio.sleep(0.05)
        await keys.close()
        store.close()

    asyncio.run(watch(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_revocation_reaches_every_other_process(kind, tmp_path, request):
    """Two workers on one database accept a key, and refuse it once a third has revoked it."""
    url = sqlite(tmp_path) if kind == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store:
        made = make(store)
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(WATCHER), url, made.presented],
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        try:
            for worker in workers:
                assert worker.stdout.readline().strip() == "works"
            with store.write() as connection:
                key_changes.revoke(connection, "maple", made.row.id, now=time.time_ns(), by=BY)
            for worker in workers:
                assert worker.stdout.readline().strip() == "refused"
                assert worker.wait(10) == 0
        finally:
            for worker in workers:
                worker.kill()
                worker.stdout.close()
                worker.wait()
