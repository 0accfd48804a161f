"""Reload: the last good snapshot stays, and what is wrong is said."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import shutil

import pytest

from gateway.policy.problems import PolicyErrors
from gateway.policy.watch import PolicySource
from tests.policy.written import HERE, NOW


@pytest.fixture
def folder(tmp_path):
    """A copy of the bank's bundle."""
    return shutil.copytree(HERE / "bundles" / "bank", tmp_path / "policies")


def _edit(folder, old: str, new: str) -> None:
    path = folder / "policy.yaml"
    path.write_text(path.read_text().replace(old, new))


def test_nothing_changed(folder):
    """Polling an unchanged folder gives nothing; a comment changes nothing either."""
    source = PolicySource(folder)
    first = source.load(now=NOW)
    assert source.poll(now=NOW) is None
    _edit(folder, "version: 7", "version: 7   # seven")
    assert source.poll(now=NOW) is None
    assert source.snapshot is first


def test_a_good_change_is_in_force(folder):
    """A new bundle replaces the old one whole."""
    source = PolicySource(folder)
    first = source.load(now=NOW)
    _edit(folder, "version: 7", "version: 8")
    second = source.poll(now=NOW)
    assert second is source.snapshot
    assert second.policy_version == 8
    assert second.hash != first.hash
    assert source.bundle.policy.version == 8
    assert source.poll(now=NOW) is None


def test_a_bad_change_keeps_the_last_good_one(folder):
    """What is wrong is said once, with file and line, and the old snapshot decides on; mending it mends it."""
    source = PolicySource(folder)
    first = source.load(now=NOW)
    _edit(folder, "processed_in: Quebec", "processed_in: Qebec")
    problems = source.poll(now=NOW)
    assert [str(problem).split(" ")[0] for problem in problems] == ["policy.yaml:33:12"]
    assert source.problems == problems
    assert source.snapshot is first
    assert source.poll(now=NOW) is None
    _edit(folder, "processed_in: Qebec", "processed_in: Quebec")
    source.poll(now=NOW)
    assert source.problems == ()
    assert source.snapshot is first


def test_a_file_that_goes_away(folder):
    """A folder that loses its policy keeps what was in force."""
    source = PolicySource(folder)
    first = source.load(now=NOW)
    (folder / "policy.yaml").unlink()
    assert source.poll(now=NOW)
    assert source.snapshot is first


def test_nothing_before_the_first_load(folder):
    """There is no snapshot before one was loaded, and a first load that fails says why."""
    source = PolicySource(folder)
    with pytest.raises(LookupError):
        _ = source.snapshot
    with pytest.raises(LookupError):
        _ = source.bundle
    _edit(folder, "policy: maple-bank", "polcy: maple-bank")
    with pytest.raises(PolicyErrors, match="unknown key `polcy`"):
        source.load(now=NOW)
