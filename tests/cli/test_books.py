"""``borderpost books``: as finance uses it, on a database and a journal of the test's own."""

from __future__ import annotations

import json
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.core.periods import preceding
from gateway.reports.period import month_of
from tests.bookkeeping import come
from tests.cli.desk import Desk
from tests.people import TORONTO

NOW = time.time_ns()
THIS = month_of(NOW, TORONTO)
BEFORE = preceding(THIS)


def middle(month):
    """Noon of the 15th, in nanoseconds."""
    moment = datetime.strptime(f"{month}-15 12:00", "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(TORONTO))
    return int(moment.timestamp()) * 1_000_000_000


@pytest.fixture
def desk(tmp_path):
    """A bank with two attempts last month and one now."""
    made = Desk(tmp_path)
    store = made.store()
    come(store, ("a1", middle(BEFORE)), ("a2", middle(BEFORE) + 1), tenant="maple-bank")
    come(store, ("a3", NOW), tenant="maple-bank")
    store.close()
    return made


def late(desk, name="late", **changes):
    store = desk.store()
    come(store, (name, middle(BEFORE)), tenant="maple-bank", **changes)
    store.close()


def test_a_month_is_closed_checked_corrected_and_stated_again(desk):
    """The whole way, with what each step leaves in the journal."""
    assert f"{BEFORE}  preliminary\n{THIS}  open" in desk.run("books", "status").output
    done = desk.run("books", "close", BEFORE)
    assert done.exit_code == 0, done.output
    assert f"{BEFORE} v1 closed now  2.78 CAD" in done.output or "2.79 CAD" in done.output
    assert "2 attempts (0 late ones of earlier months), 0 entries" in done.output
    assert "GL lines have no account" not in done.stderr
    again = desk.run("books", "close", BEFORE)
    assert "closed before" in again.output
    assert done.output.split("sha256  ")[1][:64] == again.output.split("sha256  ")[1][:64]
    held = desk.run("books", "verify")
    assert held.exit_code == 0
    assert f"{BEFORE} v1  holds  2 rows" in held.output
    late(desk)
    corrected = desk.run("books", "correct", "--attempt", "a1", "--to", "0.25", "--reason", "the bill")
    assert f"booked -0.75 USD as correction in {THIS}" in corrected.output.replace("0.750000000", "0.75")
    status = desk.run("books", "status").output
    assert f"2 entries about it booked later; `borderpost books restate {BEFORE}`" in status
    assert "v2 restated now" in desk.run("books", "restate", BEFORE, "--reason", "late call, bill").output
    assert f"{BEFORE}  restated" in desk.run("books", "status").output
    assert desk.run("books", "verify", BEFORE).output.count("holds") == 2
    kinds = desk.kinds()
    for kind in ("period.closed", "ledger.corrected", "period.restated"):
        assert kinds.count(kind) == 1


def test_a_statement_is_signed_and_its_bytes_are_shown(desk):
    """By finance's key; the signature is checked against the keyring."""
    made = desk.run("policy", "keygen", str(desk.folder / "fina.pem"), "--name", "Fina", "--role", "finance")
    ring = desk.folder / "keyring.yaml"
    ring.write_text(f"keys:\n  {made.output}")
    environment = {"BORDERPOST_POLICY_KEYRING": str(ring)}
    key = str(desk.folder / "fina.pem")
    assert desk.run("books", "close", BEFORE, "--key", key, **environment).exit_code == 0
    assert "signed by Fina" in desk.run("books", "verify", **environment).output
    said = json.loads(desk.run("books", "statement", BEFORE).stdout)
    assert (said["period"], said["version"], said["rows"]["ledger"]) == (BEFORE, 1, 2)
    other = desk.run("policy", "keygen", str(desk.folder / "o.pem"), "--name", "Otto", "--role", "finance")
    ring.write_text(f"keys:\n  {other.output}")
    wrong = desk.run("books", "verify", **environment)
    assert wrong.exit_code == 1
    assert "the keyring does not know `Fina` by this key" in wrong.output
    stranger = desk.run("books", "restate", BEFORE, "--reason", "x", "--key", key, **environment)
    assert stranger.exit_code == 1
    assert "add its public half" in stranger.stderr


def test_a_statement_that_was_exchanged_is_found_by_the_journal(desk):
    """Rows, sums and hash may all agree: the journal noted another text when the month was closed."""
    from sqlalchemy import text

    desk.run("books", "close", BEFORE)
    assert desk.run("books", "verify", "--journal").exit_code == 0
    store = desk.store()
    with store.write() as connection:
        triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'"))
        for name in triggers.scalars().all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        said = connection.execute(text("SELECT statement FROM period_statements")).scalar_one()
        connection.execute(
            text("UPDATE period_statements SET statement = :new"),
            {"new": said.replace('"reason":""', '"reason":"an invented one"')},
        )
    store.close()
    assert desk.run("books", "verify").exit_code == 0
    found = desk.run("books", "verify", "--journal")
    assert found.exit_code == 1
    assert "the journal noted another statement when it was made" in found.output


def test_what_cannot_be_closed_is_said(desk):
    """The running month; no month; an open statement; nothing to restate."""
    running = desk.run("books", "close", THIS)
    assert running.exit_code == 1
    assert "a month is closed after its end" in running.stderr
    assert desk.run("books", "close", "soon").exit_code == 2
    assert desk.run("books", "statement", BEFORE).exit_code == 1
    assert "not closed" in desk.run("books", "verify", BEFORE).stderr
    assert "no month is closed yet" in desk.run("books", "verify").output
    desk.run("books", "close", BEFORE)
    assert "nothing was booked" in desk.run("books", "restate", BEFORE, "--reason", "x").stderr


@pytest.mark.parametrize("amount", ["-1", "NaN", "1e5", "Infinity", "", "1,5", "9" * 30])
def test_an_amount_that_is_none_is_refused(desk, amount):
    """Status 2, and how to write one."""
    done = desk.run("books", "correct", "--attempt", "a1", "--to", amount, "--reason", "x")
    assert done.exit_code == 2
    assert 'written like "0.1234"' in done.stderr


def test_corrections_say_what_they_did(desk):
    """An unknown attempt; an amount that is right already; an adjustment of the open month."""
    unknown = desk.run("books", "correct", "--attempt", "zz", "--to", "1", "--reason", "x")
    assert "no attempt `zz` is in the ledger" in unknown.stderr
    right = desk.run("books", "correct", "--attempt", "a1", "--to", "1", "--reason", "x")
    assert "costs that already" in right.output
    assert (
        "as adjust in" in desk.run("books", "correct", "--attempt", "a3", "--to", "2", "--reason", "x").output
    )


def test_the_trail_of_an_attempt(desk):
    """What is booked, by whom and why; as JSON for a program."""
    desk.run("books", "correct", "--attempt", "a1", "--to", "2", "--reason", "the vendor's bill")
    shown = desk.run("books", "entries", "--attempt", "a1")
    assert shown.exit_code == 0
    assert "settled" in shown.output
    assert "the vendor's bill" in shown.output
    assert "costs 2.785 CAD; the journal of writer `w1` is not on this machine" in shown.output
    data = json.loads(desk.run("books", "entries", "--attempt", "a1", "--format", "json").stdout)
    assert [step["what"] for step in data["steps"]] == ["settled", "adjusted"]
    assert desk.run("books", "entries", "--attempt", "zz").exit_code == 1


def test_status_for_programs_and_counters_that_agree(desk):
    """JSON; no budgets, no differences; no changes of money yet."""
    desk.run("books", "close", BEFORE)
    [closed, running] = json.loads(desk.run("books", "status", "--format", "json").stdout)
    assert (closed["status"], running["status"]) == ("closed", "open")
    assert closed["statements"][0]["sha256"]
    assert desk.run("books", "rebuild").exit_code == 0
    assert json.loads(desk.run("books", "rebuild", "--format", "json").stdout) == []
    assert "no budget or price was changed" in desk.run("books", "changes").output


def test_changes_of_money_are_listed(desk, tmp_path):
    """Published without signing: who wrote it, and that nobody approved it."""
    import shutil

    folder = tmp_path / "policies"
    shutil.copytree(desk.policies, folder, ignore=shutil.ignore_patterns("schema", "examples", "packs"))
    assert desk.run("policy", "publish", str(folder), "--author", "joe").exit_code == 0
    teams = folder / "teams.yaml"
    teams.write_text(teams.read_text().replace('limit: "2500.00"', 'limit: "2600.00"'))
    difference = desk.run("policy", "diff", str(desk.policies), str(folder)).output
    assert "budgets and prices, for finance to approve:" in difference
    assert "limit: 2500.00 → 2600.00" in difference
    assert desk.run("policy", "publish", str(folder), "--author", "joe").exit_code == 0
    listed = desk.run("books", "changes").output
    assert "written by joe" in listed
    assert "approved by nobody" in listed
    assert "limit: 2500.00 → 2600.00" in listed
    [one] = json.loads(desk.run("books", "changes", "--format", "json").stdout)
    assert one["approved_by"] == []
