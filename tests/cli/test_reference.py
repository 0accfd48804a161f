"""The reference of the command line and of the HTTP API names all there is, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from gateway.api import (
    admin,
    books,
    bundles,
    content,
    decisions,
    feedback,
    models,
    privacy,
    reconcile,
    reports,
    suspensions,
)
from gateway.cli import main
from tests.api.desk_under_test import ADMIN, CLOCK, OURS, RATER_KEY, issue_id

DOCS = Path(__file__).parents[2] / "docs" / "reference"


def commands(command, path=()):
    """Every command below this one: its words → it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))
    else:
        yield " ".join(("borderpost", *path)), command


COMMANDS = dict(commands(main))


def documented():
    """The rows of cli.md: a command → its options."""
    rows = re.findall(r"^\| `(borderpost [^`]*)` \|([^|]*)\|", (DOCS / "cli.md").read_text(), re.MULTILINE)
    return {
        " ".join(word for word in text.split() if word.islower() or "-" in word): set(
            re.findall(r"`([^`]+)`", options)
        )
        for text, options in rows
    }


def test_the_reference_names_every_command_and_no_other():
    """One row each."""
    assert set(documented()) == set(COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_reference_names_every_option_and_no_other(name):
    """In the second column."""
    options = {option.opts[-1] for option in COMMANDS[name].params if isinstance(option, click.Option)}
    assert documented()[name] == options


def test_the_reference_names_every_route():
    """Method and path of each slow surface."""
    shared = {"tokens": ADMIN, "store": None, "clock": CLOCK, "issue_id": issue_id, "snapshot": None}
    routers = [
        admin.router(admin.AdminDeps(**shared, reload=None, journal=None)),
        bundles.router(
            bundles.BundleDeps(
                tokens=ADMIN,
                store=None,
                keyring=lambda: None,
                accept=lambda _: None,
                source="store",
                journal=None,
                clock=CLOCK,
                issue_id=issue_id,
            )
        ),
        decisions.router(decisions.DecisionDeps(**shared, keys=None)),
        feedback.router(
            feedback.FeedbackDeps(
                **shared, keys=None, ids=OURS, rater_key=RATER_KEY, journal=None, content=None
            )
        ),
        content.router(
            content.ContentDeps(
                tokens=ADMIN,
                content=None,
                snapshot=None,
                issue_id=issue_id,
                vault_key=b"",
                rater_key=RATER_KEY,
            )
        ),
        books.router(
            books.BookDeps(**shared, keyring=lambda: None, sign=lambda: None, journals=DOCS, journal=None)
        ),
        reconcile.router(reconcile.ReconcileDeps(**shared, journal=None)),
        reports.router(reports.ReportDeps(**shared)),
        suspensions.router(suspensions.SuspensionDeps(**shared, journal=None)),
        privacy.router(privacy.PrivacyDeps(keys=None, detector=None, clock=CLOCK, issue_id=issue_id)),
        models.router(keys=None, snapshot=None, clock=CLOCK),
    ]
    page = (DOCS / "http-api.md").read_text()
    for router in routers:
        for route in router.routes:
            for method in route.methods:
                assert f"`{method} {route.path.replace(':path', '')}`" in page
