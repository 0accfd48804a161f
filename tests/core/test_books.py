"""The canonical form of the books: one hash for the same rows, another for any other."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.books import FORMAT, MARK, Difference, Known, Tally, deltas, first_difference, line, mark

COLUMNS = {"ledger": ("id", "nano", "team"), "ledger_entries": ("id", "nano")}


def row(name: str, **changes):
    values = {
        "id": name,
        "nano": 5,
        "currency": "USD",
        "spend_nano": 7,
        "spend_currency": "CAD",
        "estimated": False,
        "status": "served",
        "started_us": 100,
        "start_us": 100,
        "cost_centre": None,
        "team": "branch",
        "app": "teller",
        "model": "m",
        "vendor": "v",
        "kind": "gpu",
    }
    return {**values, **changes}


def tally(*rows, table="ledger", start=50):
    made = Tally(currency="CAD", start_us=start, columns=COLUMNS)
    for item in rows:
        made.add(table, item)
    return made


def test_an_auditor_computes_the_hash_without_us():
    """SHA-256 over the format and one line of canonical JSON for each row."""
    lines = [
        json.dumps({"id": name, "nano": "5", "table": "ledger", "team": "branch"}, separators=(",", ":"))
        for name in ("a", "b")
    ]
    by_hand = hashlib.sha256("".join(f"{text}\n" for text in (FORMAT, *lines)).encode()).hexdigest()
    assert tally(row("a"), row("b")).sha256 == by_hand


def test_amounts_beyond_53_bits_are_exact():
    """As strings: canonical JSON has no number that wide."""
    assert b'"nano":"9007199254740993"' in line("ledger", row("a", nano=2**53 + 1), COLUMNS["ledger"])


def test_every_column_and_the_order_enter_the_hash():
    """A changed cell, a swap, a row more: another hash."""
    plain = tally(row("a"), row("b")).sha256
    assert plain == tally(row("a"), row("b")).sha256
    others = [
        tally(row("b"), row("a")),
        tally(row("a"), row("b", nano=6)),
        tally(row("a"), row("b", team="lab")),
        tally(row("a"), row("b"), row("c")),
        tally(row("a")),
    ]
    assert len({plain, *(other.sha256 for other in others)}) == 6


def test_sums_tell_apart_what_is_late_estimated_or_without_a_price():
    """Late attempts are about an earlier period; a failed try without a charge lacks no price."""
    made = tally(
        row("a"),
        row("b", started_us=10, estimated=True),
        row("c", nano=None, currency=None, spend_nano=None, spend_currency=None),
        row("d", nano=None, currency=None, spend_nano=None, spend_currency=None, status="failed"),
        row("e", spend_currency="EUR"),
    )
    assert (made.late, made.unpriced, made.unconverted) == (1, 1, 1)
    assert made.nano == 14
    assert made.totals == {"USD": 15}
    assert {
        group.about: amounts.estimated_nano for group, amounts in made.groups.items() if amounts.nano
    } == {
        "period": 0,
        "earlier": 7,
    }


def test_shares_of_capacity_have_no_price_by_the_call():
    """List and contracted amounts are of calls; what is paid by time counts in what it really cost."""
    made = tally(row("a"), row("r", kind="correction"), table="ledger_entries")
    amounts = {group.kind: amounts for group, amounts in made.groups.items()}
    assert (amounts["gpu"].list_nano, amounts["gpu"].contracted_nano, amounts["gpu"].nano) == (0, 0, 7)
    assert (amounts["correction"].list_nano, amounts["correction"].nano) == (5, 7)
    by_time = tally(row("a", nano=0, spend_nano=0, list_nano=9, contracted_nano=8))
    [usage] = by_time.groups.values()
    assert (usage.list_nano, usage.contracted_nano, usage.nano) == (9, 8, 0)


names = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=12, unique=True)


def marked(rows):
    return [("ledger", item["id"], mark(line("ledger", item, COLUMNS["ledger"]))) for item in rows]


@given(names, st.data())
def test_the_first_difference_is_named(found, data):
    """One row changed, taken or put in: that row, or the one behind the gap, is named."""
    rows = [row(name) for name in found]
    kept = b"".join(item[2] for item in marked(rows))
    assert len(kept) == MARK * len(rows)
    assert first_difference(kept, marked(rows)) is None
    at = data.draw(st.integers(0, len(rows) - 1))
    changed = [*rows[:at], row(rows[at]["id"], nano=99), *rows[at + 1 :]]
    assert first_difference(kept, marked(changed)) == Difference(
        what="changed", table="ledger", id=rows[at]["id"]
    )
    without = rows[:at] + rows[at + 1 :]
    behind = rows[at + 1]["id"] if at + 1 < len(rows) else ""
    gone = first_difference(kept, marked(without))
    assert gone is not None
    assert (gone.what, gone.id) == ("missing", behind)
    more = [*rows[:at], row("new"), *rows[at:]]
    assert first_difference(kept, marked(more)) == Difference(what="added", table="ledger", id="new")
    assert first_difference(kept, marked([*rows, row("new")])) == Difference(
        what="added", table="ledger", id="new"
    )


amounts = st.integers(-(10**12), 10**12)


@given(amounts, amounts, amounts, amounts, amounts, amounts)
def test_a_correction_arrives_at_its_amount_and_leaves_no_estimate(nano, spend, est, est_spend, to, to_spend):
    """Whatever stood there; the same again needs nothing."""
    known = Known(
        currency="USD", nano=nano, spend_nano=spend, estimated_nano=est, estimated_spend_nano=est_spend
    )
    made = deltas(known, to_nano=to, to_spend_nano=to_spend)
    assert nano + sum(item.nano for item in made) == to
    assert spend + sum(item.spend_nano for item in made) == to_spend
    if made:
        assert est + sum(item.nano for item in made if item.estimated) == 0
        assert est_spend + sum(item.spend_nano for item in made if item.estimated) == 0
    settled = Known(currency="USD", nano=to, spend_nano=to_spend, estimated_nano=0, estimated_spend_nano=0)
    assert deltas(settled, to_nano=to, to_spend_nano=to_spend) == ()
