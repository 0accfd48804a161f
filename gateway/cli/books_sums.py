"""``borderpost books sums``: whether the sums that reports read are what the ledger's rows sum to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.adapters.store_sql import rollups
from gateway.adapters.store_sql.rollups import Difference
from gateway.cli.opened import settings_of, store_of, with_config

_MOST_SHOWN = 20


@click.command("sums")
@click.option("--rebuild", is_flag=True, help="Make the sums of days that differ anew from the rows.")
@with_config
def command(*, rebuild: bool, toml: Path | None) -> None:
    """Compare the sums that reports read with the ledger's rows, day by day.

    Calls go on meanwhile. Status 0 if they agree, or were made to; 1 if not.
    """
    with store_of(settings_of(toml)) as store:
        with store.read() as connection:
            days = {tenant: rollups.days(connection, tenant=tenant) for tenant in rollups.tenants(connection)}
        wrong: list[Difference] = []
        for tenant, starts in days.items():
            for day_us in starts:
                with store.read() as connection:
                    found = rollups.differences(connection, tenant=tenant, day_us=day_us)
                if found and rebuild:
                    with store.write() as connection:
                        rollups.rebuild(connection, tenant=tenant, day_us=day_us)
                wrong += found
    for item in wrong[:_MOST_SHOWN]:
        group = " ".join(value or "–" for value in item.group)
        click.echo(
            f"{_hour(item.start_us)} {item.span}  {group}  {item.measure} {item.kept}, rows {item.rows}"
        )
    if len(wrong) > _MOST_SHOWN:
        click.echo(f"and {len(wrong) - _MOST_SHOWN:,} more")
    checked = sum(len(starts) for starts in days.values())
    if not wrong:
        click.echo(f"{checked} days of UTC, every sum is that of its rows")
        return
    click.echo(f"{checked} days of UTC, {len(wrong):,} sums differ" + ("; made anew" if rebuild else ""))
    if not rebuild:
        click.echo("`borderpost books sums --rebuild` makes them anew from the rows")
        raise SystemExit(1)


def _hour(start_us: int) -> str:
    return datetime.fromtimestamp(start_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%MZ")
