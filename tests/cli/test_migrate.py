"""`borderpost migrate` makes the schema once and refuses what it does not know."""

from __future__ import annotations

import sqlite3

from click.testing import CliRunner

from gateway.cli import main


def migrate(tmp_path, **environ):
    environ = {"BORDERPOST_DATA_DIR": str(tmp_path), **environ}
    return CliRunner().invoke(main, ["migrate"], env=environ)


def test_it_migrates_once(tmp_path):
    """The first run makes the tables, the second has nothing to do."""
    first, second = migrate(tmp_path), migrate(tmp_path)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output.startswith("migrated to revision")
    assert second.output.startswith("already at revision")


def test_a_newer_database_is_refused(tmp_path):
    """A schema from the future is left alone, with exit 2."""
    migrate(tmp_path)
    with sqlite3.connect(tmp_path / "borderpost.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    result = migrate(tmp_path)
    assert result.exit_code == 2
    assert "9999" in result.output


def test_a_database_that_is_away_is_exit_1(tmp_path):
    """Nothing listens there: the caller may try again."""
    result = migrate(tmp_path, BORDERPOST_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert result.exit_code == 1
    assert "nobody" not in result.output


def test_wrong_settings_are_exit_2(tmp_path):
    """As everywhere on the command line."""
    assert migrate(tmp_path, BORDERPOST_WORKERS="0").exit_code == 2
