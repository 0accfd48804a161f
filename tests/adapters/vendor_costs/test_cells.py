"""Cells are read exactly or not at all, and a file whole or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.vendor_costs.cells import BadFile, Cells, csv_rows, single_units

HEAD = [("a",), ("b",)]


def cells(text):
    return Cells(file="f.csv", row=7, values={"a": text})


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=12))
def test_a_number_comes_out_as_it_went_in(value) -> None:
    assert cells(f"{value:f}").decimal("a") == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "inf",
        "-Infinity",
        "1,000",
        "1 000",
        "$5",
        "5 USD",
        "0x10",
        "1__0",
        "--1",
        "1e999",
        "٣",
        "1.2.3",
        "TRUE",
    ],
)
def test_what_is_no_plain_number_is_refused(text) -> None:
    with pytest.raises(BadFile, match=r"f\.csv:7: `a` is"):
        cells(text).decimal("a")


def test_a_huge_number_is_a_shifted_column() -> None:
    with pytest.raises(BadFile, match="is a column shifted"):
        cells("20261101000000").decimal("a")


def write(tmp_path, content):
    file = tmp_path / "f.csv"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n1\n", "f.csv:3: 1 cells where the header has 2"),
        (b"a,b\n1,2,3\n", "f.csv:2: 3 cells where the header has 2"),
        (b'a,b\n1,"2\n', "no whole CSV"),
        (b"a,b\n1,\xff\xfe\n", "no utf-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"", "empty"),
        (b"a\n1\n", "no column `b`"),
        (b"a,b,a\n1,2,3\n", "stands twice"),
    ],
)
def test_a_damaged_file_names_its_row(tmp_path, content, words) -> None:
    with pytest.raises(BadFile, match=words):
        list(csv_rows(write(tmp_path, content), HEAD))


def test_a_byte_order_mark_and_windows_lines_are_no_damage(tmp_path) -> None:
    (row,) = csv_rows(write(tmp_path, b"\xef\xbb\xbfa,b\r\n1,2\r\n"), HEAD)
    assert row.values == {"a": "1", "b": "2"}


def test_rows_are_counted_as_an_editor_does(tmp_path) -> None:
    """A quoted cell may span lines."""
    rows = list(csv_rows(write(tmp_path, b'a,b\n"x\ny",2\n3,4\n'), HEAD))
    assert [row.row for row in rows] == [3, 4]


@pytest.mark.parametrize(
    ("unit", "count", "what"),
    [
        ("Tokens", 3, "tokens"),
        ("1K tokens", 3_000, "tokens"),
        ("1000 Tokens", 3_000, "tokens"),
        ("1K", 3_000, ""),
        ("1M Tokens", 3_000_000, "tokens"),
        ("1000000 Tokens", 3_000_000, "tokens"),
        ("1,000 Tokens", 3_000, "tokens"),
        ("Million Input Tokens", 3_000_000, "tokens"),
        ("1 Hour", 3, "hour"),
        ("months", 3, "months"),
        ("", 3, ""),
    ],
)
def test_units_are_made_single(unit, count, what) -> None:
    assert single_units(Decimal(3), unit) == (Decimal(count), what)
