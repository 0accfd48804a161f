"""The step that runs the FOCUS validator: pinned, readable by the shell, and able to fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gateway.reports.focus_columns import columns
from tests.repo.reading import ROOT
from tests.repo.test_requirements import names, pinned, wanted

STEP = ROOT / ".ci" / "focus"
PINS = ROOT / "requirements" / "focus"
ONE = "❌ InvoiceId-C-005-C: FAIL  (violations=871, msg=InvoiceId MUST NOT be NULL., 7.3ms)\n"


def said(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What the step makes of the validator's words."""
    file = tmp_path / "said"
    file.write_text(text, encoding="utf-8")
    return subprocess.run(["bash", STEP, "verdict", file], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["build", "focus"])
def test_its_packages_are_pinned_by_hash(name: str) -> None:
    """As all others; apart, since they want older ones than the gateway."""
    compiled = pinned(PINS / f"{name}.txt")
    assert names(wanted(PINS / f"{name}.in")) <= set(compiled)
    assert all(hashes for _, hashes in compiled.values())
    assert all(str(requirement.specifier).startswith("==") for requirement, _ in compiled.values())


def test_the_one_rule_that_cannot_be_met_is_allowed(tmp_path: Path) -> None:
    """It contradicts its neighbour; either may be the one that fails."""
    head = "Total: 578 | Pass: 279 | Fail: 1 | Skipped: 298\n"
    for text in (ONE, ONE.replace("005", "004")):
        done = said(tmp_path, head + text)
        assert done.returncode == 0, done.stderr
        assert "279 rules pass" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "Total: 578 | Pass: 279 | Fail: 2 | Skipped: 298\n"
        + ONE
        + "❌ BilledCost-C-003-M: FAIL  (violations=1)\n",
        "Total: 578 | Pass: 279 | Fail: 2 | Skipped: 298\n" + ONE + ONE.replace("005", "004"),
        "Total: 578 | Pass: 279 | Fail: 1 | Skipped: 298\n❌ BilledCost-C-003-M: FAIL  (violations=1)\n",
        "Total: 578 | Pass: 12 | Fail: 1 | Skipped: 565\n" + ONE,
        "Traceback (most recent call last):\n",
        "",
    ],
    ids=["another rule too", "both", "another rule", "hardly any rule ran", "it crashed", "it said nothing"],
)
def test_anything_else_fails(tmp_path: Path, text: str) -> None:
    """The validator ends with 0 whatever it found."""
    assert said(tmp_path, text).returncode == 1


def test_without_its_python_the_step_says_so_and_ends_well(tmp_path: Path) -> None:
    """Unless it was asked to insist."""
    for insist, code in (("", 0), ("1", 1)):
        folder = tmp_path / f"clone{insist}"
        (folder / ".ci").mkdir(parents=True)
        (folder / ".ci" / "focus").write_bytes(STEP.read_bytes())
        done = subprocess.run(
            ["bash", folder / ".ci" / "focus"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "BORDERPOST_REQUIRE_FOCUS": insist},
        )
        assert (done.returncode, "NOT RUN" in done.stderr) == (code, True)


def test_the_reference_names_every_column() -> None:
    """What finance reads of the file is what is in the file."""
    page = (ROOT / "docs" / "reference" / "focus.md").read_text(encoding="utf-8")
    for version in ("1.2", "1.4"):
        missing = [name for name in columns(version) if f"`{name}`" not in page]
        assert not missing, f"FOCUS {version}: {missing}"
