"""The examples in the docs are what is written today: who wrote a reader for them finds nothing changed."""

from __future__ import annotations

import io

import openpyxl
import pyarrow.parquet as pq
import pytest

from tests.reports.writers.examples import FOLDER, examples
from tests.reports.writers.reading import pages

MADE = examples()


def cells(data: bytes) -> list[list[list[tuple[object, str]]]]:
    """Every cell of a workbook with its number format."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    return [[[(one.value, one.number_format) for one in row] for row in sheet.iter_rows()] for sheet in book]


def test_every_example_is_there_and_no_other():
    """Six formats of a report, two versions of FOCUS."""
    assert {path.name for path in FOLDER.iterdir()} == set(MADE)
    assert len(MADE) == 8


@pytest.mark.parametrize("name", sorted(MADE))
def test_an_example_is_what_is_written_today(name):
    """Text to the byte; of the others what a reader sees, since a library may pack it otherwise.

    If this is meant: ``python -m tests.reports.writers.examples`` and a line in the changelog.
    """
    there, made = (FOLDER / name).read_bytes(), MADE[name]
    match name.rpartition(".")[2]:
        case "xlsx":
            assert cells(there) == cells(made)
        case "pdf":
            assert pages(there) == pages(made)
        case "parquet":
            before, now = (pq.read_table(io.BytesIO(data)) for data in (there, made))
            assert before.schema.equals(now.schema, check_metadata=True)
            assert before.to_pylist() == now.to_pylist()
        case _:
            assert there.decode() == made.decode()
