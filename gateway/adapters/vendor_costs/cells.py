"""What every reader of a vendor's file shares: rows from CSV and Parquet, and cells that are what they say.

A cell is read exactly or not at all: an amount never passes through a binary float, an instant
names its zone, and the first cell that cannot be right ends the import, naming file and row.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import chain
from pathlib import Path
from typing import IO, cast

import orjson
from typing_extensions import override

from gateway.core.bill import BillLine, Kind

DAY_US = 86_400_000_000
MOST_AMOUNT = Decimal(10) ** 9
MOST_QUANTITY = Decimal(10) ** 16
_NUMBER = re.compile(r"[+-]?(?:\d{1,24}(?:\.\d{0,24})?|\.\d{1,24})(?:[eE][+-]?\d{1,2})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_LONGEST_CELL = 1_000_000


class BadFile(Exception):
    """A vendor's file cannot be read. The text names the file, the row and what was expected."""

    def __init__(self, file: str, row: int, message: str) -> None:
        """Keep where it is; row 0 is the file as a whole."""
        super().__init__(f"{file}:{row}: {message}" if row else f"{file}: {message}")
        self.row = row


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a reader is told beside the file."""

    currency: str = ""  # the only one that the file may hold; "" for the first that it holds
    only: Mapping[str, str] = field(default_factory=dict[str, str])  # column → value: leave other rows out
    keep_repeats: bool = False
    may_be_empty: bool = False  # as fetched: nothing was used, nothing is charged


@dataclass(slots=True)
class Cells:
    """One row of a file, by column."""

    file: str
    row: int
    values: Mapping[str, str]

    def bad(self, message: str) -> BadFile:
        """Return the error of this row."""
        return BadFile(self.file, self.row, message)

    def text(self, *names: str) -> str:
        """Return the first of the columns that holds something, ``""`` if none does."""
        return next((found for name in names if (found := self.values.get(name, "").strip())), "")

    def needed(self, *names: str) -> str:
        """Return the first of the columns that holds something. Raises BadFile if none does."""
        found = self.text(*names)
        if not found:
            raise self.bad(f"`{names[0]}` is empty")
        return found

    def decimal(self, *names: str, most: Decimal = MOST_AMOUNT) -> Decimal | None:
        """Return an exact number, None where the cell is empty. Raises BadFile on anything else."""
        text = self.text(*names)
        name = next((name for name in names if self.values.get(name, "").strip()), names[0])
        return None if not text else number(text, name=name, at=self, most=most)

    def amount(self, *names: str) -> Decimal:
        """Return an amount that must be there."""
        found = self.decimal(*names)
        if found is None:
            raise self.bad(f"`{names[0]}` is empty; expected an amount, 0 if there is none")
        return found

    def instant(self, *names: str, zone_given: bool = False) -> int:
        """Return an instant in microseconds. It names its zone, unless the format fixes UTC."""
        text = self.needed(*names)
        return instant(text, name=names[0], at=self, utc=zone_given)

    def currency(self, *names: str) -> str:
        """Return an ISO 4217 code."""
        text = self.needed(*names).upper()
        if not _CURRENCY.fullmatch(text):
            raise self.bad(f"`{names[0]}` is `{text[:20]}`; expected a currency code such as USD")
        return text

    @property
    def digest(self) -> str:
        """SHA-256 of the row as it was read."""
        content = orjson.dumps(self.values, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(content).hexdigest()


def number(text: str, *, name: str, at: Cells, most: Decimal = MOST_AMOUNT) -> Decimal:
    """Return the exact decimal that a text writes. Raises BadFile on NaN, infinities, words, huge numbers."""
    if not _NUMBER.fullmatch(text):
        raise at.bad(f"`{name}` is `{text[:30]}`; expected a plain number such as 12.34")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise at.bad(f"`{name}` is `{text[:30]}`; expected a plain number such as 12.34") from None
    if abs(value) > most:
        raise at.bad(f"`{name}` is {text[:30]}, more than {most:,}; is a column shifted?")
    return value


def instant(text: str, *, name: str, at: Cells, utc: bool) -> int:
    """Return an ISO 8601 instant in microseconds. Raises BadFile without a zone, unless ``utc`` fixes it."""
    plain = text.removesuffix(" UTC") + "Z" if text.endswith(" UTC") else text
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        raise at.bad(f"`{name}` is `{text[:30]}`; expected an instant such as 2026-11-01T00:00:00Z") from None
    if moment.tzinfo is None:
        if not utc:
            raise at.bad(f"`{name}` is `{text[:30]}`, in no time zone; expected one such as …T00:00:00Z")
        moment = moment.replace(tzinfo=UTC)
    elif moment.utcoffset() != timedelta(0):
        raise at.bad(
            f"`{name}` is `{text[:30]}`; expected UTC in every row: time zones that mix cannot be matched"
        )
    return micros(moment)


def micros(moment: datetime) -> int:
    """Return an aware instant in whole microseconds."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def day_us(day: date) -> int:
    """Return where a UTC day starts."""
    return micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def month_at(start_us: int, end_us: int) -> str:
    """Return the billing month of a window: where its middle lies, UTC."""
    middle = datetime.fromtimestamp((start_us + end_us) // 2 // 1_000_000, tz=UTC)
    return f"{middle:%Y-%m}"


def line(
    cells: Cells,
    *,
    start_us: int,
    end_us: int,
    kind: Kind,
    currency: str,
    amount: Decimal | None,
    quantity: Decimal | None = None,
    may_be_negative: bool = False,
    **more: object,
) -> BillLine:
    """Return a line that makes sense. Raises BadFile naming the row of one that does not."""
    if not start_us < end_us:
        raise cells.bad("the charge period ends before it starts; are two columns swapped?")
    if kind == "usage" and end_us - start_us > 32 * DAY_US:
        raise cells.bad("usage of more than a month in one line; expected hours, days or one month")
    usage = kind == "usage" and not may_be_negative
    if usage and amount is not None and amount < 0:
        raise cells.bad(f"a negative amount ({amount}) of usage; expected it as a credit or a correction")
    if usage and quantity is not None and quantity < 0:
        raise cells.bad(f"a negative quantity ({quantity}) of usage; expected it as a correction")
    if quantity is not None and abs(quantity) > MOST_QUANTITY:
        raise cells.bad(f"a quantity of {quantity}; is a column shifted?")
    digest = str(more.pop("digest", "") or cells.digest)
    fields = {
        "account": "", "model": "", "sku": "", "meter": "", "unit": "",
        "month": month_at(start_us, end_us), **{name: value for name, value in more.items() if value != ""},
    }  # fmt: skip
    said = (start_us, end_us, kind, currency, plain(amount), plain(quantity))
    named = tuple(str(fields[name]) for name in ("account", "model", "sku", "meter"))
    # Without an id of the vendor's a line is known by what it says, in whatever format it comes.
    fields.setdefault("ref", hashlib.sha256(repr((said, named)).encode()).hexdigest())
    return BillLine(
        row=cells.row, start_us=start_us, end_us=end_us, kind=kind, currency=currency, amount=amount,
        quantity=quantity, digest=digest, **fields,  # type: ignore[arg-type]  # named by the readers
    )  # fmt: skip


def plain(value: Decimal | None) -> str:
    """Return a number without the zeros that a format adds to it."""
    return "" if value is None else f"{value.normalize():f}"


# ------------------------------------------------------------------------ sheets


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacking gzip. Raises BadFile where it cannot be read or ends too early."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as plain:
                    yield cast("IO[bytes]", plain)
            else:
                yield raw
    except EOFError:
        raise BadFile(path.name, 0, "the packed file ends too early; fetch it again") from None
    except gzip.BadGzipFile:
        raise BadFile(path.name, 0, "the packed file is damaged; fetch it again") from None
    except OSError as error:
        raise BadFile(path.name, 0, f"cannot be read: {(error.strerror or 'error').lower()}") from None


def sheet(path: Path, *, needed: Iterable[tuple[str, ...]]) -> Iterator[Cells]:
    """Return the rows of a CSV or Parquet file. ``needed``: of each group one column must be there."""
    with opened(path) as raw:
        magic = raw.read(4)
    yield from parquet_rows(path, needed) if magic == b"PAR1" else csv_rows(path, needed)


def csv_rows(
    path: Path,
    needed: Iterable[tuple[str, ...]],
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    skip: int = 0,
) -> Iterator[Cells]:
    """Return the rows of a CSV file, each with as many cells as the header. Raises BadFile."""
    with opened(path) as raw:
        if raw.read(2) in {b"\xff\xfe", b"\xfe\xff"} and encoding == "utf-8-sig":
            raise BadFile(path.name, 1, "this is UTF-16; save it as CSV in UTF-8")
        raw.seek(0)
        text = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="")
        lines = 1
        try:
            for _ in range(skip):
                text.readline()
            csv.field_size_limit(_LONGEST_CELL)
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            header = _header(path, next(reader, None), needed, skip + 1)
            for row in reader:
                lines = skip + reader.line_num
                if not row:
                    continue
                if len(row) != len(header):
                    raise BadFile(
                        path.name,
                        lines,
                        f"{len(row)} cells where the header has {len(header)}; a column is shifted, or the "
                        "file ends too early",
                    )
                yield Cells(file=path.name, row=lines, values=dict(zip(header, row, strict=True)))
        except csv.Error as error:
            words = str(error).lower().rstrip(".")
            raise BadFile(path.name, lines + 1, f"this is no whole CSV: {words}") from None
        except UnicodeDecodeError as error:
            raise BadFile(
                path.name, lines + 1, f"a byte that is no {error.encoding}; save the file as CSV in UTF-8"
            ) from None
        finally:
            text.detach()


def _header(path: Path, names: list[str] | None, needed: Iterable[tuple[str, ...]], row: int) -> list[str]:
    if names is None:
        raise BadFile(path.name, 1, "the file is empty")
    header = [name.strip() for name in names]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise BadFile(path.name, row, f"the column `{twice}` stands twice")
    for group in needed:
        if not set(group) & set(header):
            wanted = " or ".join(f"`{name}`" for name in group)
            raise BadFile(path.name, row, f"no column {wanted}; is this another kind of export?")
    return header


def parquet_rows(path: Path, needed: Iterable[tuple[str, ...]]) -> Iterator[Cells]:
    """Return the rows of a Parquet file as text. Rows count from 1. Raises BadFile.

    A binary double is taken as the shortest decimal that it stands for, as its CSV twin would write it.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra: only who reads Parquet needs it)
        import pyarrow.parquet as pq  # noqa: PLC0415 (as above)
    except ImportError:
        raise BadFile(path.name, 0, "reading Parquet needs `pip install 'borderpost[reports]'`") from None
    try:
        file = pq.ParquetFile(path)
        header = _header(path, list(file.schema_arrow.names), needed, 0)
        row = 0
        for batch in file.iter_batches(batch_size=4_096):
            for values in batch.to_pylist():
                row += 1
                cells = {name: _as_text(values[name]) for name in header}
                yield Cells(file=path.name, row=row, values=cells)
    except (pa.ArrowException, OSError):
        raise BadFile(path.name, 0, "this is no whole Parquet file; fetch it again") from None


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str | int | Decimal | date):
        return str(value)
    pairs = dict(value) if isinstance(value, list) and all(isinstance(i, tuple) for i in value) else value
    return orjson.dumps(pairs, default=str).decode()


# ------------------------------------------------------------------ whole imports


class Checked:
    """The lines of a file, checked against each other as they pass: one currency, no line twice."""

    def __init__(self, file: str, lines: Iterable[BillLine], options: Options) -> None:
        """Take the lines as a reader gives them."""
        self._file = file
        self._lines = lines
        self._options = options
        self._seen: dict[str, int] = {}
        self._currency = options.currency

    def __iter__(self) -> Iterator[BillLine]:
        """Pass the lines on. Raises BadFile at the first that does not go with the others."""
        some = False
        for one in self._lines:
            some = True
            self._check(one)
            yield one
        if not some and not self._options.may_be_empty:
            raise BadFile(self._file, 0, "no line of a bill in it")

    def _check(self, one: BillLine) -> None:
        if one.currency:
            if self._currency and one.currency != self._currency:
                raise BadFile(
                    self._file,
                    one.row,
                    f"in {one.currency}, where {self._currency} is expected; import each currency by itself",
                )
            self._currency = one.currency
        key = f"{one.digest}/{one.meter}/{one.kind}"
        earlier = self._seen.setdefault(key, one.row)
        if earlier != one.row and not self._options.keep_repeats:
            raise BadFile(
                self._file,
                one.row,
                f"the same line as row {earlier}; export it again, or keep repeats (--keep-repeats) to see "
                "them as duplicates",
            )

    @override
    def __repr__(self) -> str:
        return f"Checked({self._file!r})"


# -------------------------------------------------------------------------- units

_THOUSANDS = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000, "b": 10**9}
_UNIT = re.compile(
    r"^\s*(?P<count>[\d,.]+)?\s*(?:(?P<word>thousand|million|k|m|b)(?![a-z]))?\s*(?P<what>.*)$", re.IGNORECASE
)


def single_units(quantity: Decimal | None, unit: str) -> tuple[Decimal | None, str]:
    """Return a quantity in single units: 3.5 of ``1K tokens`` is 3500 tokens."""
    found = _UNIT.match(unit)
    if found is None:
        return quantity, unit
    digits = (found["count"] or "1").replace(",", "")
    try:
        per = Decimal(digits)
    except InvalidOperation:
        return quantity, unit
    per *= _THOUSANDS.get((found["word"] or "").lower(), 1)
    what = "tokens" if "token" in found["what"].lower() else found["what"].strip().lower()
    return (None if quantity is None else quantity * per), what


def first_present(values: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the first name that the mapping has, ``""`` if none."""
    return next(chain((name for name in names if name in values), ("",)))
