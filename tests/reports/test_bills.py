"""Bills matched with a real ledger in a real database, on both engines."""

from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import insert, select

from gateway.adapters.store_sql import Store
from gateway.adapters.store_sql.entries import append, booked
from gateway.adapters.store_sql.tables import ledger
from gateway.adapters.store_sql.tables_books import closed_periods
from gateway.adapters.vendor_costs.deciding import Decider, accept, adjust
from gateway.core.bill import Billing
from gateway.core.entries import Entry
from gateway.core.snapshot import Rate
from gateway.reports.bills import bills, case_of, chosen
from gateway.reports.period import month
from tests.adapters.store_sql.databases import opened, sqlite_url
from tests.adapters.vendor_costs.bank import DAY, OCTOBER, PRICE, call, line, took
from tests.people import book, snapshot

USD_CAD = Rate(base="USD", quote="CAD", rate=Decimal("1.4"), valid_from=0, source="t")
BANK = snapshot(rates=(USD_CAD,), timezone="UTC")
TOKENS = {"input": 2_000_000, "output": 500_000, "cache_read": 100_000}
WHO = Decider(by="fin", at_us=OCTOBER + 45 * DAY, reason="the price sheet says so")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = sqlite_url(tmp_path)
    if request.param == "postgresql":
        url = os.environ.get("BORDERPOST_TEST_POSTGRES", "")
        if not url:
            pytest.skip("BORDERPOST_TEST_POSTGRES names no PostgreSQL")
    with opened(url) as store:
        with store.write() as connection:
            book(connection, *(call(f"c{day}", day * 24 + 9, TOKENS) for day in range(31)))
        yield store


def month_of_lines(price=PRICE, **changes):
    return [
        line(day, meter, tokens, number=day * 10 + n, price=price, **changes)
        for day in range(31)
        for n, (meter, tokens) in enumerate(TOKENS.items())
    ]


def found(store: Store, bank=BANK):
    with store.read() as connection:
        return bills(connection, bank, "2026-10")


def only(store, bank=BANK):
    (bill,) = found(store, bank).bills
    return bill


def test_a_bill_that_agrees_has_no_gap(store) -> None:
    """Another spelling of the model, decimals of the vendor's own."""
    took(store, month_of_lines(model="gpt-4.1-mini-2025-04-14"))
    bill = only(store)
    assert (bill.found.gap, bill.found.causes, bill.differences) == (0, {}, ())
    assert bill.found.ours_nano == 31 * (880_000_000 + 880_000_000 + 11_000_000)


def test_months_that_end_at_another_hour_are_a_cut_off(store) -> None:
    """UTC bill, Toronto books: the first calls of October UTC are September's there."""
    with store.write() as connection:
        book(connection, call("early", 1, TOKENS), call("late", 31 * 24 + 2, TOKENS))
    lines = month_of_lines()
    lines[:3] = [replace(one, quantity=2 * one.quantity, amount=2 * one.amount) for one in lines[:3]]
    took(store, lines)
    bill = only(store, replace(BANK, timezone="America/Toronto"))
    assert bill.found.causes == {}  # one came in, one went out, of the same size
    assert {part.cause for part in bill.found.edges} <= {"cut_off"}
    assert bill.found.ours_nano == 32 * 1_771_000_000


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", "America/Toronto"])
def test_local_days_of_any_zone_match_and_the_books_tie(store, zone) -> None:
    """A vendor that bills by the days of our zone, half an hour beside UTC's hours: no gap, no cut-off."""
    rest = {"input": 1_000_000}
    extra = [
        call(f"x{n}", 0, rest) | {"started_us": OCTOBER + n * 17 * 60 * 1_000_000} for n in range(-80, 200)
    ]
    with store.write() as connection:
        book(connection, *extra)
    bank = replace(BANK, timezone=zone)
    period = month("2026-10", zone)
    sums = {}
    with store.read() as connection:
        rows = connection.execute(
            select(ledger.c.started_us, ledger.c.input, ledger.c.output, ledger.c.cache_read)
        )
        for at, *tokens in rows:
            if period.start_us <= at < period.end_us:
                day = (at - period.start_us) // DAY
                for meter, count in zip(("input", "output", "cache_read"), tokens, strict=True):
                    sums[day, meter] = sums.get((day, meter), 0) + count
    lines = [
        line(
            0,
            meter,
            tokens,
            number=n,
            start_us=period.start_us + day * DAY,
            end_us=period.start_us + (day + 1) * DAY,
        )
        for n, ((day, meter), tokens) in enumerate(sorted(sums.items()))
        if tokens
    ]
    took(store, lines)
    bill = only(store, bank)
    assert bill.found.causes == {}
    assert bill.found.gap == 0


def test_a_bill_in_our_money_shows_the_exchange_rate(store) -> None:
    """Priced in USD, billed in CAD at the vendor's own rate of 1.41 against our 1.40."""
    lines = [
        replace(
            one,
            amount=one.amount * Decimal("1.41"),
            currency="CAD",
            pricing_amount=one.amount,
            pricing_currency="USD",
        )
        for one in month_of_lines()
    ]
    took(store, lines)
    bill = only(store)
    assert bill.currency == "CAD"
    assert set(bill.found.causes) == {"fx"}
    assert bill.found.gap == bill.found.causes["fx"] == round(31 * 1_771_000_000 * Decimal("0.01"))


def test_accepting_needs_no_exchange_rate_and_booking_does(store) -> None:
    took(store, month_of_lines(price={**PRICE, "output": "2.00"}))
    poor = replace(BANK, rates=())
    with store.read() as connection:
        everything = bills(connection, poor, "2026-10")
    first = everything.bills[0].open[0]
    assert case_of(poor, everything, first, booking=False).open_nano
    with pytest.raises(ValueError, match="no exchange rate from USD to CAD"):
        case_of(poor, everything, first, booking=True)


def test_a_currency_without_a_rate_is_left_out_and_said(store) -> None:
    took(store, month_of_lines(currency="EUR"))
    assert only(store).unconverted == 31 * 1_771_000_000


def test_exceptions_are_decided_once_each_and_open_again_when_they_change(store) -> None:
    took(store, month_of_lines(price={**PRICE, "output": "2.00"}))
    bill = only(store)
    assert len(bill.open) == 31
    assert {one.main.cause for one in bill.open} == {"price"}
    with store.write() as connection:
        everything = bills(connection, BANK, "2026-10")
        for one in chosen(everything, [], vendor="microsoft", cause="price"):
            accept(connection, case_of(BANK, everything, one, booking=False), WHO)
    assert only(store).open == ()
    assert {one.status for one in only(store).differences} == {"accepted"}
    took(store, [line(3, "output", 100_000_000, number=900)], name="b" * 64)
    (again,) = only(store).open
    assert again.status == "open again"


def test_a_trifle_opens_nothing_again_and_what_is_booked_is_not_asked_for(store) -> None:
    """Within the threshold a decision stands; what is left to decide is what booking would book."""
    took(store, month_of_lines(price={**PRICE, "output": "2.00"}))
    with store.write() as connection:
        everything = bills(connection, BANK, "2026-10")
        (first, second, *_) = everything.bills[0].open
        adjust(connection, case_of(BANK, everything, first, booking=True), WHO)
        accept(connection, case_of(BANK, everything, second, booking=False), WHO)
    took(store, [line(day, "output", 100, number=900 + day) for day in range(31)], name="b" * 64)
    status = {one.id: (one.status, one.left_nano) for one in only(store).differences}
    assert status[first.id] == ("adjusted", 176_000)
    assert status[second.id][0] == "accepted"
    took(store, [line(0, "output", 5_000_000, number=990)], name="c" * 64)
    left = {one.id: (one.status, one.left_nano) for one in only(store).differences}
    assert left[first.id] == ("open again", 5_000_000 * 1_760 + 176_000)


def test_an_adjustment_ties_bill_and_ledger_and_is_never_booked_twice(store) -> None:
    took(store, month_of_lines(price={**PRICE, "output": "2.00"}))
    gap = only(store).found.gap
    for _ in range(2):
        with store.write() as connection:
            everything = bills(connection, BANK, "2026-10")
            (first, *_) = everything.bills
            for one in first.differences:
                adjust(connection, case_of(BANK, everything, one, booking=True), WHO)
    bill = only(store)
    assert bill.found.gap == 0
    assert bill.found.causes == {"price": gap, "adjusted": -gap}
    with store.read() as connection:
        entries = booked(connection, tenant="maple", billing_period="2026-10")
    assert sum(entry.nano for entry in entries) == gap
    assert sum(entry.spend_nano for entry in entries) == gap * 14 // 10
    # The bill grows once more: only what is new is booked.
    took(store, [line(3, "output", 1_000_000, number=900)], name="b" * 64)
    with store.write() as connection:
        everything = bills(connection, BANK, "2026-10")
        for one in everything.bills[0].open:
            adjust(connection, case_of(BANK, everything, one, booking=True), WHO)
    assert only(store).found.gap == 0


def test_what_was_booked_for_a_closed_month_goes_into_the_open_one(store) -> None:
    with store.write() as connection:
        connection.execute(
            insert(closed_periods).values(
                tenant="maple", period="2026-10", timezone="UTC", start_us=OCTOBER, end_us=OCTOBER + 31 * DAY,
                closed_us=1, closed_by="fin", role="finance", reason="", unread="[]",
            )
        )  # fmt: skip
    took(store, month_of_lines(price={**PRICE, "output": "2.00"}))
    with store.write() as connection:
        everything = bills(connection, BANK, "2026-10")
        made = adjust(connection, case_of(BANK, everything, everything.bills[0].open[0], booking=True), WHO)
    assert {entry.billing_period for entry in made} == {"2026-11"}
    assert {entry.start_us for entry in made} == {OCTOBER}


def test_reserved_capacity_stands_against_the_fee(store) -> None:
    fee = line(
        0,
        "",
        0,
        number=999,
        kind="fee",
        amount=Decimal(4500),
        quantity=None,
        model="",
        end_us=OCTOBER + 31 * DAY,
    )
    took(store, [*month_of_lines(), fee])
    assert only(store).found.causes == {"fee": 4_500 * 10**9}
    with store.write() as connection:
        append(connection, [share(day) for day in range(30)])
    assert only(store).found.causes == {}


def share(day):
    return Entry(
        id=f"reserved:{day}",
        kind="reserved",
        tenant="maple",
        billing_period="2026-10",
        start_us=OCTOBER + day * DAY,
        end_us=OCTOBER + (day + 1) * DAY,
        team="branch",
        app="teller",
        cost_centre="4410",
        alias="chat",
        deployment="ptu",
        vendor="microsoft",
        place="CA-QC",
        model="ptu",
        currency="USD",
        nano=150 * 10**9,
        spend_currency="CAD",
        spend_nano=210 * 10**9,
        quantity=0,
        unit="",
        reason="share",
        refers="",
        origin="o",
        ratio_ppb=0,
        estimated=False,
        created_us=1,
        created_by="t",
    )


def test_declared_names_and_thresholds_are_used(store) -> None:
    took(store, [line(0, "input", 1_000_000, number=900, model="Contract Model 7"), *month_of_lines()])
    assert {one.main.cause for one in only(store).open} == {"missing_at_ours"}
    named = Billing(vendor="microsoft", models={"Contract Model 7": "gpt-4.1-mini"})
    assert {one.main.cause for one in only(store, replace(BANK, billing={"microsoft": named})).open} == {
        "quantity"
    }
    lax = replace(named, amount_nano=10**12, percent_ppm=900_000)
    assert only(store, replace(BANK, billing={"microsoft": lax})).open == ()


def test_vendors_without_a_bill_are_shown(store) -> None:
    with store.write() as connection:
        book(connection, call("other", 30, TOKENS, vendor="cohere", model="command-a"))
    took(store, month_of_lines())
    assert found(store).without == (("cohere", "USD", 1_771_000_000),)


def test_what_the_ledger_rounded_or_discounted_is_shared_over_its_meters(store) -> None:
    """Our side sums to the ledger to the nano, whatever a row's lines add up to."""
    with store.write() as connection:
        book(connection, call("odd", 50, TOKENS) | {"nano": 1_000_000_007})
    took(store, month_of_lines())
    bill = only(store)
    assert bill.found.ours_nano == 31 * 1_771_000_000 + 1_000_000_007
