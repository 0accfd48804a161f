"""Checking closed months: whoever changed a row, a figure or a statement past us is found out."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import delete, insert, select, text, update

from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries, period_statements
from gateway.core.canonical import encode
from gateway.reports.statements import NotClosed, restate
from gateway.reports.verifying import verify
from tests.bookkeeping import FINA, add, at, bank, closed, come, database, entry

OCT, AFTER = at("2026-10-15 12:00"), at("2026-11-02 09:00")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """October closed: four attempts and an entry; restated with one that came later."""
    with database(request.param, request, tmp_path) as made:
        come(made, *((f"a{n}", OCT + n * 1000) for n in range(4)))
        add(made, entry("gpu:1", "2026-10", start=OCT))
        closed(made, "2026-10", now=AFTER)
        come(made, ("late", OCT))
        restate(made, bank(), "2026-10", now=AFTER, by=FINA, reason="one came late")
        yield made


def past_us(store, *statements):
    """Do what one can do who may drop our triggers."""
    with store.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            for name in names.scalars().all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            connection.execute(statement)


def problems(store, genuine=lambda *_: ""):
    with store.read() as connection:
        found = verify(connection, "maple", "2026-10", genuine=genuine)
    return {check.version: check.problems for check in found}


def test_untouched_books_hold(store):
    """Both versions, with the number of rows that were read again."""
    with store.read() as connection:
        found = verify(connection, "maple", "2026-10", genuine=lambda *_: "")
    assert [(check.version, check.rows, check.problems) for check in found] == [(1, 5, ()), (2, 1, ())]


def test_a_changed_row_is_named(store):
    """Also if the change leaves every sum as it was."""
    past_us(store, update(ledger).where(ledger.c.attempt_id == "a2").values(model="cheaper"))
    [said] = problems(store)[1]
    assert said.startswith("attempt `a2` was changed: the hash is")


def test_a_deleted_row_is_named_by_the_one_behind_it(store):
    """The first, one between, and the last."""
    past_us(store, delete(ledger).where(ledger.c.attempt_id == "a1"))
    assert problems(store)[1][0].startswith("a row before attempt `a2` is gone")
    past_us(store, delete(ledger_entries))
    past_us(store, delete(ledger).where(ledger.c.attempt_id == "a2"))
    assert "is gone" in problems(store)[1][0] or "was changed" in problems(store)[1][0]


def test_the_last_row_is_missed_too(store):
    """Nothing stands behind it."""
    past_us(store, delete(ledger_entries))
    assert problems(store)[1][0].startswith("the last row is gone")


def test_a_smuggled_row_is_named(store):
    """Inserted past the projector, as if it had been there."""
    with store.read() as connection:
        values = dict(connection.execute(select(ledger).where(ledger.c.attempt_id == "a1")).mappings().one())
    past_us(store, insert(ledger).values({**values, "attempt_id": "a1x", "seq": 99}))
    assert problems(store)[1][0].startswith("attempt `a1x` was not there when the period was closed")


def test_a_restatement_is_checked_by_its_own_rows(store):
    """What came later is named there, and must still be as it was."""
    past_us(store, update(ledger).where(ledger.c.attempt_id == "late").values(spend_nano=1))
    assert problems(store)[1] == ()
    assert problems(store)[2][0].startswith("attempt `late` was changed")
    past_us(store, delete(ledger).where(ledger.c.attempt_id == "late"))
    assert problems(store)[2] == ("`attempt:late` is gone",)


def edited(store, version, change):
    """Write a statement anew with a change in it, in canonical form."""
    mine = period_statements.c.version == version
    with store.read() as connection:
        data = json.loads(connection.execute(select(period_statements.c.statement).where(mine)).scalar_one())
    change(data)
    past_us(store, update(period_statements).where(mine).values(statement=encode(data).decode()))


def test_an_edited_figure_is_found(store):
    """The sums are computed again from the rows; the next version no longer follows either."""
    edited(store, 1, lambda data: data["groups"][0].update(nano="1"))
    found = problems(store)
    assert found[1] == ("the figures of the statement are not the sums of its rows: it was edited",)
    assert found[2] == ("version 2 does not follow version 1 as it is now",)


def test_other_edits_are_found(store):
    """The hash, the bounds, the form, the text."""
    edited(store, 1, lambda data: data.update(sha256="0" * 64))
    assert "the statement and its row name different hashes" in problems(store)[1]
    edited(store, 1, lambda data: data.update(start_us=1))
    assert "the bounds of the period are not those of the statement" in problems(store)[1]
    mine = period_statements.c.version == 1
    past_us(store, update(period_statements).where(mine).values(statement='{"b":1, "a":2}'))
    assert problems(store)[1][0] == "the statement is not in canonical form: it was edited"
    past_us(store, update(period_statements).where(mine).values(statement="not json"))
    assert problems(store)[1][0] == "the statement is not canonical JSON: it was edited"


def test_a_column_that_is_gone_is_said(store):
    """Not a wrong hash."""
    edited(store, 1, lambda data: data["columns"]["ledger"].append("gone"))
    assert "`ledger.gone` is in the hash and no longer in the database" in problems(store)[1]


def test_what_was_never_closed_cannot_be_checked(store):
    """The refusal says so."""
    with store.read() as connection, pytest.raises(NotClosed, match="2026-11 is not closed"):
        verify(connection, "maple", "2026-11", genuine=lambda *_: "")


def test_a_wrong_signature_is_said(request, tmp_path):
    """Whatever judges signatures has the word."""
    with database("sqlite", request, tmp_path) as store:
        come(store, ("a1", OCT))
        closed(store, "2026-10", now=AFTER, sign=lambda message: ("fina", b"p" * 32, b"s" * 64))
        seen = []
        said = problems(store, lambda *given: seen.append(given) or "not fina's")
        assert said == {1: ("not fina's",)}
        [(signer, public, signature, message)] = seen
        assert (signer, public, signature) == ("fina", b"p" * 32, b"s" * 64)
        assert json.loads(message)["format"] == "borderpost-statement-1"
