"""What every adapter of the port ``Idempotency`` promises: a retry is neither run nor billed twice."""

from __future__ import annotations

import asyncio

import pytest

from gateway.adapters.clock import SetClock
from gateway.adapters.idempotency import MOST_BYTES, SqlIdempotency
from gateway.adapters.memory_idempotency import MemoryIdempotency
from gateway.core.errors import Code, Refusal
from gateway.core.values import Caller
from gateway.ports import StoredReply
from tests.people import NOW, database, sqlite

SECRET = "bp_live_" + "k" * 16 + "_" + "s" * 52
REPLY = StoredReply(
    status=200, headers=(("content-type", "application/json"),), body=b'{"said": "caf\xc3\xa9"}'
)


def caller(key_id="k1", tenant="maple"):
    return Caller(tenant=tenant, team="branch", app="teller", key_id=key_id)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def kept(request, tmp_path):
    """Each adapter with a clock that the test moves: ``kept.clock``."""
    clock = SetClock(NOW)
    if request.param == "memory":
        found = MemoryIdempotency(clock, kept_s=100, running_s=10)
        found.clock = clock
        yield found
        return
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store:
        found = SqlIdempotency(store, clock, kept_s=100, running_s=10)
        found.clock = clock
        yield found


@pytest.fixture
def key(request):
    """A key of the test's own, since a PostgreSQL database serves a whole module."""
    return request.node.name


async def test_the_first_goes_on_and_the_second_gets_its_answer(kept, key):
    """The whole point: one run, two equal answers."""
    assert await kept.claim(caller(), key, "d1", SECRET) is None
    await kept.finish(caller(), key, SECRET, REPLY)
    assert await kept.claim(caller(), key, "d1", SECRET) == REPLY


async def test_while_it_runs_a_retry_is_told_to_wait(kept, key):
    """SDKs retry a 409 that says so, and get the answer then."""
    await kept.claim(caller(), key, "d1", SECRET)
    refusal = await kept.claim(caller(), key, "d1", SECRET)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retry_after, refusal.retry) == (Code.IDEMPOTENCY_CONFLICT, 1, True)


@pytest.mark.parametrize("finished", [True, False])
async def test_another_request_under_the_same_key_is_refused(kept, key, finished):
    """The wrong answer would be worse than none. Retrying it helps nobody."""
    await kept.claim(caller(), key, "d1", SECRET)
    if finished:
        await kept.finish(caller(), key, SECRET, REPLY)
    refusal = await kept.claim(caller(), key, "d2", SECRET)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retry) == (Code.IDEMPOTENCY_CONFLICT, False)


async def test_a_run_that_billed_nothing_frees_its_key(kept, key):
    """A failed call may be tried again under the same key."""
    await kept.claim(caller(), key, "d1", SECRET)
    await kept.finish(caller(), key, SECRET, None)
    assert await kept.claim(caller(), key, "d1", SECRET) is None


async def test_callers_do_not_meet(kept, key):
    """The same key of another API key or tenant is another key."""
    await kept.claim(caller(), key, "d1", SECRET)
    await kept.finish(caller(), key, SECRET, REPLY)
    assert await kept.claim(caller(key_id="k2"), key, "d1", SECRET) is None
    assert await kept.claim(caller(tenant="birch"), key, "d1", SECRET) is None


async def test_only_the_callers_secret_opens_the_answer(kept, key):
    """Sealed under what only the caller knows: with another secret it stays shut."""
    await kept.claim(caller(), key, "d1", SECRET)
    await kept.finish(caller(), key, SECRET, REPLY)
    refusal = await kept.claim(caller(), key, "d1", SECRET + "x")
    assert isinstance(refusal, Refusal)
    assert refusal.retry is False


async def test_an_answer_that_is_too_large_is_not_kept_and_says_so(kept, key):
    """Bounded: the retry is told why, and is not run again."""
    big = StoredReply(status=200, headers=(), body=b"x" * (MOST_BYTES + 1))
    await kept.claim(caller(), key, "d1", SECRET)
    await kept.finish(caller(), key, SECRET, big)
    refusal = await kept.claim(caller(), key, "d1", SECRET)
    assert isinstance(refusal, Refusal)
    assert refusal.retry is False
    assert "1 MiB" in refusal.message


async def test_answers_are_forgotten_in_time(kept, key):
    """After its time a key is free again."""
    await kept.claim(caller(), key, "d1", SECRET)
    await kept.finish(caller(), key, SECRET, REPLY)
    kept.clock.advance(seconds=99)
    assert await kept.claim(caller(), key, "d1", SECRET) == REPLY
    kept.clock.advance(seconds=2)
    assert await kept.claim(caller(), key, "d2", SECRET) is None


async def test_a_run_that_died_frees_its_key_in_time(kept, key):
    """A process that was killed never finishes; its key waits ``running_s`` and is then free."""
    await kept.claim(caller(), key, "d1", SECRET)
    kept.clock.advance(seconds=9)
    assert isinstance(await kept.claim(caller(), key, "d1", SECRET), Refusal)
    kept.clock.advance(seconds=2)
    assert await kept.claim(caller(), key, "d1", SECRET) is None


async def test_of_many_racing_claims_one_goes_on(kept, key):
    """Twenty retries at once: one runs."""
    claims = await asyncio.gather(*[kept.claim(caller(), key, "d1", SECRET) for _ in range(20)])
    assert sum(claim is None for claim in claims) == 1


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\nb", "clé"])
async def test_an_unusable_key_is_a_bad_request(kept, bad):
    """What cannot be a header's plain text is refused before anything is looked up."""
    refusal = await kept.claim(caller(), bad, "d1", SECRET)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_REQUEST
