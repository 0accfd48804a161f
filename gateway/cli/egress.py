"""``borderpost egress``: every origin that this installation may send to, and a NetworkPolicy of it.

The list is what the guard checks at the socket, read from the same policies and settings; nothing is
looked up or dialled here.
"""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from gateway.cli.opened import settings_of, snapshot_of, stop, with_config
from gateway.core.destinations import Destination, Sink, destinations, network_policy, without_rule
from gateway.settings import Settings


@click.command("egress")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "networkpolicy"]),
    default="text",
    show_default=True,
)
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="HOST=CIDR",
    help="An address of a host, for the NetworkPolicy, which knows no names. May be repeated.",
)
@click.option("--name", default="borderpost-egress", show_default=True, help="Name of the NetworkPolicy.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    default=("app=borderpost",),
    show_default=True,
    metavar="KEY=VALUE",
    help="Label of the pods that the NetworkPolicy is for. May be repeated.",
)
@with_config
def command(
    form: str, addresses: tuple[str, ...], name: str, labels: tuple[str, ...], toml: Path | None
) -> None:
    """List every origin that this installation may send to."""
    settings = settings_of(toml)
    found = destinations(snapshot_of(settings.policies), sinks(settings))
    match form:
        case "json":
            click.echo(orjson.dumps([_plain(each) for each in found], option=orjson.OPT_INDENT_2))
        case "networkpolicy":
            known = _networks(addresses)
            policy = network_policy(found, known, name=name, labels=dict(_pair(each) for each in labels))
            click.echo(orjson.dumps(policy, option=orjson.OPT_INDENT_2))  # JSON is YAML, as kubectl reads it
            missing = without_rule(found, known)
            if missing:
                click.echo(
                    f"borderpost: no rule for {', '.join(missing)}, so pods cannot reach them: "
                    "a NetworkPolicy knows addresses, not names; give each with --address HOST=CIDR",
                    err=True,
                )
        case _:
            click.echo(_table(found))


def sinks(settings: Settings) -> tuple[Sink, ...]:
    """Return where the settings let the process send to, beside the policy's connections."""
    made: list[Sink] = []
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is not None:
        made.append(
            Sink(
                url=telemetry.otlp_endpoint,
                purpose="telemetry",
                setting="telemetry.otlp_endpoint",
                place=telemetry.otlp_place or "",
            )
        )
    if settings.detectors.injection_url is not None:
        made.append(
            Sink(
                url=settings.detectors.injection_url,
                purpose="injection_classifier",
                setting="detectors.injection_url",
                place=settings.detectors.injection_place or "",
            )
        )
    if not settings.database.startswith("sqlite"):
        made.append(
            Sink(url=settings.database, purpose="database", setting="database_url", place=settings.place)
        )
    return tuple(made)


def _plain(each: Destination) -> dict[str, object]:
    return {
        "origin": each.origin,
        "purpose": each.purpose,
        "used_by": each.used_by,
        "place": each.place or None,
    }


def _table(found: tuple[Destination, ...]) -> str:
    rows = [("origin", "for", "used by", "place")]
    rows += [(each.origin, each.purpose, each.used_by, each.place or "not stated") for each in found]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _networks(addresses: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    for each in addresses:
        host, network = _pair(each)
        known[host.lower()] = (*known.get(host.lower(), ()), network)
    return known


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        stop(f"`{text}` is no pair; write NAME=VALUE")
    return name, value
