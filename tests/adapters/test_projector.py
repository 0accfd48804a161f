"""The projector: every entry into the tables once, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from gateway.adapters.journal_file import FileJournal
from gateway.adapters.projector import Projector
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.tables import cursors, feedback_history, ledger, records, slices
from gateway.core.budget import settlement
from gateway.core.prices import bound
from gateway.core.record import Entry, call_record, intent, outcome
from gateway.core.values import Charge, Usage
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.core.maple import NOW, attempt, call, snapshot, want

MOST = bound(snapshot(), "here", input_tokens=10, output_tokens=10, at=NOW)
assert isinstance(MOST, Charge)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FileJournal]:
    """This worker's journal."""
    made = FileJournal.claim(tmp_path / "j", place="p", segment_bytes=20_000)
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh SQLite database."""
    with opened(sqlite_url(tmp_path)) as made:
        yield made


def served(journal: FileJournal, name: str) -> None:
    """Journal one served call that spent 1,000 input tokens."""
    tried = attempt(f"{name}.a1", (want(10**9, 10**12),))
    usage = Usage(input=1000)
    settled = settlement(snapshot(), "here", tried.hold, bound=MOST, usage=usage, at=NOW)
    journal.write("attempt.intent", intent(tried, bound=MOST))
    last = outcome(
        tried, status="served", code=None, usage=usage, settled=settled, vendor_id="v", vendor_model="m",
        reported_place=None, ended=NOW,
    )  # fmt: skip
    journal.write(
        "call.record",
        call_record(
            call(name), alias="chat", ended=NOW, outcome="served", status=200, decision="d", rules=["CA-1"],
            labels=[("client", "app teller")], masked={"sin": 1}, masked_reply={}, attempts=1,
            snapshot="a" * 64, attempt=last,
        ),
    )  # fmt: skip


def counts(store: Store) -> tuple[int, int, int, int]:
    """Ledger rows, records, spend in the slices, spend in the ledger."""
    with store.read() as connection:
        return (
            connection.execute(select(func.count()).select_from(ledger)).scalar_one(),
            connection.execute(select(func.count()).select_from(records)).scalar_one(),
            int(connection.execute(select(func.coalesce(func.sum(slices.c.spent), 0))).scalar_one()),
            int(connection.execute(select(func.coalesce(func.sum(ledger.c.spend_nano), 0))).scalar_one()),
        )


def test_every_entry_once_and_rebuilt_spend_is_the_counter(journal: FileJournal, store: Store) -> None:
    """Over many segments and however often it runs: the slices' spend is the ledger's."""
    for n in range(100):
        served(journal, f"req_{n}")
    projector = Projector(store, journal.folder)
    projector.drain()
    projector.drain()
    assert counts(store) == (100, 100, 61_270_000, 61_270_000)
    assert projector.lag(journal.seq) == 0
    with store.read() as connection:
        assert connection.execute(select(cursors.c.seq)).scalar_one() == journal.seq


def test_it_says_up_to_when_a_journal_is_read(journal: FileJournal, store: Store) -> None:
    """With the last entries of a look that saw the end; of an idle writer now and then: months close."""
    clock = [NOW]

    def read_us() -> int | None:
        with store.read() as connection:
            return connection.execute(select(cursors.c.read_us)).scalar_one_or_none()

    served(journal, "req_1")
    projector = Projector(store, journal.folder, now=lambda: clock[0])
    projector.step()
    assert read_us() == NOW // 1000
    for seconds, said in ((30, 30), (60, 30), (89, 30), (91, 91)):
        clock[0] = NOW + seconds * 10**9
        projector.step()
        assert read_us() == NOW // 1000 + said * 1_000_000
    served(journal, "req_2")
    clock[0] = NOW + 92 * 10**9
    projector.step()
    assert read_us() == NOW // 1000 + 92 * 1_000_000


def test_a_new_projector_goes_on_where_the_cursor_stands(journal: FileJournal, store: Store) -> None:
    """What is in the tables is folded but not inserted again."""
    served(journal, "req_1")
    Projector(store, journal.folder).drain()
    served(journal, "req_2")
    second = Projector(store, journal.folder)
    second.drain()
    assert counts(store) == (2, 2, 1_225_400, 1_225_400)
    assert second.fold.open == {}


class Flaky(Store):
    """A store whose writes fail now and then, before or after the commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.failures: list[str] = []

    @contextmanager
    def write(self) -> Iterator[Connection]:
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise StoreUnavailable
        with super().write() as connection:
            yield connection
        if failure == "after":
            raise StoreUnavailable


@pytest.mark.parametrize("failure", ["before", "after"])
def test_a_database_that_goes_away_loses_and_repeats_nothing(
    journal: FileJournal, store: Store, tmp_path: Path, failure: str
) -> None:
    """Gone before the commit: tried again. Gone after it, unheard: not booked twice."""
    served(journal, "req_1")
    flaky = Flaky(sqlite_url(tmp_path))
    projector = Projector(flaky, journal.folder)
    flaky.failures = [failure, failure]
    with pytest.raises(StoreUnavailable):
        projector.drain()
    assert projector.lag(journal.seq) == 3
    for _ in range(3):
        try:
            projector.drain()
        except StoreUnavailable:
            continue
    assert counts(store)[:2] == (1, 1)
    assert counts(store)[2] == 612_700
    assert projector.lag(journal.seq) == 0
    flaky.close()


def test_an_entry_that_no_table_takes_does_not_hold_up_the_ledger(journal: FileJournal, store: Store) -> None:
    """A handler that fails is skipped, counted and told; rows before and after it are in."""
    told: list[tuple[int, str]] = []

    def handler(connection: Connection, entry: Entry) -> None:
        connection.execute(feedback_history.insert(), {"target": "x"})

    served(journal, "req_1")
    seq = journal.write("feedback", {"target": "req_1"})
    served(journal, "req_2")
    projector = Projector(
        store,
        journal.folder,
        handlers={"feedback": handler},
        skipped=lambda entry, why: told.append((entry.seq, why)),
    )
    projector.drain()
    assert counts(store)[:2] == (2, 2)
    assert told == [(seq, "IntegrityError")]
    assert projector.skipped == 1


def test_handlers_get_their_kinds_once(journal: FileJournal, store: Store) -> None:
    """Another room's entries go to its handler in the same transaction; other kinds are passed over."""
    seen: list[str] = []
    journal.write("feedback", {"n": 1})
    journal.write("bundle.activated", {"n": 2})
    handlers = {"feedback": lambda _, entry: seen.append(entry.kind)}
    Projector(store, journal.folder, handlers=handlers).drain()
    Projector(store, journal.folder, handlers=handlers).drain()
    assert seen == ["feedback"]


async def test_it_runs_beside_the_calls_and_stops(journal: FileJournal, store: Store) -> None:
    """Entries appear in the tables while it runs; ``stop`` ends it."""
    projector = Projector(store, journal.folder, interval_s=0.01)
    task = asyncio.ensure_future(projector.run())
    served(journal, "req_1")
    for _ in range(500):
        if projector.projected == journal.seq:
            break
        await asyncio.sleep(0.01)
    assert counts(store)[:2] == (1, 1)
    projector.stop()
    await asyncio.wait_for(task, 5)


async def test_it_outlives_an_outage(journal: FileJournal, tmp_path: Path) -> None:
    """The database comes back, and the lag goes to nothing by itself."""
    url = sqlite_url(tmp_path)
    with opened(url):
        pass
    flaky = Flaky(url)
    flaky.failures = ["before"] * 2
    served(journal, "req_1")
    projector = Projector(flaky, journal.folder, interval_s=0.01)
    task = asyncio.ensure_future(projector.run())
    for _ in range(500):
        if projector.projected == journal.seq:
            break
        await asyncio.sleep(0.01)
    assert projector.lag(journal.seq) == 0
    assert projector.failures <= 1
    projector.stop()
    await asyncio.wait_for(task, 5)
    flaky.close()
