"""The command line as a whole: fast, and lazy about its subcommands."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from gateway import __version__
from gateway.cli import _COMMANDS, main


def test_version():
    """`--version` says the version."""
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"borderpost {__version__}\n"


def test_help_lists_every_command_without_importing_one():
    """Neither help nor version pays for the web server, the database or the models."""
    code = (
        "import sys; from gateway.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'fastapi', 'uvicorn', 'sqlalchemy', 'spacy', 'litellm', 'gateway.cli.serve'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for name in _COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_listed_command_exists(name):
    """Each name leads to a command that explains itself."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_an_unknown_command_is_an_error():
    """A typo is not silently nothing."""
    assert CliRunner().invoke(main, ["sevre"]).exit_code == 2
