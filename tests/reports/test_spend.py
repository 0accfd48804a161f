"""The report ties out: every grouping of the same attempts has the same total, to the cent."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from itertools import combinations, count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from gateway.adapters.store_sql.entries import append
from gateway.adapters.store_sql.reports import Sums
from gateway.adapters.store_sql.tables import budget_windows, slices, writers
from gateway.core.entries import Entry
from gateway.core.snapshot import Rate
from gateway.reports.document import checked
from gateway.reports.kinds import Asked
from gateway.reports.period import month
from gateway.reports.spend import DEFAULT_BY, grouping, query, report_of
from gateway.reports.spend import build as spend_document
from tests.people import NOW, TORONTO, US, app, book, database, limit, row, snapshot, sqlite

PERIOD = month("2026-11", TORONTO)
COLUMNS = ("cost_centre", "team", "app", "place")
nanos = st.integers(min_value=0, max_value=10**12)
NUMBERS = count()


def sums(group, *, spend=0, nano=0, currency="USD", estimated=0, calls=1):
    return Sums(
        group=group, currency=currency, calls=calls, attempts=calls, unpriced=0, unconverted=0,
        tokens_in=1, tokens_out=1, nano=nano, spend_nano=spend, estimated_nano=estimated,
    )  # fmt: skip


def report(items, *, by=COLUMNS, bundle=None, held=0, now=NOW):
    return report_of(items, bundle or snapshot(), period=PERIOD, by=by, now=now, held_nano=held)


attempts = st.lists(
    st.builds(
        lambda group, nano, spend, estimated, currency: sums(
            group, nano=nano, spend=spend, estimated=spend if estimated else 0, currency=currency
        ),
        st.tuples(
            st.sampled_from(["4410", "4900", None]),
            st.sampled_from(["branch", "lab"]),
            st.sampled_from(["teller", "hackathon"]),
            st.sampled_from(["CA-QC", "US"]),
        ),
        nanos,
        nanos,
        st.booleans(),
        st.sampled_from(["USD", "EUR", "CAD"]),
    ),
    max_size=12,
)


@given(attempts)
def test_every_grouping_has_the_same_total(items):
    """All sixteen groupings, every money column, to the cent; and rows sum to their foot."""
    totals = set()
    for size in range(len(COLUMNS) + 1):
        for by in combinations(range(len(COLUMNS)), size):
            names = tuple(COLUMNS[index] for index in by)
            grouped = [
                sums(
                    tuple(item.group[index] for index in by),
                    nano=item.nano, spend=item.spend_nano, estimated=item.estimated_nano,
                    currency=item.currency,
                )
                for item in items
            ]  # fmt: skip
            found = report(grouped, by=names)
            foot = found.total
            assert foot.spend == sum(line.spend for line in found.lines)
            assert foot.estimated == sum(line.estimated for line in found.lines)
            totals.add(
                (foot.spend, foot.estimated, tuple(sorted(foot.native.items())), foot.calls, foot.attempts)
            )
    assert len(totals) == 1
    exact = Decimal(sum(item.spend_nano for item in items)).scaleb(-9)
    assert abs(totals.pop()[0] - exact) <= Decimal("0.005")


@given(attempts)
def test_a_row_is_within_a_cent_of_what_it_is(items):
    """Sharing out the last cents moves no row by more than one."""
    found = report(items)
    for line in found.lines:
        group = tuple(None if name == "unallocated" else name for name in line.group)
        exact = Decimal(sum(item.spend_nano for item in items if item.group == group)).scaleb(-9)
        assert abs(line.spend - exact) < Decimal("0.01")


def test_three_thirds_of_a_cent_are_one_cent():
    """Rounding each row by itself would lose it."""
    third = 3_333_333
    found = report([sums((str(n), "t", "a", "CA"), spend=third + (n == 0)) for n in range(3)])
    assert found.total.spend == Decimal("0.01")
    assert sorted(line.spend for line in found.lines) == [Decimal("0.00"), Decimal("0.00"), Decimal("0.01")]


def test_what_belongs_to_nobody_comes_last():
    """Unallocated spend is shown, below what is allocated."""
    found = report([sums((None, "t", "a", "CA")), sums(("4410", "t", "a", "CA"))])
    assert [line.group[0] for line in found.lines] == ["4410", "unallocated"]


def test_foreign_currencies_have_a_column_and_ours_has_not():
    """A price in our own currency is in the total only."""
    found = report([sums(("1", "t", "a", "CA"), nano=10**9, currency="USD", spend=2 * 10**9),
                    sums(("1", "t", "a", "CA"), nano=10**9, currency="CAD", spend=10**9)])  # fmt: skip
    assert found.natives == ("USD",)
    assert found.lines[0].native == {"USD": Decimal("1.00")}
    assert found.total.spend == Decimal("3.00")


def bank():
    branch = limit("team:branch:CAD", "team", "branch", "2500.00")
    lab = limit("team:lab:CAD", "team", "lab", "300.00")
    daily = limit("team:lab:CAD", "team", "lab", "20.00", per="day")
    org = limit("org:maple:CAD", "org", "maple", "5000.00")
    tiny = limit("app:tiny:CAD", "app", "tiny", "1.00")
    return snapshot(
        app("teller", budgets=[org, branch]),
        app("hackathon", team="lab", budgets=[org, daily, lab]),
        app("tiny", team="lab", budgets=[org, daily, lab, tiny]),
    )


def test_a_teams_budget_is_shown_once():
    """Two rows of one team share one budget; the foot counts it once."""
    items = [sums(("1", "branch", "teller", place)) for place in ("CA-QC", "US")] + [
        sums(("2", "lab", name, "US")) for name in ("hackathon", "tiny")
    ]
    found = report(items, bundle=bank())
    assert [line.budget for line in found.lines] == [Decimal("2500.00"), None, Decimal("300.00"), None]
    assert found.total.budget == Decimal("2800.00")
    assert found.budgeted == "team"


def test_without_teams_the_apps_budget_is_shown_and_without_both_none():
    """The budget is that of what the rows are about."""
    by_app = report([sums(("tiny",))], by=("app",), bundle=bank())
    assert by_app.lines[0].budget == Decimal("1.00")
    by_place = report([sums(("US",))], by=("place",), bundle=bank())
    assert (by_place.budgeted, by_place.total.budget) == (None, None)


def hold(connection, budget, granted):
    connection.execute(
        insert(budget_windows).values(
            budget=budget, window="w", unit="CAD", resets_us=US + 1, committed=granted
        )
    )
    connection.execute(
        insert(slices).values(writer="w1", budget=budget, window="w", granted=granted, spent=0)
    )


@pytest.mark.parametrize(
    ("levels", "held"), [(["org", "day", "team"], "1.00"), (["team"], "4.00"), ([], "0.00")]
)
def test_what_is_held_is_counted_once_at_the_highest_level(tmp_path, levels, held):
    """A call holds at every level and in every window; the report shows it once."""
    known = {
        "org": limit("org:maple:CAD", "org", "maple", "5000.00"),
        "day": limit("org:maple:CAD:day", "org", "maple", "100.00", per="day"),
        "team": limit("team:branch:CAD", "team", "branch", "2500.00"),
    }
    with database(sqlite(tmp_path)) as store, store.write() as connection:
        connection.execute(insert(writers).values(id="w1", place="CA", host="h", state="open", opened_us=0))
        for amount, item in enumerate(known.values()):
            hold(connection, item.id, 2**amount * 10**9)
        bundle = snapshot(app(budgets=[known[level] for level in levels]))
        found = query(bundle, month_name="2026-11", by=(), now=NOW)(connection)
    assert found.held == Decimal(held)


def test_a_month_is_open_until_it_ends():
    """Then it is preliminary: nobody has closed it."""
    assert report([]).status == "open"
    assert report([], now=PERIOD.end_us * 1000 - 1).status == "open"
    assert report([], now=PERIOD.end_us * 1000).status == "preliminary"


def test_rates_are_those_that_held_in_the_period():
    """One fixed later, or replaced before, is not printed."""
    rates = tuple(
        Rate(
            base="USD",
            quote="CAD",
            rate=Decimal(rate),
            valid_from=month(name, TORONTO).start_us * 1000,
            source="BoC",
        )
        for name, rate in [("2026-09", "1.1"), ("2026-10", "1.2"), ("2026-11", "1.3"), ("2026-12", "1.4")]
    )
    found = report([sums(("1", "t", "a", "CA"))], bundle=snapshot(rates=rates))
    assert [(rate.pair, rate.rate, rate.fixed) for rate in found.rates] == [("USD/CAD", "1.3", "2026-11-01")]
    october = report_of(
        [sums(("1",))], snapshot(rates=rates[:2]), period=PERIOD, by=("team",), now=NOW, held_nano=0
    )
    assert [rate.rate for rate in october.rates] == ["1.2"]


def test_the_query_reads_the_ledger_of_the_month(tmp_path):
    """From rows in the database to the foot of the report."""
    with database(sqlite(tmp_path)) as store, store.write() as connection:
        book(
            connection,
            row("a/1"),
            row("b/1", app="hackathon", team="lab", cost_centre="4900", place="US", estimated=True),
            row("c/1", started_us=PERIOD.start_us - 1),
        )
        found = query(bank(), month_name="2026-11", by=("team", "app"), now=US * 1000)(connection)
    # Twice 1.3925 is 2.785: half-even to 2.78, and neither row is rounded up.
    assert [(line.group, line.spend) for line in found.lines] == [
        (("branch", "teller"), Decimal("1.39")),
        (("lab", "hackathon"), Decimal("1.39")),
    ]
    assert found.total.spend == Decimal("2.78")
    assert found.total.calls == 2


@pytest.mark.parametrize(
    ("text", "names"), [("team,app", ("team", "app")), (" place ", ("place",)), ("", ()), (",", ())]
)
def test_a_grouping_is_a_list_of_columns(text, names):
    """In the order in which they are to stand."""
    assert grouping(text) == names


@pytest.mark.parametrize("text", ["colour", "team,team", "team;drop"])
def test_another_grouping_is_refused(text):
    """The message names what there is, or the repetition."""
    with pytest.raises(ValueError, match=r"cannot group|twice"):
        grouping(text)


# --------------------------------------------------------------------------- the document


def cells(section, name):
    """A column of a section, row by row, and its total."""
    at = [column.name for column in section.columns].index(name)
    return [row[at] for row in section.rows], section.total[at] if section.total else None


def ledgered(tmp_path, fill, *, by=(), now=NOW, bundle=None):
    with database(sqlite(tmp_path)) as store:
        with store.write() as connection:
            fill(connection)
        with store.read() as connection:
            asked = Asked(month="2026-11", by=by, now=now)
            return checked(spend_document(bundle or bank(), asked)(connection))


def share(ident, **changes):
    """An hour of reserved capacity that nobody used."""
    values = {
        "id": ident, "kind": "reserved", "tenant": "maple", "billing_period": "2026-11", "start_us": US,
        "end_us": US + 1, "team": "", "app": "", "cost_centre": None, "alias": "", "deployment": "ptu",
        "vendor": "microsoft", "place": "CA-QC", "model": "reserved idle", "currency": "USD", "nano": 10**9,
        "spend_currency": "CAD", "spend_nano": 1_392_500_000, "quantity": 0, "unit": "", "reason": "r",
        "refers": "", "origin": "", "ratio_ppb": 0, "estimated": False, "created_us": US, "created_by": "t",
    }  # fmt: skip
    return Entry(**{**values, **changes})


def test_the_document_says_what_the_text_says(tmp_path):
    """The same rows and foot; entries are rows; what it is made of ends in the same cent."""

    def fill(connection):
        book(
            connection,
            row("a/1"),
            row("b/1", estimated=True, list_nano=2 * 10**9, contracted_nano=1_500_000_000),
        )
        append(
            connection,
            [share("i"), share("c", kind="correction", app="teller", team="branch", spend_nano=-3_333_333)],
        )

    found = ledgered(tmp_path, fill)
    spend, made_of, prices = found.sections
    with database(sqlite(tmp_path)) as store, store.read() as connection:
        text = query(bank(), month_name="2026-11", by=DEFAULT_BY, now=NOW)(connection)
    assert [row[:5] for row in spend.rows] == [line.group for line in text.lines]
    assert cells(spend, "spend") == ([line.spend for line in text.lines], text.total.spend)
    assert cells(spend, "budget")[1] == text.total.budget
    assert ("unallocated", "–", "–", "reserved idle", "CA-QC") in [row[:5] for row in spend.rows]
    assert cells(made_of, "spend")[1] == text.total.spend
    assert cells(made_of, "kind")[0] == [
        "usage of models",
        "corrections of closed months",
        "reserved capacity, by time",
    ]
    assert cells(made_of, "rows")[0] == [2, 1, 1]
    assert cells(made_of, "estimated")[1] == text.total.estimated == Decimal("1.39")
    assert prices.rows == (("USD", Decimal("5.00"), Decimal("4.50"), Decimal("4.00")),)
    assert dict(found.facts)["USD/CAD"] == "1.3925, fixed 2026-11-01, Bank of Canada"
    assert dict(found.facts)["rows"] == "2 calls, 2 attempts (all priced), 2 entries"


money = st.integers(min_value=-(10**11), max_value=10**11)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.sampled_from(["4410", "4900", None]), st.sampled_from("abc"), nanos)),
    shares=st.lists(st.tuples(st.sampled_from(["reserved", "gpu", "correction", "adjust"]), money)),
    by=st.sampled_from(
        [("team",), ("cost_centre", "app"), ("charge_kind",), ("app", "charge_kind"), ("key",)]
    ),
)
def test_every_grouping_and_section_ends_in_the_same_cent(tmp_path, rows, shares, by):
    """Random ledgers: by anything, by kind, in every section."""
    path = tmp_path / str(next(NUMBERS))
    path.mkdir()

    def fill(connection):
        book(
            connection,
            *(
                row(f"{n}/1", cost_centre=centre, app=name, spend_nano=nano, nano=nano)
                for n, (centre, name, nano) in enumerate(rows)
            ),
        )
        append(
            connection, [share(f"s{n}", kind=kind, spend_nano=nano) for n, (kind, nano) in enumerate(shares)]
        )

    found = ledgered(path, fill, by=by)
    exact = Decimal(sum(nano for *_, nano in rows) + sum(nano for _, nano in shares)).scaleb(-9)
    for section in found.sections[:2]:
        shown, total = cells(section, "spend")
        assert total == sum(shown) == exact.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def test_late_rows_are_in_the_month_that_they_are_booked_in(tmp_path):
    """An attempt of October that came after its closing is November's money."""

    def fill(connection):
        book(
            connection,
            row("a/1", started_us=PERIOD.start_us - 10**6, billing_period="2026-11"),
            row("b/1", started_us=PERIOD.start_us - 10**6),
            row("c/1", billing_period="2026-12"),
        )

    found = ledgered(tmp_path, fill)
    assert cells(found.sections[0], "attempts")[1] == 1


def test_holes_are_said_in_the_facts(tmp_path):
    """A total that lacks a price or a rate must not look whole."""
    bare = {"currency": None, "nano": None, "spend_currency": None, "spend_nano": None}

    def fill(connection):
        book(connection, row("a/1", **bare), row("b/1", currency="EUR", spend_currency=None, spend_nano=None))

    found = ledgered(tmp_path, fill)
    assert dict(found.facts)["rows"] == (
        "2 calls, 2 attempts (1 without a price, 1 without a rate to CAD), 0 entries"
    )


def test_an_unknown_column_or_month_is_refused_before_anything_is_read():
    """With what there is."""
    with pytest.raises(ValueError, match="cannot group by `colour`"):
        spend_document(bank(), Asked(month="2026-11", by=("colour",), now=NOW))
    with pytest.raises(ValueError, match="no month"):
        spend_document(bank(), Asked(month="11/2026", by=(), now=NOW))
