"""``borderpost report``: what was spent, from the ledger in the database."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gateway.cli.opened import reading, settings_of, snapshot_of, stop, with_config
from gateway.reports.period import month_of
from gateway.reports.render import FORMATS
from gateway.reports.spend import DEFAULT_BY, grouping, query


@click.group("report")
def command() -> None:
    """Reports of spend from the ledger."""


@command.command("spend")
@click.option("--by", default=",".join(DEFAULT_BY), show_default=True, help="Columns to group by.")
@click.option(
    "--month", "month_name", metavar="YYYY-MM", help="Month in the organisation's time zone [this one]."
)
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), default="table", show_default=True)
@with_config
def spend(by: str, month_name: str | None, form: str, toml: Path | None) -> None:
    """Spend of a month. Every grouping and format has the same total, to the cent."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    now = time.time_ns()
    try:
        work = query(
            snapshot,
            month_name=month_name or month_of(now, snapshot.timezone),
            by=grouping(by),
            now=now,
        )
    except ValueError as wrong:
        stop(str(wrong))
    _, render = FORMATS[form]
    click.echo(render(reading(settings, work)), nl=form == "json")
