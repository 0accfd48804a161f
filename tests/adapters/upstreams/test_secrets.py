"""Secrets: resolved from references, rotated without restart, never shown."""

from __future__ import annotations

import os

import pytest

from gateway.adapters.upstreams import secrets as module
from gateway.adapters.upstreams.secrets import SecretMissing, Secrets
from tests.fakes.attempts import connection

VALUE = "not-" + "a-real-key"


def test_no_reference_no_secret():
    """A connection without a secret sends none."""
    assert Secrets({}).get(None) is None


def test_environment():
    """The environment is the one handed in."""
    assert Secrets({"KEY": VALUE}).get("env:KEY") == VALUE


def test_file_is_read_and_stripped(tmp_path):
    """Mounted files end in a line break."""
    (tmp_path / "key").write_text(f"{VALUE}\n")
    assert Secrets({}).get(f"file:{tmp_path}/key") == VALUE


def test_a_rotated_file_is_read_again(tmp_path, monkeypatch):
    """Without a restart, within the time between two looks."""
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.0)
    path = tmp_path / "key"
    path.write_text(VALUE)
    held = Secrets({})
    assert held.get(f"file:{path}") == VALUE
    path.write_text("another")
    os.utime(path, ns=(1, 1))
    assert held.get(f"file:{path}") == "another"


@pytest.mark.parametrize("reference", ["env:ABSENT", "env:EMPTY", "file:/no/such/file", "vault:x", "plain"])
def test_missing(reference):
    """A sentence with the reference and the fix."""
    with pytest.raises(SecretMissing):
        Secrets({"EMPTY": ""}).get(reference)


def test_missing_lists_connections_for_doctor(tmp_path):
    """One sentence per connection, none for those that are fine."""
    (tmp_path / "empty").write_text("\n")
    held = Secrets({"KEY": VALUE})
    problems = held.missing(
        [
            connection("http://127.0.0.1:1", secret="env:KEY"),
            connection("http://127.0.0.1:1", secret="env:GONE", deployment="there"),
            connection("http://127.0.0.1:1", secret=f"file:{tmp_path}/empty", deployment="blank"),
        ]
    )
    assert [problem.partition(":")[0] for problem in problems] == ["there", "blank"]


def test_never_shown():
    """Neither by repr nor by an error."""
    held = Secrets({"KEY": VALUE})
    held.get("env:KEY")
    assert VALUE not in repr(held)
    with pytest.raises(SecretMissing) as missing:
        held.get("env:OTHER")
    assert VALUE not in str(missing.value)
