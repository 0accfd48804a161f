"""What journals on this machine hold that the ledger does not."""

from __future__ import annotations

import pytest

from gateway.adapters.journal_file import FileJournal
from gateway.adapters.unread import unread_here
from gateway.core.record import intent
from tests.adapters.test_projector import served
from tests.core.maple import NOW, attempt

END = NOW // 1000 + 1


@pytest.fixture
def journal(tmp_path):
    made = FileJournal.claim(tmp_path / "journal", place="CA-QC", segment_bytes=5_000)
    yield made
    made.close()


def found(tmp_path, journal, seen, end=END):
    return [
        (u.writer, u.place, u.why)
        for u in unread_here(tmp_path / "journal", {journal.writer: seen}, end_us=end)
    ]


def test_attempts_that_are_not_in_the_tables_are_counted(tmp_path, journal):
    """Over several segments, from the cursor on; of an unknown writer from its first entry."""
    for number in range(20):
        served(journal, f"req_{number}")
    assert len(list((tmp_path / "journal").rglob("*.jsonl"))) > 2
    mine = (journal.writer, "CA-QC")
    assert found(tmp_path, journal, journal.seq) == []
    assert found(tmp_path, journal, journal.seq - 2) == [
        (*mine, "2 entries of its journal are not in the ledger")
    ]
    assert found(tmp_path, journal, 0) == [(*mine, "40 entries of its journal are not in the ledger")]


def test_what_started_after_the_month_does_not_stop_it(tmp_path, journal):
    """An intent by its start; entries of other kinds never."""
    journal.write("attempt.intent", intent(attempt("req_1.a1"), bound=None))
    journal.write("key.created", {"key": "k"})
    assert found(tmp_path, journal, 1, end=NOW // 1000) == []
    assert found(tmp_path, journal, 1)[0][2].startswith("1 entries")


def test_an_adopted_journal_is_in_the_tables_whole(tmp_path, journal):
    """Its adopter read it to the end; hidden folders are no writers; none is none."""
    served(journal, "req_1")
    (tmp_path / "journal" / ".trash").mkdir()
    (journal.folder / "adopted").write_text("w2\n")
    assert found(tmp_path, journal, 0) == []
    assert unread_here(tmp_path / "nowhere", {}, end_us=END) == []


def test_a_journal_that_cannot_be_read_stops_it(tmp_path, journal):
    """Doubt denies: nobody can say what is in it."""
    served(journal, "req_1")
    segment = next(iter(sorted(journal.folder.glob("*.jsonl"))))
    segment.write_bytes(segment.read_bytes() + b"garbage\n")
    assert found(tmp_path, journal, 0)[0][2] == "its journal cannot be read"
