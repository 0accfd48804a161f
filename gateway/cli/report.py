"""``borderpost report``: what was spent, in every report and format, from the ledger in the database."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from gateway.cli.opened import reading, settings_of, snapshot_of, stop, with_config
from gateway.reports.asking import AskedWrong, rendered
from gateway.reports.document import DocumentWrong
from gateway.reports.focus import GRAINS, FocusRefused, export
from gateway.reports.focus_columns import VERSIONS
from gateway.reports.focus_files import FILES
from gateway.reports.kinds import KINDS
from gateway.reports.period import month_of
from gateway.reports.spend import DEFAULT_BY
from gateway.reports.writers import FORMATS, FormatUnavailable
from gateway.reports.writers.separated import BOM

_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write [standard output].",
)
_MONTH = click.option(
    "--month", "month_name", metavar="YYYY-MM", help="Month in the organisation's time zone [this one]."
)


@click.group("report")
def command() -> None:
    """Reports of spend from the ledger."""


def _add(kind: str, about: str) -> None:
    @command.command(kind, help=about)
    @click.option(
        "--by",
        default=",".join(DEFAULT_BY) if kind == "spend" else None,
        show_default=kind == "spend",
        help="Columns to group by.",
    )
    @_MONTH
    @click.option("--format", "form", type=click.Choice(list(FORMATS)), default="table", show_default=True)
    @click.option("--section", default="", help="Write this table of the report alone.")
    @click.option("--bom", is_flag=True, help="Begin CSV with a byte order mark, for Excel on Windows.")
    @_OUTPUT
    @with_config
    def report(
        *,
        by: str | None,
        month_name: str | None,
        form: str,
        section: str,
        bom: bool,
        output: Path | None,
        toml: Path | None,
    ) -> None:
        settings = settings_of(toml)
        snapshot = snapshot_of(settings.policies)
        now = time.time_ns()
        name = f"{kind}-{month_name or month_of(now, snapshot.timezone)}.{FORMATS[form].suffix}"
        _to_a_file(form, output, name, binary=FORMATS[form].binary)
        try:
            work = rendered(
                snapshot, kind=kind, month_name=month_name, by=by, form=form, section=section, now=now
            )
            found = reading(settings, work)
        except AskedWrong as wrong:
            stop(str(wrong))
        except DocumentWrong as wrong:
            stop(f"nothing was written, since the report contradicts itself: {wrong}", 1)
        with _sink(output) as out:
            out.write(BOM if bom and form == "csv" else b"")
            out.write(found.data)
            # As it was before there were files: a program reads the line's end too.
            out.write(b"\n" if form == "json" and not found.data.endswith(b"\n") else b"")


for _kind, (_, _about) in KINDS.items():
    _add(_kind, _about)


@command.command("focus")
@_MONTH
@click.option("--format", "form", type=click.Choice(list(FILES)), default="csv", show_default=True)
@click.option("--focus-version", "version", type=click.Choice(VERSIONS), default="1.2", show_default=True)
@click.option("--per", "grain", type=click.Choice(GRAINS), default="day", show_default=True)
@_OUTPUT
@with_config
def focus(
    *, month_name: str | None, form: str, version: str, grain: str, output: Path | None, toml: Path | None
) -> None:
    """Charges of a billing period in the FinOps Foundation's format. What fails its check is not written."""
    settings = settings_of(toml)
    snapshot = snapshot_of(settings.policies)
    now = time.time_ns()
    name = month_name or month_of(now, snapshot.timezone)
    _to_a_file(form, output, f"focus-{version}-{name}.{form}", binary=form == "parquet")
    try:
        found = reading(settings, export(snapshot, month_name=name, version=version, grain=grain))
    except ValueError as wrong:
        stop(str(wrong))
    except FocusRefused as refused:
        stop(f"nothing was written, since the rows fail their check:\n{refused}", 1)
    try:
        with _sink(output) as out:
            found.write(form, out)
    except (FormatUnavailable, ValueError) as wrong:
        stop(str(wrong))
    sums = ", ".join(f"{amount:,f} {currency}" for currency, amount in found.billed.items()) or "nothing"
    lost = f"; {found.unpriced:,} attempts WITHOUT A PRICE are not in it" if found.unpriced else ""
    click.echo(f"FOCUS {version}, {name}: {found.count:,} charges, billed {sums}{lost}", err=True)


def _to_a_file(form: str, output: Path | None, name: str, *, binary: bool) -> None:
    if binary and output is None and sys.stdout.isatty():
        stop(f"{form} is no text for a terminal; add --output {name}")


@contextmanager
def _sink(output: Path | None) -> Iterator[BinaryIO]:
    """Open where a report goes: standard output, or a file that is whole or is not there."""
    if output is None:
        yield sys.stdout.buffer
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as out:
            yield out
        part.replace(output)
    except OSError as error:
        stop(f"cannot write `{output}`: {error.strerror}", 1)
    finally:
        part.unlink(missing_ok=True)
    data = output.read_bytes()
    said = f"wrote {output}, {len(data):,} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
    click.echo(said, err=True)
