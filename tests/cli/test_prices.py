"""``borderpost prices`` as finance uses it: look, lint, import, rate a month again, book reserved capacity."""

# ruff: noqa: E501 (texts stand whole, as people read them)

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.core.rerate import booked, from_book
from gateway.core.values import Usage
from gateway.policy.compile import compile_bundle
from gateway.policy.load import load_bundle
from tests.cli.desk import STARTER, Desk
from tests.core.test_rerate import row_of

DEMO = "prices/demo.yaml"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with policies of its own."""
    shutil.copytree(STARTER, tmp_path / "policies")
    return Desk(tmp_path, tmp_path / "policies")


def written(desk: Desk) -> dict[str, str]:
    """Every price file."""
    return {path.name: path.read_text() for path in sorted((desk.policies / "prices").iterdir())}


def test_show_says_what_a_model_costs_and_since_when(desk: Desk) -> None:
    """One model, at a day; before its price there is none."""
    done = desk.run("prices", "show", "--deployment", "demo-ca-qc")
    assert done.exit_code == 0, done.output
    assert "demo-ca-qc: demo-ca-qc-2026, USD, from 2026-01-01T00:00:00Z for good" in done.output
    assert "input 0.44, cache_read 0.11" in done.output
    early = desk.run("prices", "show", "--deployment", "demo-ca-qc", "--at", "2025-12-31")
    assert "no price at 2025-12-31T00:00:00Z" in early.output
    assert desk.run("prices", "show", "--deployment", "nope").exit_code == 2
    assert desk.run("prices", "show", "--at", "soon").exit_code == 2


def test_lint_is_quiet_on_the_starter_and_strict_about_a_slip(desk: Desk) -> None:
    """The same finding stops `policy check --strict`."""
    clean = desk.run("prices", "lint")
    assert (clean.exit_code, "0 to look at" in clean.output) == (0, True)
    path = desk.policies / DEMO
    path.write_text(path.read_text().replace('output: "1.76"', 'output: "1760.00"'))
    slip = desk.run("prices", "lint")
    assert slip.exit_code == 1
    assert "prices/demo.yaml:" in slip.output
    assert "too_dear" in slip.output
    strict = desk.run("policy", "check", "--strict", "--folder", str(desk.policies))
    assert strict.exit_code == 1
    assert "too_dear" in strict.output


def test_a_bundle_that_cannot_be_used_is_said_with_its_line(desk: Desk) -> None:
    """Two lines, the fix, and nothing else runs."""
    path = desk.policies / DEMO
    path.write_text(path.read_text().replace('input: "0.44"', 'input: "-0.44"'))
    for command in (["show"], ["lint"], ["import", "--deployment", "demo-us", "--model", "gpt-5"]):
        done = desk.run("prices", *command)
        assert done.exit_code == 2
        assert "prices/demo.yaml:10:" in done.output
        assert "`-0.44` is negative" in done.output


def test_an_import_ends_the_old_price_and_begins_the_new_one(desk: Desk) -> None:
    """One file changes, the bundle is good, and calls are priced by the new entry from its start on."""
    done = desk.run(
        "prices", "import", "--deployment", "demo-us", "--model", "gpt-5", "--valid-from", "2030-01-01",
        "--approved-by", "cfo", "--tier", "priority",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "`demo-us-2026` ends at 2030-01-01T00:00:00Z" in done.output
    text = written(desk)["demo.yaml"]
    assert "valid: {from: 2026-01-01T00:00:00Z, to: 2030-01-01T00:00:00Z}" in text
    shown = desk.run("prices", "show", "--deployment", "demo-us", "--at", "2030-01-02")
    assert "demo-us-2030-01-01" in shown.output
    assert "approved by cfo" in shown.output
    assert "tier priority: input 2.50" in shown.output
    before = desk.run("prices", "show", "--deployment", "demo-us", "--at", "2029-12-31")
    assert "demo-us-2026," in before.output


def test_an_import_of_the_past_corrects_and_rewrites_nothing(desk: Desk) -> None:
    """What is learned late is used from now on; the old price keeps its lines."""
    old = written(desk)["demo.yaml"]
    done = desk.run(
        "prices", "import", "--deployment", "demo-us", "--model", "gpt-5", "--valid-from", "2026-02-01"
    )
    assert done.exit_code == 0, done.output
    text = written(desk)["demo.yaml"]
    assert text.startswith(old)
    assert "corrects: demo-us-2026" in text


def test_several_deployments_are_imported_together_or_not_at_all(desk: Desk) -> None:
    """One that fails keeps all files as they were."""
    before = written(desk)
    done = desk.run("prices", "import", "--deployment", "demo-us", "--deployment", "demo-eu")
    assert done.exit_code == 1
    assert "nothing was imported" in done.output
    assert written(desk) == before
    both = desk.run(
        "prices", "import", "--deployment", "demo-us", "--model", "gpt-5", "--deployment", "demo-eu"
    )
    assert both.exit_code == 2
    assert written(desk) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--deployment", "demo-uss", "--model", "gpt-5"], "unknown deployment `demo-uss`; did you mean `demo-us`?"),
        (["--deployment", "demo-us", "--model", "gpt-5-hyper"], "has no model `gpt-5-hyper`"),
        (["--deployment", "demo-us", "--model", "gpt-5", "--provider", "anthropic"], "has no model `gpt-5` of `anthropic`"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_said_and_nothing_is_written(
    desk: Desk, arguments: list[str], said: str
) -> None:
    """By name, with the nearest right one."""
    before = written(desk)
    done = desk.run("prices", "import", *arguments)
    assert done.exit_code == 1
    assert said in done.output
    assert written(desk) == before


def test_a_dry_run_writes_nothing(desk: Desk) -> None:
    """It prints the file that would be."""
    before = written(desk)
    done = desk.run("prices", "import", "--deployment", "demo-us", "--model", "gpt-5", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "--- prices/demo.yaml" in done.output
    assert written(desk) == before


# ------------------------------------------------------------------- a month rated again


def booked_rows(desk: Desk, count: int) -> str:
    """Put attempts of this month into the ledger, priced by the bundle as it is; return the month."""
    now = datetime.now(UTC)
    snapshot = compile_bundle(load_bundle(desk.policies, now=int(now.timestamp()) * 10**9), now=0)
    when = int((now - timedelta(minutes=1)).timestamp()) * 10**9
    here = {**snapshot.prices, "here": snapshot.prices["demo-ca-qc"]}
    bundle = snapshot.__class__(**{**_fields(snapshot), "prices": here})
    store = desk.store()
    with store.write() as connection:
        for number in range(count):
            row = row_of(bundle, Usage(input=1_000 + number, output=7), when)
            row |= {
                "attempt_id": f"a{number}", "call_id": f"c{number}", "seq": number, "tenant": snapshot.tenant,
                "deployment": "demo-ca-qc",
            }  # fmt: skip
            known = {name: value for name, value in row.items() if name in ledger.c}
            connection.execute(ledger.insert().values(**known))
    store.close()
    return now.strftime("%Y-%m")


def _fields(snapshot: object) -> dict[str, object]:
    from dataclasses import fields

    return {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}  # type: ignore[arg-type]


def test_a_month_rates_the_same_until_a_price_changes_under_its_id(desk: Desk) -> None:
    """The rows explain themselves in any case; the book that was tampered with is named."""
    booked_rows(desk, 3)
    same = desk.run("prices", "check")
    assert same.exit_code == 0, same.output
    assert "3 priced rows, 3 rate the same from their own prices; 0 are booked at their hold" in same.output
    path = desk.policies / DEMO
    path.write_text(path.read_text().replace('input: "0.44"', 'input: "0.45"'))
    changed = desk.run("prices", "check")
    assert changed.exit_code == 1
    assert "changed: the price `demo-ca-qc-2026` of 3 rows means another amount now" in changed.output


def test_a_price_learned_later_is_a_difference_and_changes_no_row(desk: Desk) -> None:
    """Finance sees what to book; the rows stay."""
    booked_rows(desk, 2)
    path = desk.policies / DEMO
    known = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path.write_text(
        path.read_text()
        + "- id: demo-ca-qc-fixed\n  deployment: demo-ca-qc\n  currency: USD\n"
        + '  meters: {input: "0.40", output: "1.76"}\n  valid: {from: 2026-01-01}\n'
        + f"  recorded: {known}\n  corrects: demo-ca-qc-2026\n  source: sheet\n"
    )
    done = desk.run("prices", "check")
    assert done.exit_code == 0, done.output
    # (1000 + 1001) tokens × 0.04 per million less.
    assert "learned since: 2 rows would cost -0.00008004 USD" in done.output
    store = desk.store()
    with store.read() as connection:
        rows = [dict(row) for row in connection.execute(select(ledger)).mappings()]
    store.close()
    snapshot = compile_bundle(
        load_bundle(desk.policies, now=int(datetime.now(UTC).timestamp()) * 10**9), now=0
    )
    for row in rows:
        read = booked(row)
        assert read is not None
        again = from_book(snapshot, read)
        assert again is not None
        assert again.nano == read.nano


def test_rows_whose_amount_does_not_follow_are_named(desk: Desk) -> None:
    """An amount altered in the database shows at once."""
    booked_rows(desk, 2)
    store = desk.store()
    with store.write() as connection:
        connection.execute(ledger.update().where(ledger.c.attempt_id == "a1").values(nano=1))
    store.close()
    done = desk.run("prices", "check")
    assert done.exit_code == 1
    assert "WRONG a1: its amount does not follow from its lines" in done.output
    assert desk.run("prices", "check", "--month", "November").exit_code == 2


# ---------------------------------------------------------------------- reserved capacity


def test_reserved_capacity_of_a_month_is_booked_by_hand_once(desk: Desk) -> None:
    """Every closed day, whole; a dry run and a second run book nothing."""
    path = desk.policies / DEMO
    text = path.read_text().replace(
        "  valid: {from: 2026-01-01T00:00:00Z}",
        "  valid: {from: 2026-01-01T00:00:00Z, to: 2026-02-01T05:00:00Z}",
        1,
    )
    kept = (
        "- id: ptu\n  deployment: demo-ca-qc\n  currency: USD\n  valid: {from: 2026-02-01T05:00:00Z}\n"
        '  reserved: {amount: "2800.00", per: month}\n  source: order\n'
    )
    path.write_text(text + kept)
    dry = desk.run("prices", "reserved", "--month", "2026-02", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "2026-02: 28 windows due, 0 shares booked" in dry.output
    assert "idle: 100 USD" in dry.output
    done = desk.run("prices", "reserved", "--month", "2026-02")
    assert "28 windows due, 28 shares booked" in done.output
    again = desk.run("prices", "reserved", "--month", "2026-02")
    assert "0 windows due, 0 shares booked" in again.output
    store = desk.store()
    with store.read() as connection:
        amounts = connection.execute(select(ledger_entries.c.nano)).scalars().all()
    store.close()
    assert sum(amounts) == 2_800 * 10**9
    assert desk.run("prices", "reserved", "--month", "13").exit_code == 2
