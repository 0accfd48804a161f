"""``borderpost audit``: verify the journal offline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.adapters.journal_read import verify as verify_journal
from gateway.cli.opened import settings_of, stop, with_config


@click.group("audit")
def command() -> None:
    """Verify the journal offline."""


@command.command("verify")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data folder, or the journal itself [the settings' data_dir].",
)
@with_config
def verify(data: Path | None, toml: Path | None) -> None:
    """Read every chain and say where one was edited, dropped, reordered or torn. Changes nothing.

    Exit status: 0 whole, 1 not whole, 2 nothing to read.
    """
    root = data or settings_of(toml).data_dir
    folder = root / "journal" if (root / "journal").is_dir() else root
    try:
        report = verify_journal(folder)
    except FileNotFoundError as missing:
        stop(str(missing))
    if not report.writers:
        stop(f"no journal at `{folder}`: name the folder that holds it")
    for writer in report.writers:
        click.echo(f"{writer.writer}  {writer.entries:,} entries  head {writer.head[:16]}…  {writer.end}")
    for problem in report.problems:
        click.echo(f"{problem}", err=True)
    verdict = "whole" if report.ok else f"NOT whole: {len(report.problems)} problem(s)"
    click.echo(f"{len(report.writers)} writer(s), {report.entries:,} entries: {verdict}")
    # Said each time, because it is easily believed otherwise: a chain alone does not pin its own end.
    if any(writer.end == "open" for writer in report.writers):
        click.echo("`open` chains have no seal at their end: entries cut from there would not show")
    sys.exit(0 if report.ok else 1)
