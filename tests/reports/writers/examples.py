"""The examples of each format in the docs. ``python -m tests.reports.writers.examples`` writes them again."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from gateway.adapters.store_sql.entries import append
from gateway.reports.writers import FORMATS, file_name, write
from tests.people import book, database, sqlite
from tests.reports.focus_month import attempts, exported, others, shares
from tests.reports.writers.documents import statement

FOLDER = Path(__file__).parents[3] / "docs" / "reference" / "examples"


def examples() -> dict[str, bytes]:
    """Each file by its name: a chargeback in six formats, a small month in FOCUS."""
    found: dict[str, bytes] = {}
    for form in FORMATS:
        out = io.BytesIO()
        write(statement(), form, out)
        found[file_name(statement(), form)] = out.getvalue()
    with tempfile.TemporaryDirectory() as scratch, database(sqlite(Path(scratch))) as store:
        with store.write() as connection:
            book(connection, *attempts(12))
            append(connection, [*shares(1), *others()])
        with store.read() as connection:
            for version in ("1.2", "1.4"):
                made = exported(connection, version)
                out = io.BytesIO()
                made.write("csv", out)
                found[made.file_name("csv")] = out.getvalue()
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, data in examples().items():
        (FOLDER / name).write_bytes(data)
