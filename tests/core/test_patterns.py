"""The scan as a whole: what is found, what is left alone, and in which positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import patterns
from gateway.core.patterns import KINDS, scan

# Assembled, so that no scanner of this repository takes them for real.
SIN = "130 692" + " 544"
BARE_SIN = SIN.replace(" ", "")
CARD = " ".join(["4242"] * 4)
EMAIL = "jane.doe" + "@" + "example.com"


def found(text, kinds=KINDS, **more):
    return [(span.kind, text[span.start : span.end]) for span in scan(text, kinds, **more)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (f"My SIN is {SIN}.", "sin", SIN),
        (f"numéro d'assurance sociale {BARE_SIN}", "sin", BARE_SIN),
        (f"pay with {CARD} today", "card", CARD),
        (f"write to {EMAIL}, please", "email", EMAIL),
        ("écrivez à élodie@exemple.ca", "email", "élodie@exemple.ca"),
        ("call 514-555-0199", "phone", "514-555-0199"),
        ("call (416) 555-0123 now", "phone", "(416) 555-0123"),
        ("cell: 4165550123", "phone", "4165550123"),
        ("ring +44 20 7946 0958", "phone", "+44 20 7946 0958"),
        ("tél. 01 99 00 12 34", "phone", "01 99 00 12 34"),
        ("OHIP 1234 567 897 AB", "health_number", "1234 567 897 AB"),
        ("RAMQ TREM 8505 1519", "health_number", "TREM 8505 1519"),
        ("carte santé 123456789012", "health_number", "123456789012"),
        ("wire to GB82 WEST 1234 5698 7654 32 now", "iban", "GB82 WEST 1234 5698 7654 32"),
        ("from 203.0.113.9 at noon", "ip", "203.0.113.9"),
        ("from 2001:db8::8a2e:370:7334 at noon", "ip", "2001:db8::8a2e:370:7334"),
        ("mac 00:1A:2b:3c:4d:5e", "mac", "00:1A:2b:3c:4d:5e"),
        ("to M5V 2T6 please", "postal_code", "M5V 2T6"),
        ("code postal h2x1y4", "postal_code", "h2x1y4"),
        ("at 123 King Street West, please", "address", "123 King Street West"),
        ("au 12 rue de la Montagne, svp", "address", "12 rue de la Montagne"),
        ("born March 4, 1985 in Laval", "date_of_birth", "March 4, 1985"),
        ("née le 4 mars 1985", "date_of_birth", "4 mars 1985"),
        ("DOB 1985-03-04", "date_of_birth", "1985-03-04"),
        ("passport GA302922", "passport", "GA302922"),
        ("licence D6101-40706-60905", "driver_licence", "D6101-40706-60905"),
        ("BN 123456782RT0001", "business_number", "123456782RT0001"),
        ("deposit to 12345-003-1234567", "bank_account", "12345-003-1234567"),
        ("SSN 123-45-6789", "us_ssn", "123-45-6789"),
        ("her ITIN is 912-78-3456", "us_ssn", "912-78-3456"),
        ("PR card RA0302123", "resident_card", "RA0302123"),
        ("my UCI is 11-2345-6789", "resident_card", "11-2345-6789"),
        ("NINO AB 12 34 56 C", "national_id", "AB 12 34 56 C"),
        ("DNI 12345678Z", "national_id", "12345678Z"),
        ("numéro de sécurité sociale 2 55 08 14 168 025 38", "national_id", "2 55 08 14 168 025 38"),
        ("codice fiscale RSSMRA85T10A562S", "national_id", "RSSMRA85T10A562S"),
        ("BSN 111222333", "national_id", "111222333"),
        ("NHS number 943 476 5919", "health_number", "943 476 5919"),
        ("born 4-Mar-1985", "date_of_birth", "4-Mar-1985"),
        ("to 4-1203 Queen Street W, Apt 7, please", "address", "4-1203 Queen Street W, Apt 7"),
        ("ship to 1731 bloor rd today", "address", "1731 bloor rd"),
        ("to k1a 0b1 please", "postal_code", "k1a 0b1"),
        ("meet at 45.50170, -73.56730 ok", "coordinates", "45.50170, -73.56730"),
        ("send to 0x" + "ab12" * 10, "crypto", "0x" + "ab12" * 10),
    ],
)
def test_finds(text, kind, value):
    """Each form is found, under its own kind and with its exact extent."""
    assert found(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        f"order {BARE_SIN} shipped",  # nine digits are not a SIN
        "order 130692545 SIN",  # a SIN needs its check digit
        "invoice 4165550123",  # ten digits are not a phone number
        "version 10.2.3.4 of 2024-05-06",
        "v1.2.3.4 and localhost 127.0.0.1",
        "born in Laval, 1985",
        "the year 2024, 12 apples, 3.14159, 1/2",
        "tracking 1Z999AA10123456784",
        "uuid 550e8400-e29b-41d4-a716-446655440000",
        "12 apples on the road",
        "https://example.com/a/b?c=1",
        "a@b and @decorator and user@host",
        "git@example.com:team/repo.git",
        "password is required",
        "the token: optional",
        "ratio 16:9, 10:30:15, ::1",
        "41 + 1 = 42",
        "GB82 WEST 1234 5698 7654 33",  # mod 97 is wrong
        "NINO DB 12 34 56 C",  # no number starts with D
        "DNI 12345678A",  # another letter
        "BSN 111222334",  # the weighted sum is wrong
        "RSSMRA85T10A562T",  # the check letter is wrong
        "lot RA0302123",  # no word for a resident's card
        "in 20 minutes drive",
    ],
)
def test_leaves_alone(text):
    """Look-alikes without a check digit, a format or a context word are nobody's data."""
    assert found(text) == []


def test_the_key_counts_as_context():
    """A bare number under a telling key is found; under another it is not."""
    assert found(BARE_SIN, context="customerSIN") == [("sin", BARE_SIN)]
    assert found("1985-03-04", context="date_of_birth") == [("date_of_birth", "1985-03-04")]
    assert found(BARE_SIN, context="order_id") == []


def test_only_wanted_kinds_are_found():
    """A kind that nobody asked for is not reported."""
    text = f"{EMAIL} {CARD}"
    assert [kind for kind, _ in found(text, frozenset({"card"}))] == ["card"]
    assert found(text, frozenset()) == []


def test_look_alike_characters_are_folded_and_positions_kept():
    """Full-width digits, non-breaking spaces, typographic dashes and zero-width marks hide nothing."""
    wide = "".join(chr(ord(char) + 0xFEE0) if char.isdigit() else char for char in SIN)
    split = BARE_SIN[:1] + "\u200b" + BARE_SIN[1:]
    assert found(f"SIN\u00a0: {wide}!") == [("sin", wide)]
    assert found(f"SIN {split}!") == [("sin", split)]
    assert found("tel 514\u2011555\u20110199") == [("phone", "514\u2011555\u20110199")]


def test_a_long_number_is_one_kind_only():
    """A card is not also a phone, a SIN or an account: precision per kind pins regions."""
    assert [kind for kind, _ in found(f"card {CARD.replace(' ', '')} account")] == ["card"]
    assert [kind for kind, _ in found(f"SIN {SIN} phone")] == ["sin"]


@given(st.text(max_size=400))
def test_spans_are_ordered_disjoint_and_inside(text):
    """Whatever the text, spans can be cut out of it one after another."""
    at = 0
    for span in scan(text):
        assert at <= span.start < span.end <= len(text)
        at = span.end


@given(
    st.text("ab \n.,", max_size=40),
    st.sampled_from([f"SIN {SIN}", CARD, EMAIL, "call 514-555-0199"]),
    st.text("ab \n.,", max_size=40),
)
def test_an_identifier_is_found_wherever_it_stands(before, value, after):
    """Prose around an identifier does not hide it."""
    assert found(f"{before} {value} {after}")


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1 ",
        "1-",
        "a1",
        "@",
        "a@",
        "(",
        "+1",
        "1.1,",
        "A1A ",
        "12 A ",
        "eyJ",
        ":",
        "a:",
        "x://",
        "0x",
        "-----BEGIN ",
        "password:",
        "1" * 39 + " ",
        "Jan ",
        "GB82 ",
    ],
)
def test_hostile_text_costs_no_more_than_in_proportion(unit):
    """No input makes a pattern backtrack: matching work is counted, not timed.

    Searches are made through a counting stand-in of the recognizers' own loop, so what is
    bounded is how often a pattern is started, per character.
    """
    text = unit * (20_000 // len(unit))
    checks = 0
    for recognizer in (*patterns.pattern_table.NUMBERS, *patterns.pattern_table.WORDS):
        for _ in recognizer.pattern.finditer(text):
            checks += 1
    assert checks <= 6 * len(text)
    scan(text)
