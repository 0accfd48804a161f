"""`borderpost policy`: what a person at a terminal sees, and the exit status that scripts read."""

from __future__ import annotations

import shutil

import orjson
import pytest
from click.testing import CliRunner

from gateway.cli.policy import command
from gateway.policy.schema import FILES, published
from tests.policy.written import STARTER


@pytest.fixture
def folder(tmp_path):
    """A copy of the starter policies, to be broken."""
    return shutil.copytree(
        STARTER, tmp_path / "policies", ignore=shutil.ignore_patterns("examples", "schema")
    )


def _run(*words, folder=STARTER):
    return CliRunner().invoke(command, [words[0], "--folder", str(folder), *words[1:]])


def _edit(folder, old: str, new: str) -> None:
    path = folder / "policy.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_check():
    """A usable bundle is summed up in a line, after its warnings; strict makes them count."""
    result = _run("check")
    assert result.exit_code == 0
    assert "maple-bank v1 can be used" in result.output
    assert "`teller` gets nothing from `chat-pro`" in result.output
    assert _run("check", "--strict").exit_code == 1


def test_check_of_a_broken_bundle(folder):
    """Every problem on its line, with status 2."""
    _edit(folder, "processed_in: Quebec", "processed_in: Qebec")
    result = _run("check", folder=folder)
    assert result.exit_code == 2
    assert "unknown place `Qebec`; did you mean `Quebec`?" in result.output
    assert "1 problem in" in result.output


def test_test(folder):
    """All pass as shipped; an edited CA-1 fails in words."""
    assert _run("test").exit_code == 0
    _edit(
        folder,
        "must: {processed_in: Canada, stored_in: Canada, vendor_logs_in: Canada}",
        "must: {stored_in: [CA, US]}",
    )
    result = _run("test", folder=folder)
    assert result.exit_code == 1
    assert "FAILED  “the lab's model with a client's name in the prompt”" in result.output
    assert "expected refused by CA-1, was refused by V-1 only" in result.output


def test_explain():
    """Refused is status 1 with every reason; allowed is 0; a mistyped name is 2."""
    refused = _run("explain", "--app", "teller", "--data", "client", "--model", "chat-pro")
    assert refused.exit_code == 1
    assert "processed_in must be inside Canada; is US" in refused.output
    assert "Use instead: chat → demo-ca-qc" in refused.output
    allowed = _run("explain", "--app", "teller", "--model", "gpt-4o", "--json")
    assert allowed.exit_code == 0
    assert orjson.loads(allowed.output)["alias"] == "chat"
    wrong = _run("explain", "--app", "tellr", "--model", "chat")
    assert wrong.exit_code == 2
    assert "unknown app `tellr`; did you mean `teller`?" in wrong.output


def test_prove():
    """The bundle's sentences, or one asked for."""
    assert _run("prove").output.count("PROVED") == 4
    broken = _run("prove", "Public data never reaches a deployment outside Canada.")
    assert broken.exit_code == 1
    assert "app hackathon → chat-lab → demo-us" in broken.output


def test_print():
    """Both languages."""
    assert "No exception is possible." in _run("print").output
    assert "Aucune exception n’est possible." in _run("print", "--lang", "fr").output


def test_schema(tmp_path):
    """One schema to standard output, or all into a folder."""
    result = CliRunner().invoke(command, ["schema", "routes"])
    assert result.output.encode() == published("routes")
    assert CliRunner().invoke(command, ["schema", "--write", str(tmp_path / "out")]).exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == len(FILES)
    assert CliRunner().invoke(command, ["schema"]).exit_code == 2
