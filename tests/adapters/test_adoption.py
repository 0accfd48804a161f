"""Adoption: what a killed worker held is booked or released, once, by whoever takes its lock."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from gateway.adapters.adoption import Adoption
from gateway.adapters.journal_file import FileJournal, try_lock, verify
from gateway.adapters.journal_read import segments
from gateway.adapters.leases import LeasedBudgets
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.tables import ledger, records, slices, writers
from gateway.core.budget import settlement
from gateway.core.prices import bound
from gateway.core.record import call_record, intent, outcome
from gateway.core.values import Charge, Hold, Usage
from tests.adapters.store_sql.databases import committed_is_the_sum_of_granted, opened, sqlite_url
from tests.core.maple import NOW, attempt, call, snapshot, want

LIMIT = 10**12
MOST = bound(snapshot(), "here", input_tokens=10, output_tokens=10, at=NOW)
assert isinstance(MOST, Charge)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both databases."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The workers' database."""
    with opened(url) as made:
        yield made


def stands(store: Store) -> tuple[int, int]:
    """Spent and granted over all slices."""
    with store.read() as connection:
        rows = connection.execute(select(slices.c.spent, slices.c.granted)).all()
    return sum(row[0] for row in rows), sum(row[1] for row in rows)


async def dies(store: Store, root: Path, *, served: int = 0, open_: int = 0) -> FileJournal:
    """A worker that served calls, left attempts open, and is gone."""
    journal = FileJournal.claim(root, place="p")
    budgets = LeasedBudgets(store, journal.writer)
    wants = (want(100, LIMIT),)
    for n in range(served + open_):
        name = f"req_{journal.writer[-4:]}{n}"
        hold = await budgets.reserve(f"{name}.a1", wants)
        assert isinstance(hold, Hold)
        tried = replace(attempt(f"{name}.a1", wants), hold=hold)
        journal.write("attempt.intent", intent(tried, bound=MOST))
        if n < served:
            usage = Usage(input=1, output=1)
            settled = settlement(snapshot(), "here", hold, bound=MOST, usage=usage, at=NOW)
            settled = replace(settled, spends={"team:branch:CAD": 30})
            last = outcome(
                tried, status="served", code=None, usage=usage, settled=settled, vendor_id=None,
                vendor_model=None, reported_place=None, ended=NOW,
            )  # fmt: skip
            journal.write("call.record", _record(name, last))
    journal.close()
    return journal


def _record(name: str, last: dict[str, object]) -> dict[str, object]:
    return call_record(
        call(name), alias="chat", ended=NOW, outcome="served", status=200, decision=None, rules=[],
        labels=[], masked={}, masked_reply={}, attempts=1, snapshot="a" * 64, attempt=last,
    )  # fmt: skip


def adopter(store: Store, root: Path) -> tuple[FileJournal, Adoption]:
    """A living worker that adopts."""
    journal = FileJournal.claim(root, place="p")
    return journal, Adoption(store, root, journal)


@pytest.mark.slow
def test_a_killed_process_holds_nothing_after_adoption(store: Store, url: str, tmp_path: Path) -> None:
    """Kill -9 while holding: every intent is a row, estimated and at its hold; the rest is released.

    Also the hold whose intent was never journalled, and the slack of the slice.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.worker", url, str(tmp_path / "j"), "hold", "5", "100", "9000"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        dead = child.stdout.readline().strip()
        journal, adoption = adopter(store, tmp_path / "j")
        assert adoption.sweep() == []  # it lives
        assert stands(store)[1] >= 600
        child.kill()
        child.wait(timeout=10)
    (adopted,) = adoption.sweep()
    assert (adopted.writer, adopted.abandoned) == (dead, 5)
    assert stands(store) == (500, 500)
    assert committed_is_the_sum_of_granted(store)
    with store.read() as connection:
        rows = connection.execute(select(ledger.c.status, ledger.c.estimated, ledger.c.nano)).all()
        kept = connection.execute(select(records.c.outcome)).all()
        state = connection.execute(select(writers.c.state).where(writers.c.id == dead)).scalar_one()
    assert [tuple(row) for row in rows] == [("abandoned", True, MOST.nano)] * 5
    assert [row[0] for row in kept] == ["internal"] * 5
    assert state == "closed"
    assert verify(tmp_path / "j").ok
    assert adoption.sweep() == []
    journal.close()


async def test_what_was_served_is_booked_as_it_was(store: Store, tmp_path: Path) -> None:
    """Outcomes that the dead writer journalled but never projected are its own rows."""
    await dies(store, tmp_path / "j", served=3, open_=1)
    journal, adoption = adopter(store, tmp_path / "j")
    (adopted,) = adoption.sweep()
    assert adopted.abandoned == 1
    assert stands(store) == (3 * 30 + 100, 3 * 30 + 100)
    with store.read() as connection:
        rows = connection.execute(select(ledger.c.status, ledger.c.estimated).order_by(ledger.c.status)).all()
    assert [tuple(row) for row in rows] == [("abandoned", True), *[("served", False)] * 3]
    journal.close()


async def test_the_adopters_own_projection_books_nothing_twice(store: Store, tmp_path: Path) -> None:
    """The adopter's journal holds the abandoned outcomes too: projecting it changes nothing."""
    await dies(store, tmp_path / "j", open_=2)
    journal, adoption = adopter(store, tmp_path / "j")
    adoption.sweep()
    before = stands(store)
    Projector(store, journal.folder).drain()
    assert stands(store) == before == (200, 200)
    with store.read() as connection:
        assert len(connection.execute(select(ledger.c.attempt_id)).all()) == 2
        assert len(connection.execute(select(records.c.call_id)).all()) == 2
    journal.close()


@pytest.mark.parametrize("order", ["adopter first", "dead first"])
async def test_an_adopter_that_dies_half_way_is_adopted_too(store: Store, tmp_path: Path, order: str) -> None:
    """It wrote the outcomes but did not release: whoever comes next books each attempt once."""
    dead = await dies(store, tmp_path / "j", open_=2)
    middle, adoption = adopter(store, tmp_path / "j")
    adoption.sweep()
    # Undo what the database got, as if the adopter had died before its transaction.
    with store.write() as connection:
        connection.execute(ledger.delete())
        connection.execute(records.delete())
        connection.execute(update(slices).values(spent=0))
        connection.execute(update(writers).values(state="open"))
    (dead.folder / "adopted").unlink()
    middle.close()
    journal, adoption = adopter(store, tmp_path / "j")
    if order == "adopter first":
        Projector(store, middle.folder).drain()
    done = adoption.sweep()
    if order == "adopter first":  # nothing is told a third time
        assert [each.abandoned for each in done] == [0, 0]
    Projector(store, journal.folder).drain()
    assert stands(store) == (200, 200)
    assert committed_is_the_sum_of_granted(store)
    with store.read() as connection:
        assert len(connection.execute(select(ledger.c.attempt_id)).all()) == 2
    journal.close()


async def test_two_adopters_cannot_both_win(store: Store, tmp_path: Path) -> None:
    """The lock decides; who comes later finds it done."""
    dead = await dies(store, tmp_path / "j", open_=1)
    one, first = adopter(store, tmp_path / "j")
    two, second = adopter(store, tmp_path / "j")
    lock = try_lock(dead.folder)
    assert lock is not None
    assert first.sweep() == second.sweep() == []
    os.close(lock)
    assert [len(first.sweep()), len(second.sweep())] == [1, 0]
    one.close()
    two.close()


async def test_a_torn_line_is_set_aside_and_told(store: Store, tmp_path: Path) -> None:
    """Half an entry of a dying machine is kept in ``torn``, and the chain verifies again."""
    dead = await dies(store, tmp_path / "j", served=1)
    with segments(dead.folder)[-1].open("ab") as file:
        file.write(b'{"data":{"half')
    journal, adoption = adopter(store, tmp_path / "j")
    (adopted,) = adoption.sweep()
    assert adopted.torn_bytes == 14
    assert (dead.folder / "torn").read_bytes() == b'{"data":{"half'
    assert verify(tmp_path / "j").ok
    assert {w.end for w in verify(tmp_path / "j").writers} == {"adopted", "live"}
    journal.close()


async def test_a_journal_that_cannot_be_read_keeps_its_slices(store: Store, tmp_path: Path) -> None:
    """Doubt denies: what may have been spent stays held, and somebody is told."""
    dead = await dies(store, tmp_path / "j", open_=1)
    path = segments(dead.folder)[0]
    path.write_bytes(path.read_bytes() + b"garbage\n")
    told: list[tuple[str, str]] = []
    journal = FileJournal.claim(tmp_path / "j", place="p")
    adoption = Adoption(store, tmp_path / "j", journal, failed=lambda who, why: told.append((who, why)))
    assert adoption.sweep() == []
    assert [who for who, _ in told] == [dead.writer]
    assert stands(store)[1] >= 100
    journal.close()


async def test_an_overrun_before_the_crash_still_counts(store: Store, tmp_path: Path) -> None:
    """Spend beyond the slice, not yet told to the database, grows the window at adoption."""
    await dies(store, tmp_path / "j", served=1)
    with store.write() as connection:
        connection.execute(update(slices).values(granted=0))
        connection.exec_driver_sql("UPDATE budget_windows SET committed = 0")
    journal, adoption = adopter(store, tmp_path / "j")
    adoption.sweep()
    assert stands(store) == (30, 30)
    assert committed_is_the_sum_of_granted(store)
    journal.close()


async def test_a_worker_that_ends_well_leaves_nothing_to_adopt(store: Store, tmp_path: Path) -> None:
    """Retiring projects to the end, releases the slices and closes the writer."""
    journal = FileJournal.claim(tmp_path / "j", place="p")
    budgets = LeasedBudgets(store, journal.writer)
    hold = await budgets.reserve("req_1.a1", (want(100, LIMIT),))
    assert isinstance(hold, Hold)
    tried = replace(attempt(wants=hold.wants), hold=hold)
    journal.write("attempt.intent", intent(tried, bound=MOST))
    projector = Projector(store, journal.folder)
    adoption = Adoption(store, tmp_path / "j", journal)
    assert not adoption.retire(projector)  # an attempt is open
    usage = Usage(input=1)
    settled = replace(
        settlement(snapshot(), "here", hold, bound=MOST, usage=usage, at=NOW), spends={"team:branch:CAD": 7}
    )
    budgets.settle(hold, settled.spends)
    last = outcome(
        tried, status="served", code=None, usage=usage, settled=settled, vendor_id=None, vendor_model=None,
        reported_place=None, ended=NOW,
    )  # fmt: skip
    journal.write("call.record", _record("req_1", last))
    await budgets.close()
    assert adoption.retire(projector)
    journal.close()
    assert stands(store) == (7, 7)
    report = verify(tmp_path / "j")
    assert report.ok
    assert [w.end for w in report.writers] == ["closed"]
    other, second = adopter(store, tmp_path / "j")
    assert second.sweep() == []
    other.close()
