"""Parquet: typed columns that are the same every month, the head in the metadata, no total among the rows."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway.reports.document import digest
from gateway.reports.writers.parquet import batched
from tests.reports.writers.documents import statement
from tests.reports.writers.reading import written


def read(document):
    return pq.read_table(io.BytesIO(written(document, "parquet")))


def one_column(column, *cells):
    first = statement().sections[0]
    rows = tuple(("x", cell) for cell in cells)
    return replace(
        statement(),
        sections=(replace(first, columns=(first.columns[0], column), rows=rows, total=None, chart=None),),
    )


def test_columns_are_typed():
    """Money is a decimal with its currency, a day is a date."""
    schema = read(statement()).schema
    assert schema.field("spend").type == pa.decimal128(38, 2)
    assert schema.field("spend").metadata[b"currency"] == b"CAD"
    assert schema.field("calls").type == pa.int64()
    assert schema.field("used").type == pa.decimal128(38, 4)
    assert schema.field("name").type == pa.string()
    forecast = replace(statement(), sections=statement().sections[1:])
    assert read(forecast).schema.field("day").type == pa.date32()


def test_an_empty_month_has_the_same_types():
    """So that months can be read as one table."""
    sections = tuple(replace(section, rows=(), total=None) for section in statement().sections)
    assert read(replace(statement(), sections=sections)).schema.types == read(statement()).schema.types


def test_the_metadata_says_what_it_is():
    """Title, period, status, digest, totals."""
    meta = read(statement()).schema.metadata
    assert (meta[b"borderpost.title"], meta[b"borderpost.period"]) == (b"Chargeback", b"2026-11")
    assert meta[b"borderpost.status"] == b"preliminary"
    assert meta[b"borderpost.sha256"].decode() == digest(statement()).removeprefix("sha256:")
    assert orjson.loads(meta[b"borderpost.total"])["spend"] == "2301.40"


def test_amounts_with_more_decimals_keep_them():
    """A unit cost of a third of a cent."""
    spend = statement().sections[0].columns[4]
    table = read(one_column(spend, Decimal("0.003125"), Decimal(7)))
    assert table.column("spend").to_pylist() == [Decimal("0.003125"), Decimal("7.000000")]


def test_a_number_that_no_decimal_holds_is_refused_with_the_cure():
    """Not rounded, not cut."""
    spend = statement().sections[0].columns[4]
    with pytest.raises(
        ValueError, match="`spend` holds a number that no Parquet decimal holds; use csv or json"
    ):
        written(one_column(spend, Decimal(10) ** 37), "parquet")


def test_a_count_beyond_int64_is_a_decimal():
    """Rather than an overflow."""
    calls = statement().sections[0].columns[3]
    assert read(one_column(calls, 2**63)).column("calls").to_pylist() == [Decimal(2**63)]


def test_many_rows_are_written_in_groups():
    """200,000 rows: no more than one group is held as columns at a time, and the sum is right."""
    spend = statement().sections[0].columns[4]
    cells = [Decimal(number).scaleb(-2) for number in range(200_000)]
    data = written(one_column(spend, *cells), "parquet")
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == 10
    assert sum(pq.read_table(io.BytesIO(data)).column("spend").to_pylist()) == sum(cells)


def test_batches_are_whole():
    """Nothing lost at the seams."""
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched((), 2)) == []
