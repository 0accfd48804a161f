"""Migrations: one history that makes exactly the tables, and a database that is not ours is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from gateway.adapters.store_sql import Store, schema
from gateway.adapters.store_sql.every_table import metadata
from gateway.adapters.store_sql.schema import HEAD, SchemaMismatch, check, current, migrate
from tests.adapters.store_sql.databases import sqlite_url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both databases."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty database."""
    made = Store(url)
    with made.write() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        connection.execute(text("DROP TABLE IF EXISTS theirs"))
    yield made
    made.close()


def test_migrating_makes_the_tables_as_they_are_written(store: Store) -> None:
    """History and ``tables.py`` agree; a second run does nothing."""
    assert current(store) is None
    assert migrate(store)
    assert not migrate(store)
    assert current(store) == HEAD
    check(store)
    with store.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_head_is_the_newest_revision() -> None:
    """The constant that spares start-up an import is kept with the files."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_nothing_in_the_history_drops() -> None:
    """An upgrade loses no data; there are no downgrades."""
    for path in (Path(schema.__file__).parent / "migrations" / "versions").glob("[0-9]*.py"):
        source = path.read_text(encoding="utf-8")
        assert "op.drop_" not in source
        assert "def downgrade" not in source


def test_an_empty_database_is_to_be_migrated_first(store: Store) -> None:
    """The text says the command."""
    with pytest.raises(SchemaMismatch, match="borderpost migrate"):
        check(store)


def test_a_database_of_a_newer_version_is_refused(store: Store) -> None:
    """Rolling back the program does not roll over the data."""
    migrate(store)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for action in (migrate, check):
        with pytest.raises(SchemaMismatch, match="9999"):
            action(store)


def test_somebody_elses_database_is_refused(store: Store) -> None:
    """A URL that points at another program's tables changes nothing there."""
    with store.write() as connection:
        connection.execute(text("CREATE TABLE theirs (n INTEGER)"))
    with pytest.raises(SchemaMismatch, match="theirs"):
        migrate(store)
    assert current(store) is None


@pytest.mark.slow
def test_processes_that_migrate_at_once_do_not_collide(store: Store, url: str) -> None:
    """Four workers start on an empty database: one migrates, the others find it done."""
    code = (
        "import sys; from gateway.adapters.store_sql import Store;"
        "from gateway.adapters.store_sql.schema import migrate; s = Store(sys.argv[1]);"
        "sys.stdout.write(str(migrate(s)))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0] * 4
    assert sorted(said) == ["False", "False", "False", "True"]
