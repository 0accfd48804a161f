"""FOCUS files read back: every cell, in both formats."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.reports.focus_columns import columns
from gateway.reports.focus_files import FILES, as_csv, as_parquet
from tests.people import database, sqlite
from tests.reports.focus_month import exported, fill


@pytest.fixture(scope="module", params=["1.2", "1.4"])
def made(request, tmp_path_factory):
    """The made-up month."""
    with database(sqlite(tmp_path_factory.mktemp("month"))) as store:
        with store.write() as connection:
            fill(connection, 60)
        with store.read() as connection:
            return exported(connection, request.param)


def file(made, form):
    out = io.BytesIO()
    made.write(form, out)
    return out.getvalue()


def test_csv_holds_every_cell(made):
    """Numbers with a fraction, instants with their zone, nothing for null."""
    lines = list(csv.reader(io.StringIO(file(made, "csv").decode(), newline="")))
    assert lines[0] == list(columns(made.version))
    for cells, row in zip(lines[1:], made.rows(), strict=True):
        for text, (name, kind) in zip(cells, columns(made.version).items(), strict=True):
            if kind == "decimal" and text:
                assert "." in text, name
            read = {
                "decimal": Decimal, "instant": lambda one: datetime.strptime(one,
                "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
            }.get(kind, str)  # fmt: skip
            assert (read(text) if text else None) == row[name], name


def test_parquet_holds_every_cell(made):
    """Decimals as decimals, instants in UTC, the version in the metadata."""
    table = pq.read_table(io.BytesIO(file(made, "parquet")))
    assert table.to_pylist() == [dict(row) for row in made.rows()]
    assert table.schema.field("BilledCost").type == pa.decimal128(38, 18)
    assert table.schema.field("ChargePeriodStart").type == pa.timestamp("us", tz="UTC")
    assert table.schema.metadata[b"borderpost.focus_version"].decode() == made.version
    assert table.schema.metadata[b"borderpost.period"] == b"2026-11"


def test_both_formats_sum_to_the_spend_report(made):
    """By currency, to the nano-unit."""
    table = pq.read_table(io.BytesIO(file(made, "parquet"))).to_pylist()
    lines = list(csv.DictReader(io.StringIO(file(made, "csv").decode(), newline="")))
    for currency, amount in made.billed.items():
        assert sum(row["BilledCost"] for row in table if row["BillingCurrency"] == currency) == amount
        assert (
            sum(Decimal(row["BilledCost"]) for row in lines if row["BillingCurrency"] == currency) == amount
        )


@pytest.mark.parametrize("form", FILES)
def test_the_same_month_is_the_same_file(made, form):
    """So that a digest says which one was sent."""
    assert file(made, form) == file(made, form)
    assert made.file_name(form) == f"focus-{made.version}-2026-11.{form}"


def test_a_name_does_not_run_in_a_spreadsheet():
    """Text from outside is defused; a negative amount is not text."""
    row = dict.fromkeys(columns("1.2")) | {"x_Team": "=1+1", "BilledCost": Decimal(-1)}
    out = io.BytesIO()
    as_csv([row], "1.2", {}, out)
    (line,) = csv.DictReader(io.StringIO(out.getvalue().decode(), newline=""))
    assert (line["x_Team"], line["BilledCost"]) == ("'=1+1", "-1.0")


@pytest.mark.parametrize("amount", ["1e20", "1e-19"])
def test_a_number_that_no_decimal_holds_is_refused(amount):
    """With its column, and the format that holds it; nothing is rounded."""
    row = dict.fromkeys(columns("1.2")) | {"ListCost": Decimal(amount)}
    with pytest.raises(ValueError, match=r"ListCost holds .*, which no Parquet decimal holds; use csv"):
        as_parquet([row], "1.2", {}, io.BytesIO())
