"""The reconciliation report ties out: rows to feet, causes to the gap, the ledger to the spend report."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from gateway.adapters.store_sql.reports import spend
from gateway.adapters.store_sql.tables_books import closed_periods
from gateway.core.bill import Billing
from gateway.core.snapshot import Rate
from gateway.reports.kinds import Asked
from gateway.reports.reconcile import build, span
from tests.adapters.vendor_costs.bank import DAY, HOUR, OCTOBER, PRICE, call, line, took
from tests.people import book, database, snapshot, sqlite

USD_CAD = Rate(base="USD", quote="CAD", rate=Decimal("1.4"), valid_from=0, source="t")
BANK = snapshot(rates=(USD_CAD,), billing={"microsoft": Billing(vendor="microsoft")})
ASKED = Asked(month="2026-10", by=(), now=(OCTOBER + 45 * DAY) * 1000)
TOKENS = {"input": 2_000_003, "output": 500_001}


def read(store, bank=BANK, asked=ASKED):
    with store.read() as connection:
        return build(bank, asked)(connection)


def section(document, name):
    return next(one for one in document.sections if one.name == name)


def column(table, name):
    at = [one.name for one in table.columns].index(name)
    return [row[at] for row in table.rows]


def ties(document):
    """Every money column sums to its foot; the causes of a currency sum to its gap."""
    zero = Decimal("0.00")
    for table in document.sections:
        for at, one in enumerate(table.columns):
            assert all(len(row) == len(table.columns) for row in table.rows)
            if one.kind == "money" and table.total is not None:
                assert sum((row[at] for row in table.rows), zero) == table.total[at], (table.name, one.name)
        if table.name.startswith("reconcile"):
            causes = section(document, table.name.replace("reconcile", "causes"))
            assert causes.total[3] == table.total[5]
            for row in table.rows:
                assert row[3] - row[4] == row[5]


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(st.integers(min_value=0, max_value=30), min_size=1, max_size=8, unique=True),
    output=st.sampled_from(["1.76", "1.7654321", "2.00"]),
    missing=st.integers(min_value=0, max_value=30),
    tax=st.decimals(min_value=0, max_value=99, places=3),
)
def test_every_report_ties(tmp_path_factory, days, output, missing, tax) -> None:
    with database(sqlite(tmp_path_factory.mktemp("r"))) as store:
        with store.write() as connection:
            book(connection, *(call(f"c{day}", day * 24 + 9, TOKENS) for day in days))
        price = {**PRICE, "output": output}
        lines = [
            line(day, meter, tokens, number=day * 10 + n, price=price)
            for day in sorted({*days, missing})
            for n, (meter, tokens) in enumerate(TOKENS.items())
            if day != missing or len(days) == 1
        ]
        lines.append(line(0, "", 0, number=999, kind="tax", amount=tax, quantity=None, model=""))
        took(store, lines)
        document = read(store)
        ties(document)
        table = document.sections[0]
        with store.read() as connection:
            zone = document.timezone
            assert zone == "America/Toronto"
            sums = spend(
                connection, tenant="maple", start_us=OCTOBER + 4 * HOUR, end_us=OCTOBER + 31 * DAY + 4 * HOUR,
                by=("vendor",), currency="CAD",
            )  # fmt: skip
        assert table.total[4] == round(Decimal(sum(one.nano for one in sums)) / 10**9, 2)
        assert table.total[3] == round(sum(round(one.amount, 9) for one in lines), 2)


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            book(connection, *(call(f"c{day}", day * 24 + 9, TOKENS) for day in range(5)))
        yield store


def lines(**changes):
    return [
        line(day, meter, tokens, number=day * 10 + n, **changes)
        for day in range(5)
        for n, (meter, tokens) in enumerate(TOKENS.items())
    ]


def test_nothing_imported_is_said(store) -> None:
    document = read(store)
    assert dict(document.facts)["bills"] == "none imported"
    assert section(document, "without-bill").rows == (("microsoft", "USD", Decimal("8.80")),)
    ties(document)


def test_bills_of_two_currencies_have_a_table_each(store) -> None:
    euros = [line(9, "input", 1_000_000, number=500, model="command-a", currency="EUR")]
    took(store, lines())
    took(store, euros, name="b" * 64)
    document = read(store)
    assert [one.name for one in document.sections[:2]] == ["reconcile-eur", "reconcile-usd"]
    assert column(document.sections[0], "model") == ["command-a (not ours)"]
    ties(document)


def test_exceptions_say_why_and_an_invoice_is_compared(store) -> None:
    took(store, lines(price={**PRICE, "output": "2.00"}), invoice="INV-1", invoice_total=Decimal("10.00"))
    document = read(store)
    exceptions = section(document, "exceptions")
    assert column(exceptions, "status") == ["open"] * 5
    assert "output 2 on the bill, 1.76 in ours, per million" in column(exceptions, "explanation")[0]
    (imported,) = section(document, "imports").rows
    assert imported[7:10] == ("INV-1", Decimal("10.00"), Decimal("0.60"))
    assert dict(document.facts)["open exceptions"] == "5"


def test_shifted_days_are_said_in_words(store) -> None:
    with store.write() as connection:
        book(connection, *(call(f"n{day}", day * 24 + 22, TOKENS) for day in range(8)))
    moved = [line(day, "input", 2 * TOKENS["input"], number=day) for day in range(1, 5)]
    moved += [line(day, "output", 2 * TOKENS["output"], number=100 + day) for day in range(1, 5)]
    moved += [replace(line(0, m, n, number=200 + i)) for i, (m, n) in enumerate(TOKENS.items())]
    took(store, moved, covers=(OCTOBER, OCTOBER + 5 * DAY))
    assert any("shifted by" in note for note in read(store).notes)


def test_a_closed_month_says_so(store) -> None:
    assert read(store).status == "preliminary"
    with store.write() as connection:
        connection.execute(
            insert(closed_periods).values(
                tenant="maple", period="2026-10", timezone="America/Toronto", start_us=OCTOBER + 4 * HOUR,
                end_us=OCTOBER + 31 * DAY + 4 * HOUR, closed_us=1, closed_by="fin", role="finance", reason="",
                unread="[]",
            )
        )  # fmt: skip
    assert read(store).status == "closed"


def test_grouping_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="leave `--by` out"):
        build(BANK, replace(ASKED, by=("team",)))
    with pytest.raises(ValueError, match="no month"):
        build(BANK, replace(ASKED, month="soon"))


def test_windows_read_as_people_write_them() -> None:
    assert span(OCTOBER, OCTOBER + DAY) == "2026-10-01"
    assert span(OCTOBER, OCTOBER + 31 * DAY) == "2026-10-01..2026-10-31"
    assert span(OCTOBER + HOUR, OCTOBER + 2 * HOUR) == "2026-10-01 01:00Z"
    assert span(OCTOBER + 4 * HOUR, OCTOBER + DAY + 4 * HOUR) == "2026-10-01 04:00Z+24h"
