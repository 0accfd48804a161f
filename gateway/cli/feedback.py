"""``borderpost feedback``: what people said of replies, with honest intervals."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gateway.cli.opened import reading, settings_of, snapshot_of, stop, with_config
from gateway.reports.feedback import as_json, query, table
from gateway.reports.period import month_of


@click.group("feedback")
def command() -> None:
    """Feedback as recorded."""


@command.command("summary")
@click.option(
    "--month", "month_name", metavar="YYYY-MM", help="Month in the organisation's time zone [this one]."
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@with_config
def summary(month_name: str | None, form: str, toml: Path | None) -> None:
    """Thumbs per alias and deployment, their 95 % interval, and the cost per good answer."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    try:
        work = query(snapshot, month_name=month_name or month_of(time.time_ns(), snapshot.timezone))
    except ValueError as wrong:
        stop(str(wrong))
    report = reading(settings, work)
    click.echo(as_json(report) if form == "json" else table(report), nl=form == "json")
