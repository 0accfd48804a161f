"""Feedback over HTTP: taken by any id that names a reply, masked, journalled, and no probe for calls."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gateway.adapters.content_store import SqlContentStore
from gateway.adapters.keyring import FileKeyRing
from gateway.adapters.memory_journal import MemoryJournal
from gateway.adapters.memory_keys import MemoryKeys
from gateway.adapters.store_sql import StoreUnavailable
from gateway.adapters.store_sql.tables import content as sealed
from gateway.adapters.store_sql.tables import feedback, feedback_history
from gateway.api.feedback import (
    COMMENT_KIND,
    FeedbackDeps,
    comment_name,
    comment_subject,
    masked,
    router,
)
from tests.api.desk_under_test import ADMIN, CLOCK, OURS, RATER_KEY, THEIRS, as_role, client_of, issue_id
from tests.people import NOW, app, book, database, record, row, snapshot, sqlite

REPLY = OURS.request("CA-QC", now=NOW - 10**9, random=b"abcdefgh")
SIN = "046 454" + " 286"


class Bank:
    """The feedback routes on a small bank: client, journal, store, keys."""

    def __init__(self, client, journal, store, keys):
        self.client, self.journal, self.store, self.keys = client, journal, store, keys
        self.key = keys.create(app(), now=NOW)

    async def rate(self, target=REPLY, *, key=None, **body):
        return await self.client.post(
            "/v1/feedback",
            json={"target": target, **body},
            headers={"authorization": f"Bearer {key or self.key}"},
        )

    def rows(self, table=feedback):
        with self.store.store.read() as connection:
            return connection.execute(select(table).order_by(table.c.seq)).mappings().all()


class Switched:
    """A store that can be switched off."""

    def __init__(self, store):
        self.store, self.off = store, False

    async def run(self, work):
        if self.off:
            raise StoreUnavailable("away")
        return await self.store.run(work)

    async def ask(self, work):
        if self.off:
            raise StoreUnavailable("away")
        return await self.store.ask(work)


@pytest.fixture
async def bank(tmp_path):
    with database(sqlite(tmp_path)) as plain:
        store, journal = Switched(plain), MemoryJournal(now=lambda: NOW)
        keys = MemoryKeys(lambda: {"teller": app(), "hackathon": app("hackathon")}, now=NOW)
        content = SqlContentStore(store, FileKeyRing(tmp_path), CLOCK, journal, place="CA-QC")
        deps = FeedbackDeps(
            keys=keys, tokens=ADMIN, ids=OURS, rater_key=RATER_KEY, journal=journal, store=store,
            content=content, snapshot=snapshot, clock=CLOCK, issue_id=issue_id,
        )  # fmt: skip
        async with client_of(router(deps)) as client:
            found = Bank(client, journal, store, keys)
            found.content = content
            yield found


async def test_a_rating_is_taken_by_our_id_before_any_record_is_there(bank):
    """The tag proves the id; the record may still be on its way."""
    answer = await bank.rate(value="up")
    assert answer.status_code == 201
    assert (answer.json()["target"], answer.json()["value"]) == (REPLY, "up")
    [kept] = bank.rows()
    assert (kept["target"], kept["thumb"], kept["app"], kept["place"]) == (REPLY, 1, "teller", "CA-QC")


async def test_one_choice_of_a_reply_can_be_rated(bank):
    """Two choices, two ratings."""
    for choice, value in enumerate(["up", "down"]):
        assert (await bank.rate(f"{REPLY}.{choice}", value=value)).status_code == 201
    assert [(kept["call_id"], kept["choice"], kept["thumb"]) for kept in bank.rows()] == [
        (REPLY, 0, 1),
        (REPLY, 1, 0),
    ]


async def test_a_vendors_id_works_where_it_is_unambiguous(bank):
    """From the records of the tenant."""
    with bank.store.store.write() as connection:
        record(connection, REPLY, vendor_id="chatcmpl-1")
        record(connection, REPLY + "x", vendor_id="chatcmpl-2")
        record(connection, REPLY + "y", vendor_id="chatcmpl-2")
    answer = await bank.rate("chatcmpl-1", value="up")
    assert (answer.status_code, answer.json()["target"]) == (201, REPLY)
    assert (await bank.rate("chatcmpl-2", value="up")).status_code == 404


async def test_unknown_foreign_and_forged_ids_get_the_same_404(bank):
    """Byte for byte, so that nobody can probe for calls."""
    with bank.store.store.write() as connection:
        record(connection, "theirs", tenant="birch", vendor_id="chatcmpl-9")
    foreign = THEIRS.request("CA-QC", now=NOW, random=b"abcdefgh")
    forged = REPLY[:-1] + ("0" if REPLY[-1] != "0" else "1")
    answers = [
        await bank.rate(target, value="up") for target in (foreign, forged, "chatcmpl-9", "nothing", "req_x")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert bank.rows(feedback_history) == []


async def test_a_comment_is_masked_before_anything_keeps_it(bank):
    """Sealed in the content store, under its rater; no word of it in a table or in the journal."""
    comment = f"wrong! my SIN is {SIN}, write to anne@example.com"
    answer = await bank.rate(value="down", comment=comment)
    assert answer.json()["comment"] == "masked"
    [kept] = bank.rows()
    assert kept["comment"] is None
    entry = bank.journal.entries[-1]
    found = await bank.content.get(
        comment_subject(entry), COMMENT_KIND, comment_name(entry.writer, entry.seq)
    )
    assert found == b"wrong! my SIN is [SIN], write to [EMAIL]"
    with bank.store.store.read() as connection:
        assert b"wrong" not in b"".join(connection.scalars(select(sealed.c.sealed)))
    for line in bank.journal.lines:
        assert b"wrong" not in line
        assert b"anne" not in line


async def test_a_raters_comments_are_erased_with_the_raters_key(bank):
    """Anne's go, Paul's stay; a comment of nobody's is its call's."""
    for rater in ("anne", "paul", None):
        more = {} if rater is None else {"rater": rater}
        await bank.rate(value="down", comment=f"said by {rater}", **more)
    rated = [entry for entry in bank.journal.entries if entry.kind == "feedback"]
    anne, paul, nobody = map(comment_subject, rated)
    assert nobody.name == f"call:{REPLY}"
    assert await bank.content.erase(anne, by="privacy-office") == 1
    assert await bank.content.all(anne, COMMENT_KIND) == {}
    assert list((await bank.content.all(paul, COMMENT_KIND)).values()) == [b"said by paul"]


async def test_a_rater_is_a_pseudonym_that_cannot_be_linked_across_apps(bank):
    """Stable within an app, another in another one, and nowhere in clear."""
    other = bank.keys.create(app("hackathon"), now=NOW)
    await bank.rate(value="up", rater="anne")
    await bank.rate(f"{REPLY}.0", value="up", rater="anne")
    await bank.rate(f"{REPLY}.1", value="up", rater="anne", key=other)
    raters = [kept["rater"] for kept in bank.rows()]
    assert raters[0] == raters[1] != raters[2]
    assert not any(b"anne" in line for line in bank.journal.lines)


async def test_a_new_value_supersedes_and_the_old_stays_in_history(bank):
    """People change their minds."""
    await bank.rate(value="up", rater="anne")
    await bank.rate(value="down", rater="anne")
    assert [kept["thumb"] for kept in bank.rows()] == [0]
    history = bank.rows(feedback_history)
    assert [(kept["thumb"], kept["superseded_us"] is not None) for kept in history] == [(1, True), (0, False)]


async def test_the_same_feedback_id_counts_once(bank):
    """A retry is a retry; another rating under the same id is a mistake that is said."""
    first = await bank.rate(value="up", feedback_id="fb-1")
    again = await bank.rate(value="up", feedback_id="fb-1")
    other = await bank.rate(value="down", feedback_id="fb-1")
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 409]
    assert len(bank.rows(feedback_history)) == 1


async def test_without_the_database_a_rating_is_kept_by_the_journal(bank):
    """The projector brings it later; the comment, which only the database may hold, is said to be lost."""
    bank.store.off = True
    answer = await bank.rate(value="up", comment="good")
    assert (answer.status_code, answer.json()["comment"]) == (201, "lost")
    assert bank.journal.entries[-1].kind == "feedback"
    assert (await bank.rate("chatcmpl-1", value="up")).status_code == 503


async def test_without_the_journal_a_rating_is_not_taken(bank):
    """503, retry: what is not in the journal did not happen."""
    bank.journal.failing = True
    answer = await bank.rate(value="up")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "journal_unavailable")
    assert bank.rows() == []


@pytest.mark.parametrize("days", [36, 400])
async def test_old_replies_are_no_longer_rated(bank, days):
    """A month's figures come to rest."""
    old = OURS.request("CA-QC", now=NOW - days * 86_400 * 10**9, random=b"abcdefgh")
    answer = await bank.rate(old, value="up")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "target")


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b'{"target": "x"}', b"\xff"])
async def test_a_bad_body_is_a_400(bank, content):
    """Never a traceback."""
    answer = await bank.client.post("/v1/feedback", content=content, headers={"x-api-key": bank.key})
    assert answer.status_code == 400


async def test_nobody_rates_without_a_key(bank):
    """401 as on the hot surfaces."""
    assert (await bank.client.post("/v1/feedback", json={})).status_code == 401
    assert (await bank.rate(value="up", key="bp_live_x_y")).status_code == 401


async def test_the_summary_is_for_finance(bank):
    """Shares with intervals, per alias and deployment."""
    with bank.store.store.write() as connection:
        book(connection, row(f"{REPLY}/1", call_id=REPLY))
    await bank.rate(value="up")
    assert (await bank.client.get("/v1/feedback/summary")).status_code == 401
    assert (await bank.client.get("/v1/feedback/summary", headers={"x-api-key": bank.key})).status_code == 401
    answer = await bank.client.get("/v1/feedback/summary?month=2026-11", headers=as_role("finance"))
    [line] = answer.json()["rows"]
    assert (line["alias"], line["up"], line["down"], line["enough"]) == ("chat", 1, 0, False)
    answer = await bank.client.get("/v1/feedback/summary?month=soon", headers=as_role("finance"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "month")


def test_masking_leaves_the_rest_as_it_was():
    """What no pattern finds is kept to the letter."""
    assert masked("très bien 👍") == "très bien 👍"
    assert masked("a@example.com b@example.com") == "[EMAIL] [EMAIL]"
