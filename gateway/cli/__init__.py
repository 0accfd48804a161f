"""The ``borderpost`` command.

Each subcommand is a module of this package that exports ``command`` and is imported
only when it is used, so that ``borderpost --version`` does not pay for a web framework.
"""

from __future__ import annotations

import importlib

import click
from typing_extensions import override

from gateway import __version__

# Subcommand → its module and one line of help, so that `--help` imports none of them.
_COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "Serve the gateway."),
    "demo": ("demo", "Serve with demo models and demo keys; nothing leaves this machine."),
    "init": ("init", "Copy the starter policies into a folder."),
    "policy": ("policy", "Check, test and explain a policy bundle."),
    "keys": ("keys", "Create, list, rotate and revoke keys."),
    "report": ("report", "Reports of spend from the ledger."),
    "reconcile": ("reconcile", "Vendors' bills against the ledger, and what differs."),
    "alerts": ("alerts", "Alerts as they were told, and a test of where they go."),
    "books": ("books", "Months of the ledger: close, verify, correct."),
    "prices": ("prices", "Show, lint and import prices; rate a month again; book reserved capacity."),
    "feedback": ("feedback", "Feedback as recorded."),
    "privacy": ("privacy", "See what detection finds in a text, and measure it."),
    "audit": ("audit", "Verify the journal offline."),
    "try": ("try_", "Show one promise at work against a running demo."),
    "migrate": ("migrate", "Bring the database to the schema of this version."),
    "gpu": ("gpu", "GPU pools: see them, calibrate them, close their hours."),
    "egress": ("egress", "List every origin that this installation may send to."),
    "doctor": ("doctor", "Check that this machine can serve, and say what to fix."),
}


class _LazyGroup(click.Group):
    """A group that knows its subcommands by name and imports one when it is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"gateway.cli.{_COMMANDS[cmd_name][0]}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"`gateway.cli.{_COMMANDS[cmd_name][0]}` exports no click command")
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="borderpost", message="%(prog)s %(version)s")
def main() -> None:
    """Borderpost: an LLM gateway with cost, compliance and data-residency controls."""
