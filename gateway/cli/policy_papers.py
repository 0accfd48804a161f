"""``borderpost policy due`` and ``borderpost policy vendors``: the papers behind a policy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from gateway.adapters.clock import SystemClock
from gateway.policy.due import due as due_of
from gateway.policy.due import sentence, today
from gateway.policy.load import bundle_of, load_bundle, read_folder
from gateway.policy.problems import PolicyErrors
from gateway.policy.vendor_file import from_csv, missing, to_csv

_FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("policies"),
    envvar="BORDERPOST_POLICIES",
    show_default=True,
    help="Folder of the policy bundle.",
)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("due")
@_FOLDER
@click.option(
    "--within", default=60, show_default=True, type=click.IntRange(0, 3660), help="Days from today."
)
def due(folder: Path, within: int) -> None:
    """List what must be reviewed or rechecked; status 1 when something lapsed already."""
    now = SystemClock().now()
    try:
        found = due_of(load_bundle(folder, now=now), now=now, within_days=within)
    except PolicyErrors as errors:
        _stop(errors)
    for one in found:
        click.echo(sentence(one, now=now))
    lapsed = sum(one.by < today(now) for one in found)
    click.echo(
        f"{len(found):,} due within {within} days, {lapsed:,} lapsed already. This is no legal advice."
    )
    sys.exit(1 if lapsed else 0)


@click.command("vendors")
@_FOLDER
@click.option("--import", "table", type=_FILE, help="A CSV table: print the vendors.yaml that it makes.")
@click.option(
    "--evidence", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Check hashes."
)
@click.option("--write", is_flag=True, help="With --import: replace vendors.yaml in the folder.")
def vendors(folder: Path, table: Path | None, evidence: Path | None, *, write: bool) -> None:
    """Print the vendor file as a CSV table, make it from one, or check its evidence."""
    now = SystemClock().now()
    try:
        if table is not None:
            made = from_csv(table.read_text(encoding="utf-8"), file=table.name)
            if not write:
                click.echo(made, nl=False)
                return
            bundle = bundle_of({**read_folder(folder), "vendors.yaml": made.encode()}, now=now)
            (folder / "vendors.yaml").write_text(made, encoding="utf-8")  # only what the bundle can use
        else:
            bundle = load_bundle(folder, now=now)
    except PolicyErrors as errors:
        _stop(errors)
    except UnicodeDecodeError:
        click.echo("borderpost: the table is not UTF-8; save it as “CSV UTF-8”", err=True)
        sys.exit(2)
    if evidence is None:
        click.echo(to_csv(bundle.vendors), nl=False)
        return
    lacking = missing(bundle.vendors, evidence)
    for line in lacking:
        click.echo(line)
    count = sum(len(vendor.documents) for vendor in bundle.vendors.values())
    click.echo(f"{count - len(lacking):,} of {count:,} documents are backed by a file here")
    sys.exit(1 if lacking else 0)


def _stop(errors: PolicyErrors) -> NoReturn:
    for problem in errors.problems:
        click.echo(f"error: {problem}", err=True)
    sys.exit(2)
