"""An hour of a pool as entries: everything sums, nothing that was booked changes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.gpu import HourSplit
from gateway.core.gpu_books import (
    UNIT,
    WHOLE_PPB,
    Amount,
    Charge,
    Facts,
    Row,
    Who,
    amounts,
    charge_nano,
    entries,
    gpu_hours,
    origin,
    read_id,
    rows,
    summed,
)
from gateway.core.gpu_pools import DEFAULTS, HOUR_US
from gateway.core.money import INT64_MAX
from tests.core.gpu_runs import MEASURED, START, pool

CHARGE = Charge(currency="USD", nano=11_400_000_000, spend_currency="CAD", spend_nano=15_874_500_000)
NAMES = st.sampled_from(["", "branch", "lab", "ops"])
PEOPLE = st.builds(
    Who, team=NAMES, app=NAMES, cost_centre=st.sampled_from(["", "4410"]), alias=NAMES, deployment=NAMES
)


def facts(**changes: object) -> Facts:
    """What an hour's entries say beside their amounts."""
    made = Facts(
        tenant="maple",
        pool=pool(),
        start_us=START,
        revision=1,
        coefficients=MEASURED,
        billing_period="2026-09",
        currency="USD",
        spend_currency="CAD",
        created_us=START + 2 * HOUR_US,
        created_by="gateway",
        lost=frozenset(),
        vendors={"own-llama": "self"},
        places={"own-llama": "CA-QC"},
        models={"own-llama": "llama-3.1-8b"},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def an_hour(busy: int, used: dict[Who, int], billed: int = 4 * HOUR_US) -> HourSplit[Who]:
    """A split."""
    return HourSplit(billed=billed, busy=busy, used=used)


@st.composite
def splits(draw: st.DrawFn) -> HourSplit[Who]:
    """Any split that closes."""
    used = draw(st.dictionaries(PEOPLE, st.integers(1, HOUR_US), max_size=8))
    busy = sum(used.values())
    return an_hour(busy, used, busy + draw(st.integers(0, 4 * HOUR_US)))


@settings(max_examples=200, deadline=None)
@given(splits(), st.sampled_from(["unallocated", "reserved_share", "used_share"]), st.integers(0, 10**12),
       st.integers(0, 10**12))  # fmt: skip
def test_the_rows_of_an_hour_close(split, idle, nano, spend):
    """Time, both amounts and the ratios sum to their wholes, whatever the rule of idle time."""
    of = pool(idle=idle, shares={"branch": 3_000_000, "lab": 500_000} if idle == "reserved_share" else {})
    micros = rows(of, split, centre_of=lambda team: "4410" if team == "branch" else "")
    assert sum(micros.values()) == split.billed
    parts = {
        part: sum(m for row, m in micros.items() if row.part == part)
        for part in ("use", "idle", "unallocated")
    }
    assert parts["use"] == split.busy
    assert parts["idle"] + parts["unallocated"] == split.idle
    found = entries(facts(pool=of), amounts(micros, replace(CHARGE, nano=nano, spend_nano=spend)))
    if not split.billed:
        assert found == []
        return
    assert sum(e.nano for e in found) == nano
    assert sum(e.spend_nano for e in found) == spend
    assert sum(e.ratio_ppb for e in found) == WHOLE_PPB
    assert sum(e.quantity for e in found) == split.billed
    assert all(e.nano >= 0 and e.ratio_ppb >= 0 and e.quantity > 0 for e in found)
    assert len({e.id for e in found}) == len(found)


@settings(max_examples=200, deadline=None)
@given(splits(), splits(), splits())
def test_corrections_lead_from_what_is_booked_to_what_is_known(first, second, third):
    """Booked + corrections = what a fresh close would have said; ratios still sum to one."""

    def known(split: HourSplit[Who]) -> dict[Row, Amount]:
        micros = rows(pool(), split, centre_of=lambda _: "")
        return amounts(micros, CHARGE)

    booked = entries(facts(), known(first))
    frozen = list(booked)
    for revision, split in ((2, second), (3, third)):
        fresh = known(split)
        more = entries(facts(revision=revision, why="recalibrated"), fresh, summed(booked))
        booked += more
        assert all(
            e.kind == "correction" and e.refers and e.origin == origin("llama-ca", START) for e in more
        )
        assert summed(booked) == {
            **{row: Amount(micro=0, nano=0, spend_nano=0, ppb=0) for row in summed(booked)},
            **fresh,
        }
    assert booked[: len(frozen)] == frozen
    assert len({e.id for e in booked}) == len(booked)


def test_the_same_knowledge_again_books_nothing():
    """Closing twice changes nothing."""
    micros = rows(pool(), an_hour(7, {Who(team="a"): 7}), centre_of=lambda _: "")
    fresh = amounts(micros, CHARGE)
    booked = entries(facts(), fresh)
    assert entries(facts(revision=2), fresh, summed(booked)) == []


def test_an_entry_says_what_finance_needs():
    """Whose, when, how much of which charge, and how sure it is."""
    who = Who(team="branch", app="teller", cost_centre="4410", alias="chat", deployment="own-llama")
    micros = rows(pool(), an_hour(HOUR_US, {who: HOUR_US}), centre_of=lambda _: "")
    used, left = sorted(entries(facts(), amounts(micros, CHARGE)), key=lambda e: e.team, reverse=True)
    assert (used.team, used.app, used.cost_centre, used.alias) == ("branch", "teller", "4410", "chat")
    assert (used.vendor, used.place, used.model) == ("self", "CA-QC", "llama-3.1-8b")
    assert (used.quantity, used.unit, used.ratio_ppb) == (HOUR_US, UNIT, 250_000_000)
    assert (used.nano, used.spend_nano) == (2_850_000_000, 3_968_625_000)
    assert not used.estimated
    assert "split by phase-v1 (calibrated 2026-09-01)" in used.reason
    assert (left.team, left.app, left.deployment, left.place) == ("", "", "", "CA-QC")
    assert "nobody used it" in left.reason
    assert read_id(used.id) == ("llama-ca", START, "use")
    assert read_id(left.id) == ("llama-ca", START, "unallocated")


def test_uncalibrated_rows_are_marked():
    """Those that rest on the coefficients: use, and idle by use. Not what was merely idle."""
    who = Who(team="branch")
    for rule, marked in (("unallocated", {"use"}), ("used_share", {"use", "idle"})):
        of = pool(idle=rule)
        micros = rows(of, an_hour(9, {who: 9}), centre_of=lambda _: "")
        found = entries(facts(pool=of, coefficients=DEFAULTS), amounts(micros, CHARGE))
        assert {read_id(e.id)[2] for e in found if e.estimated} == marked
        assert all("uncalibrated" in e.reason for e in found if e.estimated)


def test_a_team_whose_usage_was_lost_is_marked_alone():
    """An estimate is one row's, not the hour's."""
    a, b = Who(team="a"), Who(team="b")
    micros = rows(pool(), an_hour(9, {a: 4, b: 5}), centre_of=lambda _: "")
    found = entries(facts(lost=frozenset({b})), amounts(micros, CHARGE))
    assert {e.team: e.estimated for e in found} == {"a": False, "b": True, "": False}


def test_what_an_hour_costs_is_rounded_once():
    """8 GPUs for an hour at 2.85; a third of a cent is kept in nano-units."""
    rate = pool().rates[0]
    assert charge_nano(8 * HOUR_US, rate) == 22_800_000_000
    assert charge_nano(1, replace(rate, per_gpu_hour=Decimal("3.6"))) == 1
    assert charge_nano(HOUR_US, replace(rate, per_gpu_hour=Decimal("0.000000001"))) == 1
    with pytest.raises(ValueError, match="check the rate"):
        charge_nano(INT64_MAX, replace(rate, per_gpu_hour=Decimal(999999999999)))


@pytest.mark.parametrize("text", ["", "reconcile:1:2", "gpu:a:b", "gpu:a:x:1:use:f00", "gpu:a:1:1:other:f00"])
def test_other_entries_are_not_read(text):
    """Ids of other rooms are none of ours."""
    assert read_id(text) is None


def test_a_pools_name_may_hold_a_colon():
    """Names may; the tail of an id may not."""
    assert read_id("gpu:a:b:3600000000:1:idle:f00") == ("a:b", 3_600_000_000, "idle")


def test_hours_are_shown_to_six_decimals():
    """A micro-GPU-second is far below."""
    assert gpu_hours(HOUR_US * 3 // 2) == Decimal("1.500000")
