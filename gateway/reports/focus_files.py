"""FOCUS rows as files: CSV and Parquet, written as they come."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, BinaryIO, Final

from gateway.reports.document import places_of
from gateway.reports.focus_columns import Row, Type, Value, Version, columns
from gateway.reports.writers.cells import safe

_BATCH = 20_000


def as_csv(rows: Iterable[Row], version: Version, metadata: Mapping[str, str], out: BinaryIO) -> None:
    """Write CSV, RFC 4180. Numbers always have a fraction, instants are RFC 3339 in UTC, null is empty."""
    del metadata  # CSV has no place for it
    text = io.TextIOWrapper(out, encoding="utf-8", errors="replace", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\r\n")
    types = columns(version)
    writer.writerow(types)
    writer.writerows([_cell(row[name]) for name in types] for row in rows)
    text.detach()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        # A whole number without a fraction makes readers take the column for integers.
        return f"{value:f}" if places_of(value) else f"{value:f}.0"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return safe(value)


def as_parquet(rows: Iterable[Row], version: Version, metadata: Mapping[str, str], out: BinaryIO) -> None:
    """Write Parquet: decimals, instants in UTC. Raises ValueError on a number that does not fit."""
    import pyarrow as pa  # noqa: PLC0415 (its library may be absent)
    import pyarrow.parquet as pq  # noqa: PLC0415 (as above)

    from gateway.reports.writers.parquet import batched  # noqa: PLC0415 (as above)

    kinds: Mapping[Type, Any] = {
        "text": pa.string(),
        "json": pa.string(),
        "decimal": pa.decimal128(_DIGITS, _PLACES),
        "instant": pa.timestamp("us", tz="UTC"),
    }
    types = columns(version)
    schema = pa.schema(
        [pa.field(name, kinds[kind]) for name, kind in types.items()],
        metadata={f"borderpost.{name}": value for name, value in metadata.items()},
    )
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for batch in batched(rows, _BATCH):
            arrays = [
                pa.array([_fitted(row[name], name) for row in batch], type=kinds[kind])
                for name, kind in types.items()
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


_DIGITS, _PLACES = 38, 18


def _fitted(value: Value, name: str) -> Value:
    if not isinstance(value, Decimal):
        return value
    with localcontext() as context:
        context.prec = 2 * _DIGITS
        fitted = value.quantize(Decimal(1).scaleb(-_PLACES))
        if fitted != value or abs(value) >= 10 ** (_DIGITS - _PLACES):
            raise ValueError(f"{name} holds {value:f}, which no Parquet decimal holds; use csv")
        return fitted


Write = Callable[[Iterable[Row], Version, Mapping[str, str], BinaryIO], None]

FILES: Final[Mapping[str, tuple[str, Write]]] = {
    "csv": ("text/csv; charset=utf-8", as_csv),
    "parquet": ("application/vnd.apache.parquet", as_parquet),
}
"""Format → its media type and its writer."""
