"""Finance closes a month while a machine is down: what it held comes late and changes nothing closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from gateway.core.periods import following
from gateway.reports.period import month, month_of
from tests.acceptance import bank
from tests.acceptance.calls import Caller, request
from tests.acceptance.commands import admin_tokens
from tests.acceptance.running import Running, eventually
from tests.fakes.vendor import FakeVendor, Script

CLOCK = str(Path(__file__).with_name("clock.py"))
TORONTO = "America/Toronto"


@dataclass
class Bank:
    """A gateway and a command line under one clock that the test moves."""

    running: Running
    offset: Path
    tokens: dict[str, str]

    def at(self, name: str, hours: float) -> None:
        """Move both clocks to so many hours after a month's end."""
        end = month(name, TORONTO).end_us / 1e6
        self.offset.write_text(str(int(end + hours * 3600 - time.time())))

    def books(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of ``borderpost`` under the moved clock."""
        running = self.running
        return subprocess.run(
            [sys.executable, "-P", CLOCK, *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "VENDOR_KEY": "unused",
                "BORDERPOST_DATA_DIR": str(running.data),
                "BORDERPOST_POLICIES": str(running.policies),
                "BORDERPOST_PLACE": "CA-QC",
                "CLOCK_OFFSET_FILE": str(self.offset),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def http(self, method: str, path: str, role: str = "finance") -> httpx.Response:
        """Ask the running gateway's books."""
        return httpx.request(
            method,
            f"{self.running.url}/v1/books/{path}",
            headers={"authorization": f"Bearer {self.tokens[role]}"},
            trust_env=False,
            timeout=20,
        )


@pytest.fixture
def desk(places: dict[str, FakeVendor], tmp_path: Path) -> Iterator[Bank]:
    """A bank whose time stands in the middle of this month."""
    bank.write(tmp_path / "policies", bank.bundle(places))
    file, tokens = admin_tokens(tmp_path, "finance", "auditor")
    offset = tmp_path / "offset"
    noon = datetime.now(UTC).astimezone(ZoneInfo(TORONTO)).replace(day=15, hour=12, minute=0)
    offset.write_text(str(int(noon.timestamp() - time.time())))
    running = Running(
        folder=tmp_path,
        policies=tmp_path / "policies",
        settings={"CLOCK_OFFSET_FILE": str(offset), "BORDERPOST_ADMIN_TOKEN_FILE": str(file)},
        program=("-P", CLOCK),
    )
    try:
        yield Bank(running=running.start(), offset=offset, tokens=tokens)
    finally:
        running.kill()


def call(running: Running, key: str, text: str) -> None:
    """Make a call; the gateway may die under it."""
    try:
        with Caller(running.url, key) as caller:
            caller.post("chat", request("chat", text, model="only-ca"))
    except httpx.HTTPError:
        return


def test_what_a_dead_machine_held_comes_late_and_changes_nothing(
    desk: Bank, places: dict[str, FakeVendor]
) -> None:
    """Refused while its journal is unread; forced with a reason; late in the next month; always verified."""
    running, vendor = desk.running, places["ca"]
    now = int((time.time() + int(desk.offset.read_text())) * 1e9)
    this = month_of(now, TORONTO)
    key = running.key("teller")
    call(running, key, "first")
    running.ledger(1)
    vendor.script(Script(delay_ms=20_000))
    seen = len(vendor.seen)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(call, running, key, "hanging")
        vendor.wait_for(seen + 1, seconds=20)
        running.kill()
        hanging.result(timeout=20)

    desk.at(this, 2)
    refused = desk.books("books", "close", this)
    assert refused.returncode == 1
    assert f"{this} may not be whole yet" in refused.stderr
    assert "its journal" in refused.stderr  # unread, or not read since: as the blow fell
    forced = desk.books("books", "close", this, "--force", "--reason", "the machine in Quebec is down")
    assert forced.returncode == 0, forced.stderr
    assert "1 attempts (0 late ones of earlier months), 0 entries" in forced.stdout
    sha256 = forced.stdout.split("sha256  ")[1][:64]

    running.start()
    late = running.ledger(2)
    after = following(this)
    booked = {str(row["status"]): row["billing_period"] for row in late}
    assert booked == {"served": None, "abandoned": after}
    assert desk.books("books", "verify").returncode == 0
    here = desk.http("GET", this, role="auditor").json()
    assert (here["status"], here["booked_later"]) == ("closed", 1)
    assert desk.http("POST", f"{this}/close").json()["sha256"] == sha256
    assert desk.http("POST", f"{after}/close").status_code == 409

    report = json.loads(desk.books("report", "chargeback", "--month", after, "--format", "json").stdout)
    corrections = section(report, "corrections")
    assert [row["kind"] for row in corrections["rows"]] == ["late attempt"]

    # The next month closes by itself once the idle gateway has said that nothing is left.
    desk.at(after, 2)
    eventually(lambda: desk.http("POST", f"{after}/close").status_code == 200, 30)
    done = desk.http("POST", f"{after}/close").json()["statement"]
    assert done["rows"] == {"ledger": 1, "ledger_entries": 0, "late": 1}
    assert desk.books("books", "verify").returncode == 0
    assert desk.http("GET", f"{after}/verify", role="auditor").json()["holds"]
    assert desk.books("books", "rebuild").returncode == 0


def test_a_folder_says_that_nobody_approved_its_budgets(desk: Bank, places: dict[str, FakeVendor]) -> None:
    """The change comes into force and is recorded with what it was; nobody signed it, and status says so."""
    running = desk.running

    def books() -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{running.url}/status", trust_env=False).json()
        return found

    [control] = [item for item in books()["controls"] if item["name"] == "money_approval"]
    assert control["mode"] == "off"
    assert "a folder does not say who wrote them" in control["why"]
    assert "no budget or price was changed" in desk.books("books", "changes").stdout
    files = bank.bundle(places)
    files["prices/all.yaml"] = [
        item | {"meters": item["meters"] | {"input": "2.50"}} if item["deployment"] == "ca" else item
        for item in files["prices/all.yaml"]
    ]
    bank.write(running.policies, files)
    eventually(lambda: "last_money_change" in books().get("books", {}), 20)
    change = books()["books"]["last_money_change"]
    assert (change["author"], change["by"], change["approved_by"]) == ("unknown", "folder", [])
    listed = desk.books("books", "changes").stdout
    assert "written by unknown, put in force by folder, approved by nobody" in listed
    assert ".meters.input: 1.00 → 2.50" in listed
    eventually(lambda: b'"kind":"money.changed"' in running.everything_written(), 10)


def section(report: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of a report as JSON."""
    found: dict[str, Any] = next(item for item in report["sections"] if item["name"] == name)
    return found
