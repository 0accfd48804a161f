"""Places: inside or not, and never by luck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.places import COUNTRIES, EU_MEMBERS, contains, inside, known_codes, spoken, valid

CODES = st.sampled_from(known_codes())


@pytest.mark.parametrize(
    ("places", "allowed", "holds"),
    [
        ({"CA-QC"}, {"CA"}, True),
        ({"CA"}, {"CA-QC"}, False),
        ({"CA-ON"}, {"CA-QC"}, False),
        ({"CA-QC", "US"}, {"CA"}, False),
        ({"FR"}, {"EU"}, True),
        ({"FR-IDF"}, {"EU"}, True),
        ({"NO"}, {"EU"}, False),
        ({"GB"}, {"EU"}, False),
        ({"EU"}, {"FR"}, False),
        ({"EU"}, set(EU_MEMBERS), True),
        ({"global"}, {"CA", "US", "EU"}, False),
        ({"global"}, {"global"}, True),
        ({"CA"}, {"global"}, False),
        (set(), {"CA"}, False),
        (None, {"CA"}, False),
        ({"CA"}, set(), False),
    ],
)
def test_inside(places, allowed, holds):
    """Every place must lie inside; unknown and nothing never do; the URL of a region is no matter."""
    assert inside(None if places is None else frozenset(places), frozenset(allowed)) is holds


@given(st.frozensets(CODES, min_size=1, max_size=4), st.frozensets(CODES, max_size=4), CODES)
def test_inside_is_monotone(places, allowed, more):
    """A further allowed place never takes a place out; a further place never brings a set in."""
    if inside(places, allowed):
        assert inside(places, allowed | {more})
    if inside(places | {more}, allowed):
        assert inside(places, allowed)


@given(CODES)
def test_a_place_is_inside_itself(code):
    """Containment is reflexive."""
    assert contains(frozenset({code}), code)


@given(st.sampled_from(sorted(COUNTRIES)), CODES)
def test_a_country_contains_its_parts_only(country, code):
    """A code with a country's prefix is inside it; another country's is not."""
    assert contains(frozenset({country}), code) is (code == country or code.startswith(f"{country}-"))


@pytest.mark.parametrize("code", ["CA", "CA-QC", "US-NY", "FR-IDF", "EU", "global", "NO"])
def test_valid(code):
    """Codes that we know."""
    assert valid(code)


@pytest.mark.parametrize(
    "code", ["", "ca", "CAN", "CA-XX", "US-QC", "XX", "XX-YY", "CA-", "CA-QCX", "world", "ZZ"]
)
def test_invalid(code):
    """A typing mistake is no place: codes are exact."""
    assert not valid(code)


def test_spoken():
    """Callers read names; what is not known says so."""
    assert spoken(frozenset({"CA-QC", "US"})) == "Quebec and the US"
    assert spoken(frozenset({"CA", "JP", "US"})) == "Canada, JP and the US"
    assert spoken(None) == spoken(frozenset()) == "a place that is not known"
