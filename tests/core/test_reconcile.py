"""A month of bills with faults put in on purpose: each cause is named, and the causes sum to the gap."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.cut_off import DAY_US, HOUR_US
from gateway.core.reconcile import Adjusted, Billed, Hour, reconcile

START = 1_793_491_200_000_000  # 2026-11-01T00:00Z
DAYS = 12
MONTH = (START, START + DAYS * DAY_US)
PRICES = {"input": 440, "output": 1_760, "cache_read": 110}  # nano-units a token
MODELS = ("mini", "large", "sonnet", "embed")


def hours(models=MODELS, *, first=-24, last=DAYS * 24 + 24, seed=7, every=3):
    """Our ledger: a few hours a day, another quantity in each."""
    found = []
    for number, model in enumerate(models):
        for hour in range(first, last):
            if hour % every and hour % 24 not in {0, 23}:
                continue
            quantity = 10_000 + (hour * 7919 + number * 104_729 + seed * 31) % 9_973
            found += [
                Hour(
                    start_us=START + hour * HOUR_US, model=model, meter=meter, quantity=quantity * weight,
                    nano=quantity * weight * PRICES[meter], rows=0,
                )
                for meter, weight in (("input", 5), ("output", 1), ("cache_read", 2))
            ]  # fmt: skip
    return found


def bill(ours, *, shift=0, days=DAYS):
    """The bill of these hours: one line a day, model and meter, counted and charged as we do."""
    sums = {}
    for hour in ours:
        day = (hour.start_us + shift * HOUR_US - START) // DAY_US
        if 0 <= day < days:
            key = (day, hour.model, hour.meter)
            sums[key] = tuple(map(sum, zip(sums.get(key, (0, 0)), (hour.quantity, hour.nano), strict=True)))
    return [
        Billed(
            start_us=START + day * DAY_US, end_us=START + (day + 1) * DAY_US, model=model, meter=meter,
            kind="usage", quantity=Fraction(quantity), nano=nano, ref=f"{day}/{model}/{meter}",
        )
        for (day, model, meter), (quantity, nano) in sorted(sums.items())
    ]  # fmt: skip


def run(lines, ours, **more):
    found = reconcile(lines, ours, **{"period": MONTH, "covered": MONTH, **more})
    ties(found, lines, ours, **more)
    return found


def ties(found, lines, ours, **more):
    """The invariant: to the nano, in every cell and in the sum, and both sides whole."""
    for cell in found.cells:
        assert sum(part.nano for part in cell.parts) == cell.gap, cell
    assert sum(found.causes.values()) == found.gap
    start, end = more.get("period", MONTH)
    booked = sum(hour.nano for hour in ours if start <= hour.start_us < end)
    booked += sum(item.nano for item in more.get("adjusted", ()) if start <= item.start_us < end)
    assert found.ours_nano == booked
    if all(line.nano is not None for line in lines):
        assert found.theirs_nano == sum(line.nano for line in lines)


def test_a_bill_that_agrees_has_no_causes() -> None:
    ours = hours()
    found = run(bill(ours), ours)
    assert found.gap == 0
    assert found.causes == {}
    assert found.shift_hours == 0


# ------------------------------------------------------------------ seeded faults


def price(lines, ours, n):
    return [replace(one, nano=one.nano * (100 + n) // 100) if one.model == "mini" else one for one in lines]


def quantity(lines, ours, n):
    def more(one):
        extra = 1000 * n
        return replace(one, quantity=one.quantity + extra, nano=one.nano + extra * PRICES[one.meter])

    day = START + (n % DAYS) * DAY_US
    return [more(one) if one.model == "large" and one.start_us == day else one for one in lines]


def missing_at_vendor(lines, ours, n):
    day = START + (n % DAYS) * DAY_US
    return [one for one in lines if not (one.model == "sonnet" and one.start_us == day)]


def missing_at_ours(lines, ours, n):
    day = START + (n % DAYS) * DAY_US
    extra = Billed(
        start_us=day, end_us=day + DAY_US, model="shadow", meter="input", kind="usage",
        quantity=Fraction(1000 * n), nano=440_000 * n, ref=f"shadow/{n}",
    )  # fmt: skip
    return [*lines, extra]


def duplicate(lines, ours, n):
    twice = [one for one in lines if one.model == "embed" and one.start_us == START + (n % DAYS) * DAY_US]
    return [*lines, *twice]


def aside(kind, sign):
    def put(lines, ours, n):
        line = Billed(
            start_us=START, end_us=MONTH[1], model="", meter="", kind=kind, quantity=None,
            nano=sign * n * 1_000_003, ref=f"{kind}/{n}",
        )  # fmt: skip
        return [*lines, line]

    return put


FAULTS = {
    "price": price,
    "quantity": quantity,
    "missing_at_vendor": missing_at_vendor,
    "missing_at_ours": missing_at_ours,
    "duplicate": duplicate,
    "tax": aside("tax", 1),
    "credit": aside("credit", -1),
    "discount": aside("discount", -1),
    "fee": aside("fee", 1),
}


def size(cause, before, after):
    """What a fault is worth: by how much it alone changes the bill."""
    return sum(line.nano for line in after) - sum(line.nano for line in before)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.sampled_from(sorted(FAULTS)), st.integers(min_value=1, max_value=40), max_size=9),
    st.integers(min_value=0, max_value=1000),
)
def test_each_seeded_fault_is_named_with_its_amount(faults, seed) -> None:
    """Any set of faults at once: exactly their causes, each with exactly its amount."""
    ours = hours(seed=seed)
    lines = clean = bill(ours)
    worth = {}
    for cause, n in faults.items():
        worth[cause] = size(cause, clean, FAULTS[cause](clean, ours, n))
        lines = FAULTS[cause](lines, ours, n)
    assert run(lines, ours).causes == worth


@pytest.mark.parametrize("hours_off", [-8, -5, 1, 9])
def test_days_of_another_zone_are_a_cut_off(hours_off) -> None:
    """A bill by Pacific days that says UTC: the shift is found and explains all of it."""
    ours = hours(every=1)
    found = run(bill(ours, shift=hours_off), ours)
    assert found.shift_hours == hours_off
    assert set(found.causes) == {"cut_off"}


def test_days_that_say_their_zone_are_no_difference() -> None:
    """Windows of local days are matched as they are, hour by hour."""
    ours = hours()
    lines = [
        replace(one, start_us=one.start_us + 5 * HOUR_US, end_us=one.end_us + 5 * HOUR_US)
        for one in bill(ours, shift=-5)
    ]
    covered = (START + 5 * HOUR_US, MONTH[1] + 5 * HOUR_US)
    found = run(lines, ours, period=covered, covered=covered)
    assert found.causes == {}


@given(st.integers(min_value=1, max_value=5_000), st.integers(min_value=0, max_value=DAYS - 2))
@settings(deadline=None, max_examples=25)
def test_calls_around_midnight_are_a_cut_off(moved, day) -> None:
    """What one day has too little of and the next too much, within the hours around midnight."""
    ours = hours()

    def shifted(one):
        sign = {day: -1, day + 1: 1}.get((one.start_us - START) // DAY_US, 0)
        if one.model != "mini" or one.meter != "output":
            return one
        return replace(
            one, quantity=one.quantity + sign * moved, nano=one.nano + sign * moved * PRICES["output"]
        )

    found = run([shifted(one) for one in bill(ours)], ours)
    assert found.gap == 0
    by_cell = [part for cell in found.cells for part in cell.parts]
    assert {part.cause for part in by_cell} == {"cut_off"}
    assert sorted(part.nano for part in by_cell) == [-moved * PRICES["output"], moved * PRICES["output"]]


def test_our_month_and_theirs_end_at_another_hour() -> None:
    """Billed by UTC months, closed in Toronto: what lies between is named, and the books tie."""
    ours = hours()
    local = (MONTH[0] + 5 * HOUR_US, MONTH[1] + 5 * HOUR_US)
    found = run(bill(ours), ours, period=local)
    head = sum(hour.nano for hour in ours if MONTH[0] <= hour.start_us < local[0])
    tail = sum(hour.nano for hour in ours if MONTH[1] <= hour.start_us < local[1])
    assert found.causes == {"cut_off": head - tail}


def test_days_that_are_not_billed_yet_are_no_missing_calls() -> None:
    ours = hours(last=DAYS * 24)
    covered = (START, START + 8 * DAY_US)
    found = run(bill(ours, days=8), ours, covered=covered)
    late = sum(hour.nano for hour in ours if hour.start_us >= covered[1])
    assert sum(found.causes.values()) == -sum(h.nano for h in ours if covered[1] <= h.start_us) == -late
    assert set(found.causes) == {"cut_off", "not_billed_yet"}
    assert found.causes["not_billed_yet"] < 0


def test_a_bill_in_cents_is_rounded_not_dearer() -> None:
    cent = 10_000_000
    ours = hours()
    lines = [replace(one, nano=round(one.nano / cent) * cent, step_nano=cent) for one in bill(ours)]
    found = run(lines, ours)
    assert set(found.causes) == {"rounding"}


@pytest.mark.parametrize("known", [True, False])
def test_another_exchange_rate_is_named(known) -> None:
    """Billed in another currency than our prices: at a rate that the bill says, or that it implies."""
    ours = hours()
    lines = [
        replace(one, nano=one.nano * 1410 // 1400, priced_nano=one.nano if known else None)
        for one in bill(ours)
    ]
    found = run(lines, ours, currencies_differ=True)
    assert set(found.causes) == {"fx"}


def test_what_never_arrived_is_an_estimate_not_a_quantity() -> None:
    """A call booked at its hold: the bill counts less, and the difference is the estimate's."""
    ours = hours()
    lines = bill(ours)
    hold = Hour(
        start_us=START + HOUR_US,
        model="mini",
        meter="output",
        quantity=4_096,
        nano=4_096 * 1_760,
        rows=1,
        estimated_quantity=4_096,
        estimated_nano=4_096 * 1_760,
    )
    first = next(one for one in lines if (one.model, one.meter) == ("mini", "output"))
    served = replace(first, quantity=first.quantity + 96, nano=first.nano + 96 * 1_760)
    for billed in (lines, [served if one is first else one for one in lines]):
        found = run(billed, [*ours, hold])
        assert set(found.causes) == {"estimate"}
        assert found.causes["estimate"] == found.gap


def test_an_adjustment_closes_the_gap_and_is_shown() -> None:
    ours = hours()
    lines = price(bill(ours), ours, 10)
    gap = run(lines, ours).gap
    booked = Adjusted(start_us=START, model="mini", nano=gap)
    found = run(lines, ours, adjusted=(booked,))
    assert found.gap == 0
    assert found.causes == {"price": gap, "adjusted": -gap}


def test_fees_stand_against_reserved_capacity() -> None:
    """A commitment that the ledger holds already is no difference, whatever its day and name there."""
    ours = hours()
    lines = aside("fee", 1)(bill(ours), ours, 5)
    reserved = Adjusted(start_us=START + 3 * DAY_US, model="ptu", nano=lines[-1].nano, reserved=True)
    assert run(lines, ours, adjusted=(reserved,)).causes == {}


def test_a_bill_without_counts_names_what_it_can() -> None:
    """Amounts alone: one multiple on every day is a price; anything else is called unexplained."""
    ours = hours()
    bare = [replace(one, quantity=None) for one in bill(ours)]
    assert run(bare, ours).causes == {}
    dearer = price(bare, ours, 7)
    assert set(run(dearer, ours).causes) == {"price"}
    odd = [replace(one, nano=one.nano + 999_999) if number == 5 else one for number, one in enumerate(bare)]
    assert run(odd, ours).causes == {"unexplained": 999_999}


def test_a_line_without_meters_is_compared_with_the_whole_model() -> None:
    ours = hours()
    sums = {}
    for one in bill(ours):
        sums[one.start_us, one.model] = sums.get((one.start_us, one.model), 0) + one.nano
    lines = [
        Billed(
            start_us=day, end_us=day + DAY_US, model=model, meter="", kind="usage", quantity=None, nano=nano,
            ref=f"{day}{model}",
        )
        for (day, model), nano in sums.items()
    ]  # fmt: skip
    assert run(lines, ours).causes == {}


def test_counts_alone_are_compared_at_our_price() -> None:
    """A usage report charges nothing: only its counts can differ."""
    ours = hours()
    counted = [replace(one, nano=None) for one in bill(ours)]
    assert run(counted, ours).causes == {}
    more = [replace(one, quantity=one.quantity + 500) if n == 3 else one for n, one in enumerate(counted)]
    assert set(run(more, ours).causes) == {"quantity"}


def test_counts_and_charges_from_two_sources_meet() -> None:
    """Costs without counts and counts without costs are one bill."""
    ours = hours()
    lines = price(bill(ours), ours, 25)
    split = [replace(one, quantity=None, ref=f"c{one.ref}") for one in lines]
    split += [replace(one, nano=None, ref=f"u{one.ref}") for one in lines]
    assert run(split, ours).causes == run(lines, ours).causes


def test_one_line_for_the_whole_month_is_compared_over_it() -> None:
    ours = hours(last=DAYS * 24)
    total = {}
    for one in bill(ours):
        q, a = total.get((one.model, one.meter), (0, 0))
        total[one.model, one.meter] = (q + one.quantity, a + one.nano)
    lines = [
        Billed(
            start_us=MONTH[0], end_us=MONTH[1], model=model, meter=meter, kind="usage", quantity=q, nano=a,
            ref=model + meter,
        )
        for (model, meter), (q, a) in total.items()
    ]  # fmt: skip
    found = run(lines, ours)
    assert found.causes == {}
    assert len(found.cells) == len(MODELS)


def test_what_needs_a_decision_leaves_out_what_needs_none() -> None:
    ours = hours()
    lines = aside("tax", 1)(price(bill(ours), ours, 3), ours, 9)
    found = run(lines, ours)
    assert sum(cell.open_nano for cell in found.cells) == found.causes["price"]
