"""What commands on a running installation's data open: settings, policy bundle, database.

Errors end the command with one sentence on standard error and a status that scripts can
read: 2 for what the person must change, 1 for what is away.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import click
from sqlalchemy import Connection

import gateway
from gateway.adapters.store_sql import Store, StoreUnavailable
from gateway.adapters.store_sql.schema import SchemaMismatch, check, migrate
from gateway.core.snapshot import Snapshot
from gateway.ports import JournalUnavailable
from gateway.settings import Settings, SettingsError, environment

HOME = Path(".borderpost")
"""Where a demo keeps everything; in the current folder, ignored by git."""

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


def with_config(command: F) -> F:
    """Give a command the option ``--config FILE``."""
    option = click.option(
        "--config",
        "toml",
        type=click.Path(path_type=Path, dir_okay=False),
        help="TOML file of settings. Variables BORDERPOST_* win over it.",
    )
    return option(command)


def with_folder(command: F) -> F:
    """Give a command the option ``--folder FOLDER``: the policy bundle that it reads."""
    option = click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("policies"),
        envvar="BORDERPOST_POLICIES",
        show_default=True,
        help="Folder of the policy bundle.",
    )
    return option(command)


def stop(message: str, status: int = 2) -> NoReturn:
    """End the command with a message on standard error."""
    click.echo(f"borderpost: {message}", err=True)
    sys.exit(status)


def settings_of(toml: Path | None) -> Settings:
    """Read the settings, or end the command."""
    try:
        return Settings.load(toml, environment())
    except SettingsError as error:
        stop(f"settings cannot be used\n{error}")


def snapshot_of(folder: Path) -> Snapshot:
    """Load and compile a policy folder, or end the command with every problem in it."""
    from gateway.policy.compile import compile_bundle  # noqa: PLC0415 (half the commands need no policy)
    from gateway.policy.load import load_bundle  # noqa: PLC0415 (as above)
    from gateway.policy.problems import PolicyErrors  # noqa: PLC0415 (as above)

    now = time.time_ns()
    folder = in_force(folder)
    try:
        return compile_bundle(load_bundle(folder, now=now), now=now)
    except PolicyErrors as errors:
        stop(f"the policies in `{folder}` cannot be used\n{errors}")


def in_force(folder: Path) -> Path:
    """Return a policy folder; the starter's where a demo ran here without policies of its own."""
    return starter_folder() if not folder.is_dir() and (HOME / "demo.json").is_file() else folder


def starter_folder() -> Path:
    """Return the folder of the starter policies: inside an installed package, or beside a checkout's.

    Ends the command if the installation lacks them.
    """
    package = Path(gateway.__file__).parent
    for folder in (package / "_starter" / "policies", package.parent / "policies"):
        if (folder / "policy.yaml").is_file():
            return folder
    stop("this installation holds no starter policies; install borderpost again")


@contextmanager
def store_of(settings: Settings) -> Iterator[Store]:
    """Open the database of the settings; SQLite is migrated, PostgreSQL must be. Or end the command."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = Store(settings.database)
    try:
        migrate(store) if store.dialect == "sqlite" else check(store)
        yield store
    except SchemaMismatch as error:
        stop(str(error))
    except StoreUnavailable:
        stop("the database does not answer; check BORDERPOST_DATABASE_URL", 1)
    finally:
        store.close()


def reading(settings: Settings, work: Callable[[Connection], T]) -> T:
    """Run a query on the database of the settings, or end the command."""
    with store_of(settings) as store, store.read() as connection:
        return work(connection)


def note(settings: Settings, entries: Sequence[tuple[str, Mapping[str, object]]]) -> None:
    """Append entries to the journal as a writer of their own; say so on standard error if it fails.

    The change they tell of stands already, with its line in the admin log.
    """
    from gateway.adapters.journal_file import FileJournal  # noqa: PLC0415 (only commands that change)

    try:
        journal = FileJournal.claim(
            settings.data_dir / "journal", place=settings.place, durability=settings.durability
        )
    except JournalUnavailable as error:
        click.echo(f"borderpost: done, but not noted in the journal: {error}", err=True)
        return
    try:
        for kind, data in entries:
            journal.write(kind, data)
        # The chain ends here, and says so: entries cut from its end would show.
        journal.write("writer.closed", {"entries": journal.seq + 1})
    except JournalUnavailable as error:
        click.echo(f"borderpost: done, but not noted in the journal: {error}", err=True)
    finally:
        journal.close()
