"""``borderpost audit verify``: the exit status tells a script, the text tells a person."""

from __future__ import annotations

import pytest

from tests.cli.desk import Desk


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    assert desk.run("keys", "create", "teller").exit_code == 0
    return desk


def test_a_whole_journal_is_status_0(desk):
    """By the settings, by the data folder, by the journal itself."""
    for arguments in ([], ["--data", str(desk.data)], ["--data", str(desk.journal)]):
        done = desk.run("audit", "verify", *arguments)
        assert done.exit_code == 0
        assert "whole" in done.stdout


def test_an_edited_entry_is_status_1_and_named(desk):
    """File and line."""
    [segment] = desk.journal.rglob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"app":"teller"', b'"app":"taller"'))
    done = desk.run("audit", "verify")
    assert done.exit_code == 1
    assert "NOT whole" in done.stdout
    assert segment.name in done.stderr


def test_nothing_to_verify_is_not_a_pass(tmp_path):
    """An empty folder, or none, is status 2."""
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        assert Desk(tmp_path).run("audit", "verify", "--data", str(tmp_path / folder)).exit_code == 2
