"""What commands open, and how they say what cannot be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import opened
from tests.cli.desk import Desk


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_wrong_setting_ends_the_command_with_its_name(desk):
    """Status 2, on standard error."""
    done = desk.run("keys", "list", BORDERPOST_PORT="8080")
    assert done.exit_code == 2
    assert "BORDERPOST_PORT" in done.stderr
    assert done.stdout == ""


def test_policies_that_cannot_be_used_are_said_with_their_problems(tmp_path):
    """Every problem with its file."""
    (tmp_path / "policies").mkdir()
    done = Desk(tmp_path, policies=tmp_path / "policies").run("report", "spend")
    assert done.exit_code == 2
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_away_is_status_1(desk):
    """A script can tell what to wait for from what to mend. The address is not shown."""
    away = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
    done = desk.run("keys", "list", BORDERPOST_DATABASE_URL=away)
    assert done.exit_code == 1
    assert "does not answer" in done.stderr
    assert "secret" not in done.stderr


def test_a_journal_that_cannot_be_written_does_not_undo_the_change(desk):
    """The change stands in the database; that it was not noted is said."""
    desk.data.mkdir()
    desk.journal.write_text("a file where a folder should be")
    done = desk.run("keys", "create", "teller")
    assert done.exit_code == 0
    assert "not noted in the journal" in done.stderr
    assert done.stdout.startswith("bp_live_")


def test_what_a_demo_left_is_read_with_the_policies_it_ran_on(tmp_path, monkeypatch):
    """In a folder without policies of its own."""
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path, policies=tmp_path / "policies")
    assert desk.run("report", "spend").exit_code == 2
    (tmp_path / ".borderpost").mkdir()
    (tmp_path / ".borderpost" / "demo.json").write_text("{}")
    assert desk.run("report", "spend").exit_code == 0


def test_a_demo_without_policies_of_its_own_runs_on_the_starters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("policies")
    assert opened.in_force(folder) == folder
    opened.HOME.mkdir()
    (opened.HOME / "demo.json").write_text("{}")
    assert opened.in_force(folder) == opened.starter_folder()
    folder.mkdir()
    assert opened.in_force(folder) == folder
