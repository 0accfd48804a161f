"""A stand-in that nobody has is an error, with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.policy.load import load_bundle
from gateway.policy.problems import PolicyErrors
from tests.acceptance import bank
from tests.spine import NOW, Vendorless


def load(folder: Path, change: Any) -> None:
    """Load the bank's bundle with one change."""
    files = bank.bundle({name: Vendorless("openai", 1) for name in ("ca", "ca_on", "us")})
    change(files)
    bank.write(folder, files)
    load_bundle(folder, now=NOW)


def test_ladders_that_name_what_is_there_are_fine(tmp_path: Path) -> None:
    """Of an app, a team, a route."""

    def change(files: Any) -> None:
        branch = files["teams.yaml"]["teams"]["branch"]
        branch["when_over"] = [{"cheaper": ["only-us"]}]
        branch["apps"]["teller"]["when_over"] = [{"cheaper": ["only-ca"]}]
        files["routes.yaml"]["routes"]["chat"]["when_over"] = [{"cheaper": "only-ca"}, {"queue": "5s"}]

    load(tmp_path, change)


@pytest.mark.parametrize(
    ("where", "file", "says"),
    [
        ("app", "teams.yaml", "unknown model `only-caa`"),
        ("team", "teams.yaml", "unknown model `only-caa`"),
        ("route", "routes.yaml", "unknown model `only-caa`"),
    ],
)
def test_a_name_that_is_none_is_an_error_with_the_nearest(
    tmp_path: Path, where: str, file: str, says: str
) -> None:
    """File, line, and what was meant."""

    def change(files: Any) -> None:
        branch = files["teams.yaml"]["teams"]["branch"]
        holder = {
            "app": branch["apps"]["teller"],
            "team": branch,
            "route": files["routes.yaml"]["routes"]["chat"],
        }[where]
        holder["when_over"] = [{"cheaper": ["only-caa"]}]

    with pytest.raises(PolicyErrors) as stop:
        load(tmp_path, change)
    (problem,) = stop.value.problems
    assert problem.file == file
    assert says in problem.message
    assert "only-ca" in (problem.suggestion or "")


def test_an_app_cannot_be_degraded_to_what_it_may_not_use(tmp_path: Path) -> None:
    """Its models say what it may use."""

    def change(files: Any) -> None:
        teller = files["teams.yaml"]["teams"]["branch"]["apps"]["teller"]
        teller["models"] = ["chat"]
        teller["when_over"] = [{"cheaper": ["only-ca"]}]

    with pytest.raises(PolicyErrors, match="cannot stand in: the app `teller` may not use it"):
        load(tmp_path, change)
