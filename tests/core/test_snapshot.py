"""The snapshot: what it says of names and places."""

from __future__ import annotations

from pathlib import Path

from tests.spine import snapshot


def test_every_name_leads_to_its_alias(tmp_path: Path) -> None:
    """An alias and what it is also called mean the same route."""
    compiled = snapshot(tmp_path)
    assert compiled.aliases["gpt-4.1-mini"] == compiled.aliases["chat"] == "chat"
    assert "ca" not in compiled.aliases


def test_the_same_files_make_the_same_hash(tmp_path: Path) -> None:
    """Content-addressed: equal content, equal hash; one changed limit, another hash."""
    first, second = snapshot(tmp_path / "a"), snapshot(tmp_path / "b")
    assert first.hash == second.hash
    routes = {"chat": ["ca"], "chat-pro": ["us"], "everywhere": ["ca"], "only-ca": ["ca"]}
    routes |= {"only-ca-on": ["ca_on"], "only-us": ["us"]}
    narrower = {"routes": {alias: {"try": tries} for alias, tries in routes.items()}}
    changed = snapshot(tmp_path / "c", routes=narrower)
    assert changed.hash != first.hash


def test_a_place_reads_as_callers_see_it(tmp_path: Path) -> None:
    """One code as it is."""
    assert snapshot(tmp_path).deployments["ca"].place == "CA-QC"
