"""Golden vendor files and what each line of them means, as checked by hand."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.adapters.vendor_costs import Checked, Options, reader_of

FOLDER = Path(__file__).parents[2] / "golden" / "vendor_costs"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def plain(line):
    """A line as the golden file has it: exact numbers as text."""
    return {
        "row": line.row,
        "start_us": line.start_us,
        "hours": (line.end_us - line.start_us) // 3_600_000_000,
        "account": line.account,
        "model": line.model,
        "meter": line.meter,
        "quantity": None if line.quantity is None else f"{line.quantity.normalize():f}",
        "amount": None if line.amount is None else f"{line.amount.normalize():f}",
        "currency": line.currency,
        "kind": line.kind,
        "month": line.month,
    }


def read(path, source, **options):
    """Every line of a file, checked against each other."""
    given = Options(**options)
    return list(Checked(path.name, reader_of(source)(path, given), given))


def holds(name, source):
    """The golden file is read to what its lines mean."""
    assert [plain(line) for line in read(FOLDER / name, source)] == EXPECTED[name]


def as_parquet(name, folder, **types):
    """A golden CSV as the same exporter's Parquet: decimals, doubles and UTC timestamps, as told."""
    import csv
    from datetime import datetime
    from decimal import Decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    with (FOLDER / name).open(newline="", encoding="utf-8") as raw:
        rows = list(csv.DictReader(raw))

    def cell(column, text):
        kind = types.get(column)
        if text == "":
            return None
        if kind is None:
            return text
        if pa.types.is_timestamp(kind):
            return datetime.fromisoformat(text)
        return float(text) if pa.types.is_floating(kind) else Decimal(text)

    table = pa.table(
        {
            column: pa.array([cell(column, row[column]) for row in rows], type=types.get(column, pa.string()))
            for column in rows[0]
        }
    )
    path = folder / f"{Path(name).stem}.parquet"
    pq.write_table(table, path)
    return path
