"""Projection of feedback: idempotent, the newest counts, nothing is forgotten."""

from __future__ import annotations

from itertools import permutations

import pytest
from sqlalchemy import delete, select

from gateway.adapters.store_sql import feedback as rows
from gateway.adapters.store_sql.tables import feedback, feedback_history, records
from gateway.core.record import Entry
from tests.people import US, database, record, sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request, tmp_path):
    """A transaction on empty tables of each kind of database."""
    url = sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with database(url) as store, store.write() as opened:
        for table in (feedback, feedback_history, records):
            opened.execute(delete(table))
        yield opened


def entry(seq, *, thumb=1, at=0, writer="w1", **changes):
    data = {
        "feedback_id": f"fb{writer}{seq}",
        "tenant": "maple",
        "app": "teller",
        "target": "req_1",
        "call_id": "req_1",
        "choice": None,
        "key": "thumbs",
        "value": str(thumb),
        "thumb": thumb,
        "label": None,
        "rater": "anne",
        "rater_kind": "end_user",
        "place": "CA-QC",
        "occurred_us": US,
        "received_us": US + at,
        **changes,
    }
    return Entry(writer=writer, seq=seq, t=US, kind="feedback", data=data, prev="")


def standing(connection):
    return [
        tuple(row) for row in connection.execute(select(feedback.c.thumb, feedback.c.writer, feedback.c.seq))
    ]


def test_a_rating_stands_as_it_was_given(connection):
    """With its score between 0 and 1 in millionths."""
    rows.project_feedback(connection, entry(1))
    row = connection.execute(select(feedback)).mappings().one()
    assert (row["target"], row["thumb"], row["score_ppm"], row["rater"]) == ("req_1", 1, 1_000_000, "anne")


def test_projecting_twice_changes_nothing(connection):
    """The projector may read an entry again after a crash."""
    for _ in range(2):
        rows.project_feedback(connection, entry(1))
        rows.project_feedback(connection, entry(2, thumb=0, at=5))
    assert standing(connection) == [(0, "w1", 2)]
    assert len(connection.execute(select(feedback_history.c.id)).all()) == 2


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_newest_counts_in_whatever_order_they_come(connection, order):
    """Writers are projected apart; what was received last stands, the others are history."""
    for seq in order:
        rows.project_feedback(connection, entry(seq, thumb=seq % 2, at=seq, writer=f"w{seq}"))
    assert standing(connection) == [(1, "w3", 3)]
    history = connection.execute(
        select(feedback_history.c.seq, feedback_history.c.superseded_us).order_by(feedback_history.c.seq)
    ).all()
    assert [seq for seq, _ in history] == [1, 2, 3]
    assert [superseded is not None for _, superseded in history] == [True, True, False]


def test_the_same_feedback_id_counts_once(connection):
    """Two workers may have taken the same POST while the database was away."""
    rows.project_feedback(connection, entry(1, feedback_id="same"))
    rows.project_feedback(connection, entry(1, feedback_id="same", writer="w2", thumb=0, at=9))
    assert standing(connection) == [(1, "w1", 1)]
    found = rows.stored(connection, tenant="maple", feedback_id="same")
    assert (found.target, found.key, found.value) == ("req_1", "thumbs", "1")
    assert rows.stored(connection, tenant="birch", feedback_id="same") is None


def test_raters_targets_and_keys_stand_beside_one_another(connection):
    """One rating per (target, key, rater)."""
    rows.project_feedback(connection, entry(1))
    rows.project_feedback(connection, entry(2, rater="jean"))
    rows.project_feedback(connection, entry(3, target="req_1.1", choice=1))
    rows.project_feedback(connection, entry(4, key="helpful", thumb=None, value="0.5"))
    assert len(standing(connection)) == 4


def test_no_comment_ever_stands_in_these_tables(connection):
    """Comments are content: sealed, and kept in the content store only."""
    rows.project_feedback(connection, entry(1))
    rows.project_feedback(connection, entry(2, at=5, comment="a word"))
    for table in (feedback, feedback_history):
        assert set(connection.scalars(select(table.c.comment))) == {None}


def test_an_entry_of_another_shape_is_an_error(connection):
    """A bug is heard of, not stored."""
    with pytest.raises(TypeError, match="no `target`"):
        rows.project_feedback(connection, entry(1, target=None))
    with pytest.raises(TypeError, match="no `received_us`"):
        rows.project_feedback(connection, entry(1, received_us="now"))


def test_a_vendors_id_works_where_it_is_unambiguous_in_the_tenant(connection):
    """Two calls with one id name neither; another tenant's does not count."""
    record(connection, "req_1", vendor_id="chatcmpl-1")
    record(connection, "req_2", vendor_id="chatcmpl-2")
    record(connection, "req_3", vendor_id="chatcmpl-2")
    record(connection, "req_4", vendor_id="chatcmpl-1", tenant="birch")
    assert rows.call_of(connection, tenant="maple", vendor_id="chatcmpl-1") == "req_1"
    assert rows.call_of(connection, tenant="maple", vendor_id="chatcmpl-2") is None
    assert rows.call_of(connection, tenant="maple", vendor_id="chatcmpl-3") is None
