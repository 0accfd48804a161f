"""Check digits: what passes, what does not, against values worked out by hand or published as examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import checksums


def luhn_complete(head: str) -> str:
    """Return digits with their Luhn digit added; an independent way to write the rule."""
    total = 0
    for place, char in enumerate(reversed(head)):
        doubled = int(char) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return head + str(-total % 10)


@given(st.text("0123456789", min_size=1, max_size=18))
def test_luhn_accepts_exactly_one_last_digit(head):
    """Of the ten last digits exactly the right one passes."""
    passing = [digit for digit in "0123456789" if checksums.luhn(head + digit)]
    assert passing == [luhn_complete(head)[-1]]


@pytest.mark.parametrize(
    ("number", "is_card"),
    [
        ("4242" * 4, True),
        ("5555" * 3 + "4444", True),
        ("3782822463" + "10005", True),
        ("6011" + "1111" * 2 + "1117", True),
        ("4242" * 3 + "4243", False),  # the check digit is wrong
        ("9999" * 4, False),  # no issuer
        (luhn_complete("42424242424242"), False),  # Visa has no 15 digits
    ],
)
def test_card(number, is_card):
    """A card needs an issuer's range, that issuer's length and the check digit."""
    assert checksums.card(number) is is_card


def test_iban_needs_the_countrys_length_and_mod_97():
    """The registry's example passes; one changed character or a missing one does not."""
    good = "GB82" + "WEST" + "12345698765432"
    assert checksums.iban(good)
    assert not checksums.iban(good[:-1] + "3")
    assert not checksums.iban(good[:-1])
    assert not checksums.iban("ZZ" + good[2:])


def test_bc_phn_is_modulo_11():
    """A number that satisfies the weights passes, its neighbours do not."""
    weights = (2, 4, 8, 5, 10, 9, 7, 3)
    body = "98765431"
    check = 11 - sum(int(d) * w % 11 for d, w in zip(body[1:] + "0", weights, strict=True)) % 11
    number = body + "0" + str(check)
    assert check < 10
    assert checksums.bc_phn(number)
    assert not checksums.bc_phn(number[:-1] + str((check + 1) % 10))
    assert not checksums.bc_phn("1" + number[1:])


@pytest.mark.parametrize(
    ("number", "possible"),
    [("TREM85051519", True), ("TREM85551519", True), ("TREM85131519", False), ("TREM85053219", False)],
)
def test_ramq_needs_a_date(number, possible):
    """Month (plus 50 for women) and day must exist."""
    assert checksums.ramq(number) is possible


@pytest.mark.parametrize("number", ["000123456", "666123456", "900123456", "123006789", "123450000"])
def test_us_ssn_refuses_what_is_never_issued(number):
    """Areas, groups and serials that are never issued are refused."""
    assert not checksums.us_ssn(number)
    assert checksums.us_ssn("123456789")


def test_base58check():
    """The genesis block's address passes; one changed character does not."""
    address = "1A1zP1eP5QGefi2DMPTfTL5SLmv7" + "DivfNa"
    assert checksums.base58check(address)
    assert not checksums.base58check(address[:-1] + "b")


@pytest.mark.parametrize(
    ("digits", "possible"),
    [
        ("912783456", True),
        ("912893456", False),
        ("912123456", False),
        ("812783456", False),
        ("900501234", True),
    ],
)
def test_itin(digits, possible):
    """A taxpayer number starts with 9, and its group is one that is given out."""
    assert checksums.itin(digits) is possible


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (checksums.nino, "AB123456C", ("DB123456C", "AO123456C", "AB123456E", "GB123456A")),
        (checksums.nhs, "943476" + "5919", ("9434765918", "1234567890")),
        (checksums.nir, "255081416802538", ("255081416802539", "X55081416802538")),
        (checksums.dni, "12345678Z", ("12345678A",)),
        (checksums.dni, "X1234567L", ("Y1234567L",)),
        (checksums.codice_fiscale, "RSSMRA85T10A562S", ("RSSMRA85T10A562T",)),
    ],
)
def test_national_numbers(rule, good, bad):
    """A published example passes; a changed character does not."""
    assert rule(good)
    assert not any(rule(number) for number in bad)


def test_weighted_sums():
    """The Dutch and the Polish rule, on numbers of their own."""
    assert checksums.weighted("111222333", (9, 8, 7, 6, 5, 4, 3, 2, -1), 11)
    assert checksums.weighted("44051401359", (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)
    assert not checksums.weighted("44051401358", (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)
