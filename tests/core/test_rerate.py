"""A month rated again gives the same amounts to the last unit, whatever became of the price book."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import record
from gateway.core.budget import settlement
from gateway.core.canonical import encode
from gateway.core.fold import Booking, Fold
from gateway.core.prices import bound
from gateway.core.record import Entry
from gateway.core.rerate import booked, from_book, from_row
from gateway.core.snapshot import Price, Snapshot
from gateway.core.values import Charge, Hold, Usage
from tests.core.maple import NOW, at, attempt, price, snapshot
from tests.core.priced import DAYS, prices, usages


def row_of(bundle: Snapshot, usage: Usage | None, when: int) -> dict[str, Any]:
    """The ledger row that the spine, the journal and the projector make of an attempt."""
    import orjson

    tried = replace(attempt(), snapshot=bundle, started=when)  # a test's own
    most = bound(
        bundle, "here", input_tokens=10**6, output_tokens=10**6, at=when,
        units={"web_search": 9, "audio_second": 9} if "web_search" in bundle.prices["here"][0].meters else {},
    )  # fmt: skip
    assert isinstance(most, Charge)
    settled = settlement(bundle, "here", Hold(id="h", wants=()), bound=most, usage=usage, at=when)
    entries = [
        ("attempt.intent", record.intent(tried, bound=most)),
        (
            "attempt.outcome",
            record.outcome(
                tried,
                status="served",
                code=None,
                usage=usage,
                settled=settled,
                vendor_id=None,
                vendor_model=None,
                reported_place=None,
                ended=when + 1,
            ),
        ),
    ]
    fold = Fold()
    facts = []
    for seq, (kind, data) in enumerate(entries, 1):
        stored = orjson.loads(encode(data))
        facts += fold.step(Entry(writer="w", seq=seq, t=0, kind=kind, data=stored, prev=""))
    (booking,) = facts
    assert isinstance(booking, Booking)
    return dict(booking.row)


@given(prices(), usages() | st.none(), st.sampled_from(DAYS))
def test_a_row_explains_its_own_amount(made: Price, usage: Usage | None, when: int) -> None:
    """Through the journal and back: every tier, band, uplift, discount; booked at its hold too."""
    bundle = snapshot(prices={"here": (made,)})
    read = booked(row_of(bundle, usage, when))
    assert read is not None
    assert from_row(read) == (read.nano, read.list_nano)
    again = from_book(bundle, read)
    if read.at_most or not read.price_ids:
        assert again is None
    else:
        assert again is not None
        assert (again.nano, again.list_nano) == (
            read.nano, None if read.list_nano == read.nano else read.list_nano,
        )  # fmt: skip
        assert usage is not None
        assert replace(usage, units=tuple(sorted(usage.units))) == read.usage


def test_a_month_rated_again_is_the_same_to_the_last_unit() -> None:
    """A price ends, the next begins, one is corrected later: booked rows keep their amounts."""
    old = price(id="old", valid_to=at("2026-11-10"))
    new = price(id="new", valid_from=at("2026-11-10"), meters={"input": Decimal("0.7"), "output": Decimal(3)})
    before = snapshot(prices={"here": (old, new)})
    days = [at(f"2026-11-{day:02}T12:00:00") for day in range(1, 30)]
    usage = Usage(input=12_345, output=678)
    rows = [booked(row_of(before, usage, day)) for day in days]
    fixed = replace(
        new,
        id="fixed",
        corrects="new",
        recorded_at=at("2026-11-25"),
        meters={"input": Decimal("0.5"), "output": Decimal(3)},
    )
    after = snapshot(prices={"here": (old, new, fixed)})
    total = 0
    for read in rows:
        assert read is not None
        assert from_row(read) == (read.nano, read.nano)
        by_id = from_book(after, read)
        assert by_id is not None
        assert by_id.nano == read.nano
        known = from_book(after, read, known_at=at("2026-12-01"))
        assert known is not None
        total += known.nano - read.nano
    # What was learned on the 25th is a difference to book, for the 20 days that the price was valid.
    assert total == 20 * (round(Decimal("0.5") * 12_345_000) - round(Decimal("0.7") * 12_345_000))


def test_a_price_that_changed_under_its_id_shows() -> None:
    """The row still explains itself; the book no longer says the same."""
    read = booked(row_of(snapshot(), Usage(input=1_000_000), NOW))
    assert read is not None
    other = snapshot(prices={"here": (price(meters={"input": Decimal(9), "output": Decimal(9)}),)})
    assert from_row(read)[0] == read.nano
    by_id = from_book(other, read)
    assert by_id is not None
    assert by_id.nano != read.nano
    assert from_book(snapshot(prices={}), read) is None


def test_rows_from_before_tiers_are_read() -> None:
    """They do not say that they were booked at their hold: their lines count more than their buckets."""
    row = row_of(snapshot(), None, NOW)
    old = {**row, "at_most": False, "list_nano": None, "tier": "", "units": "{}"}
    read = booked(old)
    assert read is not None
    assert read.at_most
    assert from_row(read)[0] == read.nano
    assert booked({**old, "nano": None}) is None
