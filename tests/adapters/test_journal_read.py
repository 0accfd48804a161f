"""Reading journals: whole lines only, and every change of a chain found at its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.journal_file import FileJournal, verify
from gateway.adapters.journal_read import Garbled, Tail, parse, segments
from gateway.core.canonical import digest

LINES = 12


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed writer of twelve entries in one segment, and a second writer that adopted it."""
    root = tmp_path_factory.mktemp("journal")
    journal = FileJournal.claim(root, place="p")
    for n in range(LINES - 1):
        journal.write("x", {"n": n, "name": "é"})
    journal.close()
    return journal.folder


def changed(original: Path, folder: Path, content: bytes) -> Path:
    """The writer with another content, under its own name."""
    copy = folder / original.name
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    (copy / "00000001.jsonl").write_bytes(content)
    return copy


@given(st.data())
def test_any_flipped_bit_is_found(
    original: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever bit of whatever line is changed, verification names that line or the next.

    The last line is pinned by nothing yet: a flip there shows only if it is no longer an
    entry in canonical form, so it is left out here and has its own test.
    """
    content = bytearray(segments(original)[0].read_bytes())
    last = bytes(content).rstrip(b"\n").rfind(b"\n") + 1
    where = data.draw(st.integers(0, last - 1))
    content[where] ^= 1 << data.draw(st.integers(0, 7))
    folder = changed(original, tmp_path_factory.mktemp("flip"), bytes(content))
    report = verify(folder)
    line = segments(original)[0].read_bytes()[:where].count(b"\n") + 1
    assert not report.ok
    assert report.problems[0].file.endswith("00000001.jsonl")
    assert report.problems[0].line in {line, line + 1}


@given(st.data())
def test_dropped_repeated_and_reordered_lines_are_found(
    original: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Taking a line out, twice in, or elsewhere breaks the chain at that place."""
    lines = segments(original)[0].read_bytes().splitlines(keepends=True)
    action = data.draw(st.sampled_from(["drop", "repeat", "swap"]))
    where = data.draw(st.integers(0, len(lines) - 2))
    if action == "drop":
        del lines[where]
    elif action == "repeat":
        lines.insert(where, lines[where])
    else:
        lines[where], lines[where + 1] = lines[where + 1], lines[where]
    folder = changed(original, tmp_path_factory.mktemp("lines"), b"".join(lines))
    report = verify(folder)
    assert not report.ok
    assert report.problems[0].line in {where + 1, where + 2}


def test_a_rewritten_tail_is_found_once_it_is_adopted(original: Path, tmp_path: Path) -> None:
    """The chain alone cannot show lost last entries; the adopter's entry pins the end."""
    lines = segments(original)[0].read_bytes().splitlines()
    root = tmp_path / "j"
    folder = changed(original, root / "p", b"\n".join(lines[:-1]) + b"\n")
    assert verify(root).ok
    adopter = FileJournal.claim(root, place="p")
    adopter.write("writer.adopted", {"writer": folder.name, "seq": len(lines), "head": digest(lines[-1])})
    report = verify(root)
    assert [problem.line for problem in report.problems] == [0]
    assert folder.name in report.problems[0].file
    shutil.rmtree(folder)
    assert "missing" in verify(root).problems[0].message
    adopter.close()


def test_a_torn_tail_is_found_but_not_in_a_living_writer(original: Path, tmp_path: Path) -> None:
    """Half a line at the end: of a dead writer a problem, of a living one an entry being written."""
    content = segments(original)[0].read_bytes()
    report = verify(changed(original, tmp_path / "dead", content + b'{"half'))
    assert [(p.line, "torn" in p.message) for p in report.problems] == [(LINES + 1, True)]
    live = FileJournal.claim(tmp_path / "live", place="p")
    with segments(live.folder)[0].open("ab") as file:
        file.write(b'{"half')
    report = verify(tmp_path / "live")
    assert report.ok
    assert report.writers[0].end == "live"
    live.close()


def test_a_missing_segment_is_found(tmp_path: Path) -> None:
    """A gap in the files is named."""
    journal = FileJournal.claim(tmp_path, place="p", segment_bytes=300)
    for n in range(9):
        journal.write("x", {"n": n})
    journal.close()
    segments(journal.folder)[1].unlink()
    report = verify(tmp_path)
    assert any("00000002.jsonl is missing" in problem.message for problem in report.problems)


def test_entries_after_the_end_are_found(tmp_path: Path) -> None:
    """``writer.closed`` is the last entry of a writer that ended well."""
    journal = FileJournal.claim(tmp_path, place="p")
    journal.write("writer.closed", {})
    assert verify(tmp_path).writers[0].end == "closed"
    journal.write("x", {})
    assert "follows the end" in str(verify(tmp_path).problems[0])
    journal.close()


def test_an_entry_of_another_writer_is_found(original: Path, tmp_path: Path) -> None:
    """A whole journal under another writer's name does not pass."""
    copy = tmp_path / "20260101T000000-000000000000"
    shutil.copytree(original, copy)
    assert "was moved here" in verify(copy).problems[0].message


def test_no_journal_is_an_error(tmp_path: Path) -> None:
    """Verifying nothing is not success."""
    with pytest.raises(FileNotFoundError, match="no journal"):
        verify(tmp_path / "nowhere")


@given(st.binary(max_size=200))
def test_garbage_is_never_an_entry(line: bytes) -> None:
    """Any bytes are an entry or Garbled, nothing else."""
    with pytest.raises(Garbled):
        parse(line)


def test_an_entry_of_a_newer_version_says_so() -> None:
    """Reading tomorrow's journal asks for tomorrow's program."""
    with pytest.raises(Garbled, match="version 2"):
        parse(b'{"v":2}')


def test_the_tail_reads_whole_lines_in_parts(tmp_path: Path) -> None:
    """However small the steps and whenever segments turn, each entry comes once, in order."""
    journal = FileJournal.claim(tmp_path, place="p", segment_bytes=700)
    tail = Tail(journal.folder)
    seen = []
    for n in range(30):
        journal.write("x", {"n": n})
        if n % 7 == 0:
            seen += tail.read(most=2, chunk_bytes=64)
    while part := tail.read(most=3, chunk_bytes=64):
        seen += part
    assert [entry.seq for entry in seen] == list(range(1, 32))
    with segments(journal.folder)[-1].open("ab") as file:
        file.write(b'{"v":1,"half')
    assert tail.read() == []
    journal.close()
