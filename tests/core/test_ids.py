"""Ids are ours, unique, ordered by time, and cannot be made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import IdIssuer, choice_id, decision_id, rater_key, tenant_key

ROOT = bytes(range(32))
NOW = 1_795_416_006_625_000_000
OURS = IdIssuer(tenant_key(ROOT, "maple"))
THEIRS = IdIssuer(tenant_key(ROOT, "birch"))

chance = st.binary(min_size=8, max_size=8)
places = st.sampled_from(["CA", "CA-QC", "US", "FR", "ZZ"])
instants = st.integers(min_value=0, max_value=4_000_000_000_000_000_000)


@given(places, instants, chance, st.none() | st.integers(min_value=0, max_value=127))
def test_an_issued_id_is_recognised_with_all_it_names(place, now, random, choice):
    """What was put in comes out: place, instant to the millisecond, choice."""
    request = OURS.request(place, now=now, random=random)
    target = OURS.recognise(request if choice is None else choice_id(request, choice))
    assert target is not None
    assert (target.request, target.place, target.choice) == (request, place, choice)
    assert target.issued_ms == now // 1_000_000


@given(places, instants, chance)
def test_another_tenants_id_is_not_recognised(place, now, random):
    """The tag is under the tenant's own key, so that a foreign id looks like a made-up one."""
    assert OURS.recognise(THEIRS.request(place, now=now, random=random)) is None


@given(chance, st.data())
def test_any_changed_character_breaks_the_tag(random, data):
    """Place, time, chance and tag are all covered."""
    request = OURS.request("CA-QC", now=NOW, random=random)
    at = data.draw(st.integers(min_value=0, max_value=len(request) - 1))
    other = data.draw(
        st.sampled_from("0123456789abcdefghjkmnpqrstvwxyz-_.").filter(lambda c: c != request[at])
    )
    assert OURS.recognise(request[:at] + other + request[at + 1 :]) is None


@given(st.text(max_size=200))
def test_no_text_breaks_recognition(text):
    """Whatever an app sends as a target, the answer is an id or None."""
    assert OURS.recognise(text) is None


@pytest.mark.parametrize("suffix", [".", ".-1", ".01", ".128", ".1.1", ".x", ".²"])
def test_a_choice_is_written_in_one_way_only(suffix):
    """Two spellings of one choice would be two targets with two ratings."""
    assert OURS.recognise(OURS.request("CA", now=NOW, random=b"12345678") + suffix) is None


def test_upper_case_is_another_id():
    """An id has one spelling."""
    assert OURS.recognise(OURS.request("CA-QC", now=NOW, random=b"12345678").upper()) is None


@given(
    st.lists(st.integers(min_value=0, max_value=10**15), min_size=2, max_size=2, unique=True), chance, chance
)
def test_ids_of_one_place_sort_by_time(milliseconds, one, two):
    """A list of ids is in the order in which they were issued, whatever the chance in them."""
    early, late = sorted(milliseconds)
    first = OURS.request("CA", now=early * 1_000_000, random=one)
    second = OURS.request("CA", now=late * 1_000_000, random=two)
    assert first < second


@given(chance, chance)
def test_different_chance_gives_different_ids(one, two):
    """The 60 bits that are used decide; the top four are spare."""
    mask = (1 << 60) - 1
    same = int.from_bytes(one, "big") & mask == int.from_bytes(two, "big") & mask
    assert (OURS.request("CA", now=NOW, random=one) == OURS.request("CA", now=NOW, random=two)) is same


def test_too_little_chance_is_an_error():
    """A guessable id must not be issued by mistake."""
    with pytest.raises(ValueError, match="8 random bytes"):
        OURS.request("CA", now=NOW, random=b"short")


def test_a_decision_id_is_short_enough_to_quote():
    """It is read out to an office."""
    decision = decision_id(now=NOW, random=b"12345678")
    assert decision.startswith("dec_")
    assert len(decision) == 24
    assert decision != decision_id(now=NOW, random=b"12345679")


def test_keys_differ_by_purpose_and_tenant_and_need_a_long_root():
    """A rater's pseudonym cannot be computed from the key of ids, or another tenant's."""
    derived = {tenant_key(ROOT, "a"), tenant_key(ROOT, "b"), rater_key(ROOT, "a"), rater_key(ROOT, "b")}
    assert len(derived) == 4
    with pytest.raises(ValueError, match="shorter than 32"):
        tenant_key(b"short", "a")


def test_the_key_is_not_shown():
    """A log of the object must not hold it."""
    assert "\\x" not in repr(OURS)
    assert str(OURS.key) not in repr(OURS)
