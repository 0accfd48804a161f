"""Sealing of kept replies, and what happens when the store is away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from gateway.adapters.clock import SetClock
from gateway.adapters.idempotency import SqlIdempotency, seal, slot_of, unseal, usable
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.tables import idempotency
from gateway.core.errors import Code, Refusal
from gateway.core.values import Caller
from gateway.ports import StoredReply
from tests.people import NOW, database, sqlite

CALLER = Caller(tenant="maple", team="branch", app="teller", key_id="k1")
OTHER = Caller(tenant="maple", team="branch", app="teller", key_id="k2")
REPLY = StoredReply(status=200, headers=(("x-request-id", "req_1"),), body=b"what the model said")

replies = st.builds(
    StoredReply,
    status=st.integers(min_value=100, max_value=599),
    headers=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=3).map(tuple),
    body=st.binary(max_size=500),
)


@given(replies)
def test_what_is_sealed_opens_the_same(reply):
    """Status, headers and bytes."""
    sealed = seal(reply, CALLER, "key", "digest", "secret")
    assert sealed is not None
    assert unseal(sealed, CALLER, "key", "digest", "secret") == reply


def test_a_seal_opens_for_its_own_caller_key_request_and_secret_only():
    """Each of them is bound in."""
    sealed = seal(REPLY, CALLER, "key", "digest", "secret")
    assert sealed is not None
    assert unseal(sealed, OTHER, "key", "digest", "secret") is None
    assert unseal(sealed, CALLER, "other", "digest", "secret") is None
    assert unseal(sealed, CALLER, "key", "other", "secret") is None
    assert unseal(sealed, CALLER, "key", "digest", "other") is None


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_an_altered_seal_does_not_open(at, flip):
    """Any byte, the nonce included."""
    sealed = bytearray(seal(REPLY, CALLER, "key", "digest", "secret") or b"")
    sealed[at % len(sealed)] ^= flip
    assert unseal(bytes(sealed), CALLER, "key", "digest", "secret") is None


@given(st.binary(max_size=40))
def test_garbage_does_not_open(sealed):
    """A torn row is no crash."""
    assert unseal(sealed, CALLER, "key", "digest", "secret") is None


async def test_the_database_shows_neither_reply_nor_key(tmp_path):
    """A copy of the database file tells nothing of what was said, or under which key."""
    with database(sqlite(tmp_path)) as store:
        kept = SqlIdempotency(store, SetClock(NOW))
        await kept.claim(CALLER, "idempotency-key-in-clear", "digest", "the-callers-secret")
        await kept.finish(CALLER, "idempotency-key-in-clear", "the-callers-secret", REPLY)
        with store.read() as connection:
            assert connection.scalar(select(idempotency.c.state)) == "done"
    found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for clear in (b"what the model said", b"idempotency-key-in-clear", b"the-callers-secret"):
        assert clear not in found


async def test_without_the_store_nothing_runs(tmp_path):
    """Whether the key was used cannot be known, so that running could bill twice: 503, retry."""
    kept = SqlIdempotency(Store(f"sqlite:///{tmp_path}/no/such/folder/x.db"), SetClock(NOW))
    refusal = await kept.claim(CALLER, "key", "digest", "secret")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retry) == (Code.STORE_UNAVAILABLE, True)
    await kept.finish(CALLER, "key", "secret", REPLY)  # the answer is out already: no error


async def test_a_run_that_lost_its_slot_does_not_finish_anothers(tmp_path):
    """After its time the slot is another run's; a late answer must not pass for that one's."""
    with database(sqlite(tmp_path)) as store:
        clock = SetClock(NOW)
        slow, fast = (SqlIdempotency(store, clock, running_s=10) for _ in range(2))
        assert await slow.claim(CALLER, "key", "d", "secret") is None
        clock.advance(seconds=11)
        assert await fast.claim(CALLER, "key", "d", "secret") is None
        await slow.finish(CALLER, "key", "secret", REPLY)
        assert isinstance(await fast.claim(CALLER, "key", "d", "secret"), Refusal)
        await slow.finish(CALLER, "key", "secret", None)
        assert isinstance(await fast.claim(CALLER, "key", "d", "secret"), Refusal)


async def test_sweeping_deletes_what_has_expired_only(tmp_path):
    """The table stays small without forgetting early."""
    with database(sqlite(tmp_path)) as store:
        clock = SetClock(NOW)
        kept = SqlIdempotency(store, clock, kept_s=100, running_s=10)
        for key in ("a", "b"):
            await kept.claim(CALLER, key, "d", "secret")
        await kept.finish(CALLER, "a", "secret", REPLY)
        clock.advance(seconds=11)
        assert await kept.sweep() == 1
        assert await kept.claim(CALLER, "a", "d", "secret") == REPLY


@pytest.mark.parametrize(
    ("key", "good"), [("a", True), ("x" * 255, True), ("x" * 256, False), ("", False), ("\t", False)]
)
def test_a_key_is_short_printable_text(key, good):
    """The header is bounded before it is hashed."""
    assert usable(key) is good


def test_a_slot_holds_no_key_in_clear():
    """Keys may be guessable: an order number, an e-mail address."""
    assert "order-1" not in str(slot_of(CALLER, "order-1"))
