"""Keys that say what their value is, in English and French, however they are spelled."""

from __future__ import annotations

import pytest

from gateway.core import keyed


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("customer_name", "person"),
        ("firstName", "person"),
        ("first name", "person"),
        ("Nom complet", "person"),
        ("prénom", "person"),
        ("patient", "person"),
        ("cardholder", "person"),
        ("ville", "location"),
        ("country", "location"),
        ("streetAddress", "address"),
        ("adresse", "address"),
        ("sin", "other"),
        ("health_card", "other"),
        ("email", "other"),
        ("ip_address", "other"),
        ("file_name", None),
        ("hostname", None),
        ("tool_name", None),
        ("customer_id", None),
        ("company_name", None),
        ("status", None),
        ("", None),
        ("x" * 65, None),
    ],
)
def test_roles(key, role):
    """What a key asks for; a thing's name is nobody's."""
    assert keyed.role(key) == role
    assert keyed.known(key) is (role is not None)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("name", "Priya Raman", "person"),
        ("name", "priya raman", "person"),
        ("customer", "O'Neil, Jean-Luc", "person"),
        ("prenom", "zoé", "person"),
        ("patient", "Dr. A. B. Roy", "person"),
        ("city", "St. John's", "location"),
        ("ville", "Trois-Rivières", "location"),
        ("address", "12 King St W, Unit 4", "address"),
        ("client", "premium", None),  # one word in small letters may be anything
        ("name", "unknown", None),
        ("name", "order-12", None),
        ("customer", "C-1029", None),
        ("location", "45.50, -73.56", None),
        ("address", "jane@example.com 12", None),
        ("status", "Priya Raman", None),
        ("name", "x" * 200, None),
    ],
)
def test_values(key, value, kind):
    """A value is what its key asks for only if it looks like it."""
    told = keyed.value(key, value)
    assert (told.kind if told else None) == kind
    if told:
        assert 0 <= told.start < told.end <= len(value)


def test_keys_of_ordinary_numbers():
    """Orders, sums and dates are nobody's numbers; a key that asks for an identifier is not dull."""
    assert keyed.dull("order_id")
    assert keyed.dull("createdAt") is False or keyed.dull("created_at")
    assert not keyed.dull("account_number")
    assert not keyed.dull("sin")
