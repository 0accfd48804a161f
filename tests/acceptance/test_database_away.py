"""PostgreSQL goes away, at boot and under load: the declared mode, healed by itself, nothing lost.

Declared: keys go on, workers spend the slices that they hold, then refuse ``budget_unavailable``;
a call with an ``Idempotency-Key`` is refused at once. Never a 401 for an honest key, never a 500,
never a hang.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import make_url

from gateway.adapters.store_sql.engine import Store
from gateway.adapters.store_sql.schema import migrate
from tests.acceptance import bank
from tests.acceptance.calls import Answer, Caller, request, well_formed_error
from tests.acceptance.running import Running, eventually
from tests.acceptance.wire import Wire
from tests.fakes.vendor import FakeVendor, Script

Places = dict[str, FakeVendor]
USAGE: dict[str, object] = {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300}


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """A migrated database of one test, beside the module's."""
    import psycopg

    server = make_url(postgres_url)
    admin = server.set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"bp_{uuid.uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    url = server.set(database=name).render_as_string(hide_password=False)
    store = Store(url)
    migrate(store)
    store.close()
    try:
        yield url
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def wire(database: str) -> Iterator[Wire]:
    """A wire to it."""
    with Wire(database) as made:
        yield made


@pytest.fixture
def away(wire: Wire, database: str, places: Places, tmp_path: Path) -> Iterator[Running]:
    """A gateway over that wire, not started yet."""
    bank.write(tmp_path / "policies", bank.bundle(places))
    running = Running(
        folder=tmp_path,
        policies=tmp_path / "policies",
        settings={"BORDERPOST_DATABASE_URL": wire.url},
        beside=database,
    )
    try:
        yield running
    finally:
        running.kill()


def state(running: Running) -> tuple[int, dict[str, Any]]:
    """Return what ``/readyz`` says."""
    reply = httpx.get(f"{running.url}/readyz", trust_env=False)
    return reply.status_code, reply.json()


def control(running: Running, name: str) -> str:
    """Return the mode of one control, as ``/status`` shows it."""
    status = httpx.get(f"{running.url}/status", trust_env=False).json()
    return next(str(each["mode"]) for each in status["controls"] if each["name"] == name)


def mint_quietly(running: Running, app: str) -> str:
    """Make a key while the gateway cannot learn of it."""
    from gateway.adapters.keys import mint
    from gateway.adapters.store_sql import keys as key_rows

    presented, row = mint(tenant=running.tenant, app=app, now=time.time_ns(), by="tests")
    store = Store(running.database_url)
    try:
        with store.write() as connection:
            key_rows.add(connection, row)
    finally:
        store.close()
    return presented


def test_away_at_boot(wire: Wire, away: Running, places: Places) -> None:
    """It starts, says what is missing, answers 503 to an honest key, and heals in under ten seconds."""
    key = mint_quietly(away, "teller")
    wire.cut()
    away.start(wait_s=0)

    def alive() -> bool:
        try:
            return httpx.get(f"{away.url}/healthz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    eventually(alive, 20, lambda: away.log[-3000:])
    status, said = state(away)
    assert status == 503
    assert "schema" in said["failing"]
    with Caller(away.url, key) as caller:
        for surface in ("chat", "messages", "embeddings"):
            answer = caller.post(surface, request(surface, model="only-ca"))
            assert answer.status == 503, answer.raw
            well_formed_error(surface, answer)
            assert int(answer.headers["retry-after"]) >= 1
        assert places["ca"].raw == b""
        wire.heal()
        healed = time.monotonic()
        eventually(lambda: state(away)[0] == 200, 10, lambda: str(state(away)))
        eventually(lambda: caller.post("chat", request("chat", model="only-ca")).status == 200, 5)
        assert time.monotonic() - healed < 10
    assert len(away.ledger(1)) == 1
    assert control(away, "keys") == "enforcing"


@pytest.mark.parametrize("how", ["cut", "silence"])
def test_away_under_load(wire: Wire, away: Running, places: Places, how: str) -> None:
    """Slices go on being spent, then 503 until it is back; afterwards the ledger is complete."""
    vendor = places["ca"]
    vendor.default = Script(usage=USAGE)
    statuses: list[int] = []
    try:
        away.start()
        key = away.key("teller")
        with Caller(away.url, key) as caller:

            def call(surface: str = "chat") -> Answer:
                more = {"max_tokens": 100} if surface == "chat" else {}
                started = time.monotonic()
                answer = caller.post(surface, request(surface, model="only-ca", **more))
                assert time.monotonic() - started < 8, "a hang"
                statuses.append(answer.status)
                if answer.status != 200:
                    well_formed_error(surface, answer)
                return answer

            for _ in range(3):
                assert call().status == 200
            getattr(wire, how)()
            # Keys are known in memory, and what was leased is spent without asking anybody.
            assert call().status == 200
            refused = None
            until = time.monotonic() + 20
            while refused is None and time.monotonic() < until:
                answer = call()
                refused = answer if answer.status != 200 else None
            assert refused is not None
            assert refused.status == 503
            assert well_formed_error("chat", refused)["code"] == "budget_unavailable"
            assert int(refused.headers["retry-after"]) >= 1
            assert control(away, "budgets") == "degraded"
            once = caller.post("chat", request("chat"), headers={"idempotency-key": "a"})
            assert once.status == 503
            assert well_formed_error("chat", once)["code"] == "store_unavailable"
            assert state(away)[0] == 200  # it can still answer: a restart would help nobody
            wire.heal()
            healed = time.monotonic()
            eventually(lambda: call().status == 200, 10)
            assert time.monotonic() - healed < 10
            assert control(away, "budgets") == "enforcing"
        assert set(statuses) == {200, 503}
        served = statuses.count(200)
        assert len(vendor.seen) == served
        rows = away.ledger(served, wait_s=10)
        assert len(rows) == served
        assert all(row["status"] == "served" and not row["estimated"] for row in rows)
        eventually(lambda: len(away.records(0)) == len(statuses), 10)
        # What was spent meanwhile is spent: settled equals the ledger, to the unit.
        tokens = "team:branch:tokens"
        eventually(lambda: away.windows(f"{tokens}%")[tokens][1] == 300 * served, 10)
        away.wait_no_open_hold()
    finally:
        vendor.default = Script()


def test_it_flickers_under_concurrent_load(wire: Wire, away: Running, places: Places) -> None:
    """Cut and healed again and again below forty callers: only 200 and 503, and the books tie out."""
    vendor = places["ca"]
    vendor.default = Script(usage=USAGE)
    try:
        away.start()
        keys = away.keys("teller", 8)
        stop = time.monotonic() + 5

        def caller_of(key: str) -> list[int]:
            found = []
            with Caller(away.url, key) as caller:
                while time.monotonic() < stop:
                    found.append(caller.post("chat", request("chat", model="only-ca", max_tokens=100)).status)
                    time.sleep(0.03)
            return found

        with ThreadPoolExecutor(8) as pool:
            running = [pool.submit(caller_of, key) for key in keys]
            while time.monotonic() < stop - 0.5:
                wire.cut()
                time.sleep(0.35)
                wire.heal()
                time.sleep(0.35)
            statuses = [status for future in running for status in future.result(30)]
        assert set(statuses) <= {200, 503}, sorted(set(statuses))
        served = statuses.count(200)
        assert served
        assert len(vendor.seen) == served
        assert len(away.ledger(served, wait_s=10)) == served
        tokens = "team:branch:tokens"
        eventually(lambda: away.windows(f"{tokens}%")[tokens][1] == 300 * served, 10)
        away.wait_no_open_hold()
        eventually(lambda: len(away.records(0)) == len(statuses), 10)
    finally:
        vendor.default = Script()
