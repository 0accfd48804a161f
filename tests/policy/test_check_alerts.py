"""What must agree between ``alerts.yaml`` and the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.policy.compile import compile_bundle
from gateway.policy.diff import difference
from gateway.policy.load import load_bundle
from gateway.policy.problems import PolicyErrors
from tests.acceptance import bank
from tests.spine import NOW, Vendorless

OPS: dict[str, Any] = {
    "webhook": {"url": "https://hooks.example.com/x", "secret": "env:HOOK"},
    "place": "CA-QC",
}


def load(folder: Path, alerts: object) -> Any:
    """Load the bank's bundle with an alerts.yaml."""
    files = bank.bundle({name: Vendorless("openai", 1) for name in ("ca", "ca_on", "us")})
    if alerts is not None:
        files["alerts.yaml"] = alerts
    bank.write(folder, files)
    return load_bundle(folder, now=NOW)


@pytest.mark.parametrize(
    ("send", "says"),
    [
        ({"to": "opps"}, "unknown destination `opps`"),
        ({"to": "ops", "team": "brunch"}, "unknown team `brunch`"),
    ],
)
def test_names_that_are_none_are_errors(tmp_path: Path, send: object, says: str) -> None:
    """With file and line."""
    with pytest.raises(PolicyErrors) as stop:
        load(tmp_path, {"destinations": {"ops": OPS}, "send": [send]})
    assert [(p.file, says in p.message) for p in stop.value.problems] == [("alerts.yaml", True)]


def test_what_deserves_a_warning(tmp_path: Path) -> None:
    """A destination that nothing is sent to, and a webhook that is not signed."""
    unsigned = {**OPS, "webhook": {"url": OPS["webhook"]["url"]}}
    bundle = load(tmp_path, {"destinations": {"ops": OPS, "other": unsigned}, "send": [{"to": "ops"}]})
    told = [problem.message for problem in bundle.warnings if problem.file == "alerts.yaml"]
    assert any("nothing is sent to `other`" in message for message in told)
    assert any("is not signed" in message for message in told)


def test_a_destination_is_part_of_the_hash_and_of_a_diff(tmp_path: Path) -> None:
    """Where something is sent to is a change that people see before they sign it."""
    before, after = load(tmp_path / "a", None), load(tmp_path / "b", {"destinations": {"ops": OPS}})
    assert before.hash != after.hash
    old, new = compile_bundle(before, now=NOW), compile_bundle(after, now=NOW)
    says = [change.says for change in difference(old, new, now=NOW).changes]
    assert "alerts are sent to ops, at https://hooks.example.com/x in CA-QC" in says
