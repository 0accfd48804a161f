"""``borderpost serve``: read the settings and serve."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.settings import Settings, SettingsError, environment


@click.command("serve")
@click.option(
    "--config",
    "toml",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file of settings. Variables BORDERPOST_* win over it.",
)
def command(toml: Path | None) -> None:
    """Serve the gateway until SIGTERM. SIGHUP reads the policies again."""
    try:
        settings = Settings.load(toml, environment())
    except SettingsError as error:
        click.echo(f"borderpost: settings cannot be used\n{error}", err=True)
        sys.exit(2)
    from gateway.api.server import run  # noqa: PLC0415 (imports the web server only when it serves)

    try:
        status = run(settings)
    except OSError as error:
        click.echo(
            f"borderpost: cannot listen on `{settings.listen}`: {error.strerror}; "
            "free the port or set BORDERPOST_LISTEN",
            err=True,
        )
        sys.exit(1)
    sys.exit(status)
