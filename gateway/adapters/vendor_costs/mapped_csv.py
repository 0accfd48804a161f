"""Any other vendor's bill: a plain CSV, by a mapping that says which column is what.

:mod:`gateway.policy.bill_mapping` reads the mapping; this reads the bill.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.adapters.vendor_costs.cells import (
    MOST_AMOUNT,
    MOST_QUANTITY,
    Cells,
    Options,
    csv_rows,
    line,
    micros,
    number,
    single_units,
)
from gateway.core.bill import BillLine, CsvMapping, Kind, meter_in


def reader(how: CsvMapping) -> Callable[[Path, Options], Iterator[BillLine]]:
    """Return the reader of files that are mapped so."""

    def read(path: Path, options: Options) -> Iterator[BillLine]:
        encoding = "utf-8-sig" if how.encoding == "utf-8" else how.encoding
        named = list(how.columns.values())
        only = {**how.only, **options.only}
        rows = csv_rows(
            path,
            [(name,) for name in [*named, *only]],
            delimiter=how.delimiter,
            encoding=encoding,
            skip=how.skip_rows,
        )
        for cells in rows:
            if all(cells.text(column) == value for column, value in only.items()):
                found = _line(cells, how)
                if found is not None:
                    yield found

    return read


def _line(cells: Cells, how: CsvMapping) -> BillLine | None:
    columns = how.columns
    said = _text(cells, how, "kind")
    kind = how.kinds.get(said, None if said and how.kinds else "usage")
    if kind is None:
        raise cells.bad(f"`{columns.get('kind')}` is `{said[:30]}`; expected one of {', '.join(how.kinds)}")
    if kind == "skip":
        return None
    amount = _number(cells, columns["amount"], how)
    if amount is None:
        raise cells.bad(f"`{columns['amount']}` is empty; expected an amount, 0 if there is none")
    if how.in_cents:
        amount = amount.scaleb(-2)
    start = _moment(cells, columns["start"], how)
    end = _moment(cells, columns["end"], how) if "end" in columns else _after(start, how)
    counted = _number(cells, columns["quantity"], how) if "quantity" in columns else None
    quantity, unit = single_units(
        None if counted is None else counted * how.quantity_in,
        _text(cells, how, "unit"),
    )
    model = _text(cells, how, "model")
    return line(
        cells,
        start_us=micros(start),
        end_us=micros(end),
        kind=_of_sign(kind, amount),
        currency=cells.currency(columns["currency"]) if "currency" in columns else how.currency,
        amount=amount,
        quantity=quantity if kind == "usage" else None,
        account=_text(cells, how, "account"),
        model=model if kind == "usage" else "",
        sku=_text(cells, how, "sku") or model,
        meter=_meter(cells, how) if kind == "usage" else "",
        unit=unit,
        ref=_text(cells, how, "ref"),
    )


def _text(cells: Cells, how: CsvMapping, name: str) -> str:
    """Return what the mapped column holds, "" where none is mapped."""
    column = how.columns.get(name)
    return "" if column is None else cells.text(column)


def _of_sign(kind: Kind, amount: Decimal) -> Kind:
    return "credit" if kind == "fee" and amount < 0 else kind


def _meter(cells: Cells, how: CsvMapping) -> str:
    said = _text(cells, how, "meter")
    if not said:
        return how.meter
    if how.meters and said not in how.meters:
        raise cells.bad(f"`{how.columns['meter']}` is `{said[:30]}`; expected one of {', '.join(how.meters)}")
    return how.meters.get(said) or meter_in(said)


def _number(cells: Cells, name: str, how: CsvMapping) -> Decimal | None:
    text = cells.text(name)
    if not text:
        return None
    if how.thousands and not re.fullmatch(
        rf"[+-]?\d{{1,3}}(?:{re.escape(how.thousands)}?\d{{3}})*(?:{re.escape(how.decimal)}\d+)?", text
    ):
        raise cells.bad(f"`{name}` is `{text[:30]}`; expected thousands in groups of three")
    plain = text.replace(how.thousands, "") if how.thousands else text
    if how.decimal == ",":
        if "." in plain:
            raise cells.bad(f"`{name}` is `{text[:30]}`; expected a decimal comma, as the mapping says")
        plain = plain.replace(",", ".")
    return number(
        plain, name=name, at=cells, most=MOST_QUANTITY if name == how.columns.get("quantity") else MOST_AMOUNT
    )


def _moment(cells: Cells, name: str, how: CsvMapping) -> datetime:
    text = cells.needed(name)
    try:
        found = (
            datetime.strptime(text, how.time_format)  # noqa: DTZ007 (the zone is put in below)
            if how.time_format
            else datetime.fromisoformat(text)
        )
    except ValueError:
        wanted = how.time_format or "2026-11-01"
        raise cells.bad(f"`{name}` is `{text[:30]}`; expected it as {wanted}") from None
    if found.tzinfo is not None and how.timezone == "UTC":
        if found.utcoffset() != timedelta(0):
            raise cells.bad(f"`{name}` is `{text[:30]}`; expected UTC in every row, as the mapping says")
        return found
    if found.tzinfo is not None:
        raise cells.bad(f"`{name}` names a zone of its own; the mapping says {how.timezone}")
    return found.replace(tzinfo=ZoneInfo(how.timezone))


def _after(start: datetime, how: CsvMapping) -> datetime:
    """Return the end of a window: the next local hour, day or month."""
    zone = ZoneInfo(how.timezone)
    if how.window == "hour":
        return datetime.fromtimestamp(start.timestamp() + 3600, tz=zone)
    day = start.date()
    following = (
        day + timedelta(days=1)
        if how.window == "day"
        else date(day.year + day.month // 12, day.month % 12 + 1, 1)
    )
    return datetime(following.year, following.month, following.day, tzinfo=zone)
