"""The GPU report: every section ends in the cent of the entries, and says what a token costs."""

# ruff: noqa: E501 (files, rows and sentences stand whole, as people read them)

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.core.gpu_pools import HOUR_US
from gateway.core.money import present
from gateway.reports.document import checked
from gateway.reports.gpu import build
from gateway.reports.kinds import KINDS, Asked
from tests.adapters.gpu_bank import HOUR, MINUTE, bank, booked, closing, served, write
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.policy.pools import OTHERS, POOLS

NOW = (HOUR + 8 * HOUR_US) * 1000
ASKED = Asked(month="2026-11", by=(), now=NOW)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with opened(url) as made:
        yield made


def a_month(store, snapshot):
    """Some hours of two teams, and one vendor's call."""
    write(
        store,
        served("a", HOUR + MINUTE, 7 * MINUTE, input=40_000, output=9_000),
        served("b", HOUR + HOUR_US + MINUTE, 3 * MINUTE, team="lab", app="hackathon", cost_centre="4900", input=800,
               output=5_000),
        served("v", HOUR + MINUTE, MINUTE, input=1_000_000, output=500_000)
        | {"deployment": "vendor-1", "currency": "USD", "nano": 1_320_000_000, "spend_nano": 1_838_100_000},
    )  # fmt: skip
    closing(store, snapshot, HOUR + 5 * HOUR_US)[0].step()


def document(store, snapshot, asked=ASKED):
    """The report, checked as every writer checks it."""
    with store.read() as connection:
        return checked(build(snapshot, asked)(connection))


def section(report, name):
    """(column names, rows as dicts, total as dict)."""
    (found,) = [s for s in report.sections if s.name == name]
    names = [c.name for c in found.columns]
    rows = [dict(zip(names, row, strict=True)) for row in found.rows]
    return rows, dict(zip(names, found.total, strict=True)) if found.total else {}


def test_every_section_ends_in_the_entries_cent(store):
    """Pools and teams show the same money as the ledger entries, to the cent."""
    snapshot = bank()
    a_month(store, snapshot)
    report = document(store, snapshot)
    (cents,) = present([sum(e.spend_nano for e in booked(store))])
    pools, total = section(report, "pools")
    teams, of_teams = section(report, "teams")
    assert cents > 0
    assert total["spend"] == of_teams["spend"] == cents == sum(row["spend"] for row in teams)
    (pool,) = pools
    assert pool["billed_hours"] == pool["used_hours"] + pool["idle_hours"] + pool["unallocated_hours"]
    assert pool["used"] + pool["idle"] + pool["unallocated"] == pool["spend"]
    assert {row["team"] for row in teams} == {"branch", "lab"}
    assert [row["cost_centre"] for row in teams] == ["4410", "4900"]


def test_own_tokens_stand_beside_the_vendors(store):
    """Cost per million: all that the pool cost, idle included, and what the vendor's calls were booked at."""
    snapshot = bank()
    a_month(store, snapshot)
    rows, _ = section(document(store, snapshot), "unit-costs")
    own, vendor = rows
    assert (own["kind"], own["name"], own["tokens_in"], own["tokens_out"]) == (
        "own",
        "llama-ca",
        40_800,
        14_000,
    )
    # Four hours of 8 GPUs at 2.85 USD, at 1.3925 CAD, over 54,800 tokens.
    assert own["per_million"] == (Decimal("126.996") * 1_000_000 / 54_800).quantize(Decimal("0.0001"))
    assert (vendor["kind"], vendor["name"], vendor["per_million"]) == (
        "vendor",
        "vendor-1",
        Decimal("1.2254"),
    )


def test_break_even_is_where_the_lines_meet(store):
    """At the stated volume the vendor's price for the same mix is the month's fixed cost."""
    snapshot = bank()
    a_month(store, snapshot)
    report = document(store, snapshot)
    (part,) = [s for s in report.sections if s.name == "break-even-llama-ca"]
    rows, _ = section(report, "break-even-llama-ca")
    # 8 GPUs for November in Toronto (721 hours) at 2.85 USD and 1.3925 CAD.
    assert rows[0]["own"] == Decimal("22891.03")
    assert rows[0]["at_vendor-1"] == 0
    per_million = (Decimal("0.44") * 40_800 + Decimal("1.76") * 14_000) / 54_800 * Decimal("1.3925")
    meets = Decimal(8 * 721) * Decimal("2.85") * Decimal("1.3925") / per_million
    assert f"vendor-1: {meets:,.1f} million tokens a month" in part.notes[0]
    assert rows[-1]["at_vendor-1"] > rows[-1]["own"]
    assert part.chart.kind == "line"


def test_what_is_estimated_stands_apart(store):
    """Uncalibrated: the note says so, and the estimated money of each team is its use."""
    default = POOLS.replace(POOLS[POOLS.index("    calibration:") : POOLS.index("    idle:")], "")
    snapshot = bank(pools=default)
    a_month(store, snapshot)
    report = document(store, snapshot)
    assert any("not calibrated" in note for note in report.notes)
    teams, _ = section(report, "teams")
    assert all(0 < row["estimated"] < row["spend"] for row in teams)


def test_a_month_without_a_closed_hour_is_empty_and_says_so(store):
    """No rows, no division by nothing."""
    report = document(store, bank())
    assert ("method", "no hour is closed yet") in report.facts
    rows, total = section(report, "pools")
    assert (rows[0]["used_percent"], total["spend"]) == (None, 0)


def test_what_cannot_be_asked_is_refused_with_the_fix():
    """A grouping, a month that is none, a bundle without pools."""
    with pytest.raises(ValueError, match="omit --by"):
        build(bank(), Asked(month="2026-11", by=("team",), now=NOW))
    with pytest.raises(ValueError, match="no month"):
        build(bank(), Asked(month="2026-13", by=(), now=NOW))
    with pytest.raises(ValueError, match=r"add pools\.yaml"):
        build(bank(pools=""), ASKED)
    assert KINDS["gpu"][0] == "gateway.reports.gpu"
    assert OTHERS
