"""Migrations: bring a database to the schema of this version, or refuse it.

A database whose version we do not know is refused, never guessed at; nothing here
drops. SQLite is migrated at start (its file is ours alone); PostgreSQL by explicit
command, so that N replicas do not race an upgrade. Alembic is imported only when
there is something to do: reading one row says whether.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from gateway.adapters.store_sql.engine import Store

HEAD = "0022"
"""The newest revision. ``tests/adapters/store_sql/test_schema.py`` compares it with the files."""

_LOCK = 0x626F72646572  # any constant that no other program on this database uses


class SchemaMismatch(Exception):
    """The database is not at the version of this program. The text says the fix."""


def current(store: Store) -> str | None:
    """Return the revision of the database, or None if it is empty. Raises StoreUnavailable."""
    with store.read() as connection:
        return _current(connection)


def check(store: Store) -> None:
    """Raise SchemaMismatch unless the database is at this program's revision."""
    found = current(store)
    if found == HEAD:
        return
    if found is None:
        raise SchemaMismatch("the database is empty: run `borderpost migrate`")
    if found in _known():
        raise SchemaMismatch(f"the database is at revision `{found}`, not `{HEAD}`: run `borderpost migrate`")
    raise SchemaMismatch(_unknown(found))


def migrate(store: Store) -> bool:
    """Bring the database to HEAD; say whether anything was done.

    Safe to run from many processes at once. Raises SchemaMismatch on a database that
    a newer version, or another program, made; StoreUnavailable if it does not answer.
    """
    if current(store) == HEAD:
        return False
    with store.write() as connection:
        if store.dialect == "postgresql":
            # Held to the end of the transaction: the second migrator finds the work done.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = _current(connection)
        if found == HEAD:
            return False
        if found is not None and found not in _known():
            raise SchemaMismatch(_unknown(found))
        if found is None and (tables := inspect(connection).get_table_names()):
            raise SchemaMismatch(
                f"the database holds tables that are not ours, such as `{min(tables)}`: "
                "name an empty database"
            )
        _upgrade(connection)
    return True


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def _known() -> set[str]:
    versions = Path(__file__).parent / "migrations" / "versions"
    return {path.name.split("_", 1)[0] for path in versions.glob("[0-9]*.py")}


def _upgrade(connection: Connection) -> None:
    # A reason to import late: Alembic costs a tenth of a second that a start without work need not pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _unknown(found: str) -> str:
    return (
        f"the database is at revision `{found}`, which this version does not know: "
        "run the version that made it, or a newer one"
    )
