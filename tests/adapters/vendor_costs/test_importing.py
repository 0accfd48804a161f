"""A file is taken in once, whole, or not at all; a correction is declared."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import func, select

from gateway.adapters.store_sql import vendor_costs as rows
from gateway.adapters.store_sql.tables_vendor_costs import vendor_imports, vendor_lines
from gateway.adapters.vendor_costs.cells import BadFile, Options
from gateway.adapters.vendor_costs.importing import Refused, digest_of
from tests.adapters.vendor_costs.bank import DAY, OCTOBER, line, took
from tests.people import database, sqlite


@pytest.fixture
def store(tmp_path):
    with database(sqlite(tmp_path)) as store:
        yield store


def counts(store):
    with store.read() as connection:
        return tuple(
            connection.scalar(select(func.count()).select_from(t)) for t in (vendor_imports, vendor_lines)
        )


def some(count=3, **changes):
    return [line(day, "input", 1000 + day, number=day, **changes) for day in range(count)]


def test_an_import_says_what_it_holds(store) -> None:
    done = took(store, some(), invoice="INV", invoice_total=Decimal("1.00"))
    assert done.new
    one = done.made
    assert (one.line_count, one.currency, one.places) == (3, "USD", 8)
    assert one.total_nano == 440_000 + 440_440 + 440_880
    assert (one.covers_start_us, one.covers_end_us) == (OCTOBER, OCTOBER + 3 * DAY)
    assert one.invoice_nano == 10**9


def test_the_same_file_again_changes_nothing(store) -> None:
    took(store, some())
    assert not took(store, iter(())).new  # its lines are not even read
    assert counts(store) == (1, 3)


def test_the_same_file_for_another_vendor_is_a_mistake(store) -> None:
    took(store, some())
    with pytest.raises(Refused, match="imported already"):
        took(store, some(), vendor="amazon")


@pytest.mark.parametrize(
    "bad",
    [
        [*some(1200), line(5, "input", 1, number=9, currency="EUR")],
        [*some(1200), line(0, "input", 1000, number=0, row=5000)],
        [*some(1200), line(5, "input", 1, number=9, amount=Decimal(10) ** 11)],
    ],
    ids=["another currency", "a line twice", "an amount beyond int64"],
)
def test_a_mistake_in_the_last_line_leaves_nothing_behind(store, bad) -> None:
    """Three batches are in when it is found; none of them stays."""
    with pytest.raises(BadFile, match=r"bill\.csv:"):
        took(store, iter(bad))
    assert counts(store) == (0, 0)


def test_repeats_are_kept_when_asked_for(store) -> None:
    twice = [*some(), line(0, "input", 1000, number=0, row=99)]
    assert took(store, twice, options=Options(keep_repeats=True)).made.line_count == 4


def test_a_correction_replaces_what_it_names_and_nothing_else(store) -> None:
    first = took(store, some()).made
    second = took(store, some(2), name="b" * 64, supersedes=first.id[:12]).made
    with store.read() as connection:
        assert [one.id for one in rows.active(rows.imports(connection, "maple"))] == [second.id]
    for wrong in (first.id, "c" * 12, "a"):
        with pytest.raises(Refused, match="no import"):
            took(store, some(1), name="d" * 64, supersedes=wrong)


def test_the_same_days_of_an_account_count_twice_only_when_declared(store) -> None:
    """The trap of every month's end: the export taken once more."""
    took(store, some())
    with pytest.raises(Refused, match=r"--supersedes a{12}; if both count, --beside"):
        took(store, some(1), name="b" * 64, beside=False)
    assert counts(store) == (1, 3)
    later = [line(day, "input", 5, number=day) for day in (10, 11)]
    assert took(store, later, name="c" * 64, beside=False).new
    another = [line(0, "input", 5, number=1, account="other")]
    assert took(store, another, name="d" * 64, beside=False).new
    assert took(store, some(1), name="e" * 64, beside=True).new
    assert took(store, some(2), name="f" * 64, beside=True).new


def test_an_empty_report_is_a_fact_when_it_was_fetched(store) -> None:
    with pytest.raises(BadFile, match="no line"):
        took(store, [])
    covers = (OCTOBER, OCTOBER + 31 * DAY)
    assert took(store, [], options=Options(may_be_empty=True), covers=covers).made.line_count == 0


def test_the_id_is_the_sha256_of_the_file(tmp_path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    assert digest_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of(file, b"another mapping") != digest_of(file)
