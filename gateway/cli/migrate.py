"""``borderpost migrate``: bring the database to the schema of this version.

SQLite is migrated when the gateway starts; PostgreSQL only here, so that N replicas that
start together do not race an upgrade, and so that someone decides when it happens.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.settings import Settings, SettingsError, environment


@click.command("migrate")
@click.option(
    "--config",
    "toml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file of settings. Variables BORDERPOST_* win over it.",
)
def command(toml: Path | None) -> None:
    """Migrate the database of the settings; does nothing if it is up to date."""
    # The database's packages are imported by the commands that use it only.
    from gateway.adapters.store_sql import Store, StoreUnavailable  # noqa: PLC0415
    from gateway.adapters.store_sql.schema import HEAD, SchemaMismatch, migrate  # noqa: PLC0415

    try:
        settings = Settings.load(toml, environment())
    except SettingsError as error:
        click.echo(f"borderpost: settings cannot be used\n{error}", err=True)
        sys.exit(2)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = Store(settings.database)
    try:
        done = migrate(store)
    except SchemaMismatch as error:
        click.echo(f"borderpost: {error}", err=True)
        sys.exit(2)
    except StoreUnavailable:
        click.echo("borderpost: the database does not answer; check BORDERPOST_DATABASE_URL", err=True)
        sys.exit(1)
    finally:
        store.close()
    click.echo(f"migrated to revision {HEAD}" if done else f"already at revision {HEAD}")
