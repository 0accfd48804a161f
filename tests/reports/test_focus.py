"""The export of a month: it is the spend report's month, to the nano-unit, or it is not written."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby

import pytest

from gateway.adapters.store_sql import Store, reports
from gateway.core.money import decimal_of
from gateway.reports.focus import FocusRefused, export, version_of
from gateway.reports.writers import FormatUnavailable
from tests.adapters.store_sql.databases import opened
from tests.people import book, row, snapshot
from tests.reports.focus_month import MONTH, attempts, exported, fill
from tests.reports.test_focus_fold import NOVEMBER


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path) -> Iterator[Store]:
    """The made-up month in each kind of database."""
    url = f"sqlite:///{tmp_path / 'month.db'}"
    with opened(url if request.param == "sqlite" else request.getfixturevalue("postgres_url")) as made:
        with made.write() as connection:
            fill(connection, 150)
        yield made


def spend(connection, *by):
    """What the spend report's query says, by group and currency."""
    period = {"start_us": NOVEMBER[0], "end_us": NOVEMBER[1], "billing": MONTH}
    return reports.spend(connection, tenant="maple", by=by, currency="CAD", **period)


def summed(rows, key, cost):
    """Sums of a cost by a key of the row."""
    ordered = sorted((row for row in rows if row[cost] is not None), key=lambda row: str(key(row)))
    return {
        name: total
        for name, group in groupby(ordered, key=key)
        if (total := sum((row[cost] for row in group), Decimal(0)))
    }


@pytest.mark.parametrize("grain", ["day", "hour"])
@pytest.mark.parametrize("version", ["1.2", "1.4"])
def test_every_grouping_is_the_spend_reports(store, version, grain):
    """By team, app, model and vendor, in the price's currency and in the organisation's, to the nano-unit."""
    with store.read() as connection:
        made = exported(connection, version, grain)
        rows = list(made.rows())
        for name, column in {
            "team": "x_Team",
            "app": "x_App",
            "cost_centre": "x_CostCentre",
            "model": "x_Model",
        }.items():
            sums = spend(connection, name)
            billed: dict = {}
            for item in sums:
                key = (item.group[0] or None, item.currency)
                billed[key] = billed.get(key, Decimal(0)) + decimal_of(item.nano)
            ours = summed(
                rows, lambda one, column=column: (one[column], one["BillingCurrency"]), "BilledCost"
            )
            assert ours == {key: amount for key, amount in billed.items() if amount}, name
            own: dict = {}
            for item in sums:
                own[item.group[0] or None] = own.get(item.group[0] or None, Decimal(0)) + decimal_of(
                    item.spend_nano
                )
            assert summed(rows, lambda one, column=column: one[column], "x_SpendCost") == {
                key: amount for key, amount in own.items() if amount
            }, name
    assert made.count == len(rows)
    assert made.unpriced == 0


def test_a_finer_grain_has_more_rows_and_the_same_sum(store):
    """Hours of days."""
    with store.read() as connection:
        day, hour = exported(connection, grain="day"), exported(connection, grain="hour")
    assert hour.count > day.count
    assert (hour.billed, hour.spend) == (day.billed, day.spend)


def test_list_and_contracted_cost_are_the_ledgers(store):
    """What the ledger holds as list price, the file tells as ListCost: to the rounding of its attempts."""
    with store.read() as connection:
        rows = [one for one in exported(connection).rows() if one["x_EntryKind"] == "usage" and one["SkuId"]]
        cohere = [one for one in rows if one["ProviderName"] == "cohere"]
    made = [one for one in attempts(150) if one["vendor"] == "cohere" and one["lines"] != "[]"]
    listed = decimal_of(sum(one["list_nano"] for one in made))
    assert abs(sum(one["ListCost"] for one in cohere) - listed) < Decimal("1e-9") * len(made)
    assert sum(one["ContractedCost"] for one in cohere) < sum(one["ListCost"] for one in cohere)


def test_what_lacks_a_price_is_counted(store):
    """It has no row; it must not go unsaid."""
    with store.write() as connection:
        book(connection, row("x/1", currency=None, nano=None, spend_currency=None, spend_nano=None))
    with store.read() as connection:
        assert exported(connection).unpriced == 1


def test_rows_that_do_not_sum_to_the_report_are_refused(store, monkeypatch):
    """A fold that loses a nano-unit is found before the file is."""
    honest = reports.attempts

    def losing(connection, **told):
        several = honest(connection, **told)
        next(several)
        yield from several

    monkeypatch.setattr(reports, "attempts", losing)
    with store.read() as connection, pytest.raises(FocusRefused, match="the spend report to"):
        exported(connection)


def test_another_month_is_another_file(store):
    """October is empty: a head and nothing else."""
    with store.read() as connection:
        found = export(snapshot(), month_name="2026-09", version="1.2", grain="day")(connection)
    out = io.BytesIO()
    found.write("csv", out)
    assert (found.count, out.getvalue().count(b"\r\n")) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "1.3"}, "FOCUS `1.3` cannot be written; use one of 1.2, 1.4"),
        ({"grain": "week"}, "by day or by hour, not by `week`"),
    ],
)
def test_what_cannot_be_written_is_said(changes, said):
    """Before anything is read."""
    with pytest.raises(ValueError, match=said):
        export(snapshot(), **{"month_name": MONTH, "version": "1.2", "grain": "day", **changes})
    assert version_of("1.4") == "1.4"


def test_a_month_that_is_none_is_said(store):
    """As in every report."""
    with store.read() as connection, pytest.raises(ValueError, match="`soon` is no month"):
        export(snapshot(), month_name="soon", version="1.2", grain="day")(connection)


def test_without_the_library_csv_is_still_written(tmp_path, monkeypatch):
    """Parquet says what to install."""
    with opened(f"sqlite:///{tmp_path / 'month.db'}") as made, made.read() as connection:
        found = exported(connection)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found.write("csv", io.BytesIO())
    with pytest.raises(FormatUnavailable, match="parquet needs the package `pyarrow`"):
        found.write("parquet", io.BytesIO())
