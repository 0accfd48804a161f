"""Any CSV by a mapping: European numbers, local days, and a mapping that is itself checked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.adapters.vendor_costs import BadFile, Options
from gateway.adapters.vendor_costs.mapped_csv import reader
from gateway.policy.bill_mapping import mapping
from tests.adapters.vendor_costs.golden import EXPECTED, FOLDER, plain


def lines(tmp_path, text, how):
    (tmp_path / "m.yaml").write_text(how)
    (tmp_path / "b.csv").write_text(text)
    return list(reader(mapping(tmp_path / "m.yaml"))(tmp_path / "b.csv", Options()))


def test_the_golden_file_is_read_as_it_means() -> None:
    """German numbers, Berlin days, thousands of tokens, a title line before the header."""
    found = reader(mapping(FOLDER / "mapped.yaml"))(FOLDER / "mapped.csv", Options())
    assert [plain(line) for line in found] == EXPECTED["mapped.csv"]


@pytest.mark.parametrize(
    ("window", "start", "hours"),
    [
        ("day", "2026-11-01", 25),
        ("day", "2026-03-08", 23),
        ("month", "2026-11-01", 721),
        ("hour", "2026-11-01", 1),
    ],
)
def test_local_windows_are_as_long_as_they_were(tmp_path, window, start, hours) -> None:
    """Days of 23 and 25 hours where the clock changes."""
    how = "columns: {start: day, amount: cost}\ncurrency: CAD\n"
    how += f"time: {{timezone: America/Toronto, window: {window}}}\n"
    (line,) = lines(tmp_path, f"day,cost\n{start},1\n", how)
    assert (line.end_us - line.start_us) // 3_600_000_000 == hours
    assert datetime.fromtimestamp(line.start_us // 10**6, tz=UTC).hour in {4, 5}


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1.234,56", None),
        ("1234,56", None),
        ("12.34,56", "groups of three"),
        ("1,234.56", "groups|comma"),
        ("NaN", "groups"),
    ],
)
def test_numbers_are_read_as_the_mapping_says_or_not_at_all(tmp_path, cell, words) -> None:
    how = 'columns: {start: d, amount: c}\ncurrency: EUR\ndelimiter: ";"\ndecimal: ","\nthousands: "."\n'
    if words is None:
        (line,) = lines(tmp_path, f"d;c\n2026-11-01;{cell}\n", how)
        assert str(line.amount) == "1234.56"
    else:
        with pytest.raises(BadFile, match=f"b.csv:2: .*({words})"):
            lines(tmp_path, f"d;c\n2026-11-01;{cell}\n", how)


def test_a_zone_of_a_rows_own_is_refused(tmp_path) -> None:
    how = "columns: {start: d, amount: c}\ncurrency: EUR\n"
    with pytest.raises(BadFile, match=r"b\.csv:3: .*UTC in every row"):
        lines(tmp_path, "d,c\n2026-11-01T00:00:00Z,1\n2026-11-02T00:00:00+01:00,1\n", how)
