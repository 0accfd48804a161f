"""Surrogates: valid in form, nobody's in fact, and found again however a model writes them."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import patterns, surrogates
from gateway.core.checksums import luhn
from gateway.core.surrogates import Restorer, key_of, surrogate
from tests.core.privacy import CARD, EMAIL, PHONE, SIN, cut

VALUES = {
    "email": EMAIL,
    "phone": PHONE,
    "card": CARD,
    "sin": SIN,
    "us_ssn": "123-45-" + "6789",
    "ip": "10.1.2.3",
    "mac": "3c:22:fb:01:02:03",
    "postal_code": "H2X 1Y4",
    "iban": "DE89 3704 0044 0532 0130 00",
    "health_number": "1234-567-" + "890-AB",
    "business_number": "123456789RT0001",
    "bank_account": "12345-003-1234567",
    "passport": "AB123456",
    "driver_licence": "S1234-56789-01234",
}


def test_every_kind_with_a_form_is_tried_here():
    """A kind that is added comes with an example."""
    assert set(VALUES) == surrogates.KINDS


@pytest.mark.parametrize("kind", VALUES)
def test_the_format_stays(kind):
    """Length, punctuation, and where letters and digits stand: schemas and patterns still match."""
    value = VALUES[kind]
    made = [surrogate(kind, number, value) for number in (1, 2, 99)]
    assert len(set(made)) == 3
    assert value not in made
    if kind in {"email", "ip"}:
        assert all(re.fullmatch(r"[\w.+-]+@[\w.-]+|[\d.]+", one or "") for one in made)
        return

    def shape(text):
        return re.sub(r"[A-Za-z]", "A", re.sub(r"\d", "9", text))

    loose = shape if kind != "mac" else (lambda text: re.sub(r"[0-9a-f]", "x", text))
    assert {loose(one) for one in made} == {loose(value)}


@pytest.mark.parametrize("kind", ["card", "sin"])
@given(st.integers(1, 999_999))
def test_no_surrogate_passes_a_check_digit(kind, number):
    """It can be nobody's card, and no detector takes it for one."""
    made = surrogate(kind, number, VALUES[kind])
    digits = re.sub(r"\D", "", made)
    assert not luhn(digits)
    assert not any(span.kind == kind for span in patterns.scan(f"my {kind} is {made}"))


def test_phones_are_fictional_and_domains_invalid():
    """Ranges that are reserved for this."""
    assert surrogate("phone", 1, "(514) 555-0199") == "(200) 555-0100"
    assert surrogate("phone", 101, "514.555.0199") == "201.555.0100"
    assert surrogate("phone", 1, "+1 514 555 0199") == "+1 200 555 0100"
    assert surrogate("phone", 7, "+33 6 12 34 56 78") == "+1 200-555-0106"
    assert surrogate("email", 3, EMAIL) == "p3@redacted.invalid"


@pytest.mark.parametrize(
    ("kind", "number", "value"),
    [
        ("person", 1, "Jane"),
        ("sin", 10**8, SIN),
        ("phone", 80_001, PHONE),
        ("postal_code", 1, "H2X"),
        ("ip", 131_072, "10.0.0.1"),
    ],
)
def test_what_has_no_form_or_no_room_gets_none(kind, number, value):
    """Then a typed token stands there."""
    assert surrogate(kind, number, value) is None


@given(st.sampled_from(sorted(VALUES)), st.integers(1, 5_000), st.integers(1, 5_000))
def test_numbers_tell_surrogates_apart(kind, one, other):
    """Different numbers, different letters and digits."""
    made = [surrogate(kind, number, VALUES[kind]) for number in (one, other)]
    assert (key_of(made[0]) == key_of(made[1])) is (one == other)


ORIGINALS = {
    "p1@redacted.invalid": EMAIL,
    "(200) 555-0100": "(514) 555-0199",
    "+1 200 555 0101": "+1 514 555 0198",
    surrogate("card", 1, CARD): CARD,
    surrogate("sin", 1, SIN): SIN,
    "<PERSON_1>": "Jane",
}
BACK = Restorer(ORIGINALS)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Mail P1@Redacted.Invalid.", f"Mail {EMAIL}."),
        ("<p1@redacted.invalid>", f"<{EMAIL}>"),
        ("p1@redacted.invalid's", f"{EMAIL}'s"),
        ("p11@redacted.invalid", "p11@redacted.invalid"),
        ("xp1@redacted.invalid", "xp1@redacted.invalid"),
        ("call 200-555-0100!", "call (514) 555-0199!"),
        ("call (200) 555-0100.", "call (514) 555-0199."),
        ("(200.555.0100)", "((514) 555-0199)"),
        ("+1 (200) 555-0100", "+1 (514) 555-0199"),
        ("2005550101 or +1-200-555-0101", "+1 514 555 0198 or +1 514 555 0198"),
        ("12005550100", "12005550100"),
        ("20055501001", "20055501001"),
        (f"card {key_of(surrogate('card', 1, CARD))}", f"card {CARD}"),
        (surrogate("sin", 1, SIN).replace(" ", "-"), SIN),
        ("for <person_1>, p1@redacted.invalid", f"for Jane, {EMAIL}"),
    ],
)
def test_spellings_of_surrogates_are_restored(said, shown):
    """Another case, other separators, quotes and endings; not a longer number or name."""
    assert BACK.restore(said) == shown


@given(
    st.lists(st.sampled_from([*ORIGINALS, " and ", "call ", "(", ")", "+", "p1", "12", ". "]), max_size=8),
    st.lists(st.integers(0, 500), max_size=6),
)
def test_the_text_is_the_same_however_it_was_cut(pieces, cuts):
    """Held back where a surrogate may begin, in one piece or in many."""
    text = "".join(pieces)
    held = before = out = ""
    for piece in cut(text, cuts):
        held += piece
        at = BACK.open_tail(held)
        out += BACK.restore(held[:at], before=before, after=held[at:])
        before = held[at - 1] if at else before
        held = held[at:]
    assert out + BACK.restore(held, before=before) == BACK.restore(text)


@given(st.sampled_from([key for key in ORIGINALS if not key.startswith("<")]), st.data())
def test_every_beginning_is_held(made, data):
    """Cut anywhere inside, the part that has come waits for the rest."""
    at = data.draw(st.integers(1, len(made)))
    assert BACK.open_tail("text: " + made[:at]) <= 6


@given(st.text(alphabet="p1@.(+ 0259abc-", max_size=400))
def test_the_hold_is_bounded(text):
    """No text makes more wait than a surrogate with every separator."""
    assert len(text) - BACK.open_tail(text) <= 128


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ('{"n": 2005550100}', "(514) 555-0199"),
        ('{"n": "200-555-0100"}', "(514) 555-0199"),
        ('["a\\"", 2005550100]', "(514) 555-0199"),
    ],
)
def test_in_json_a_bare_number_becomes_a_string(said, value):
    """A model that writes the number without quotes still makes JSON that parses."""
    parsed = json.loads(BACK.restore(said, escaped=True, quoted=False))
    assert value in (parsed["n"] if isinstance(parsed, dict) else parsed)


def test_what_is_put_back_is_not_read_again():
    """A value that looks like another's stand-in stays as it is."""
    back = Restorer({"p1@redacted.invalid": "p2@redacted.invalid", "p2@redacted.invalid": "x@y.example"})
    assert back.restore("p1@redacted.invalid p2@redacted.invalid") == "p2@redacted.invalid x@y.example"


def test_two_in_a_row_are_never_cut_through():
    """The end of one and the beginning of the next may look like a third."""
    text = "+1 200 555 0101(200) 555-0100"
    for at in range(len(text)):
        cut_at = BACK.open_tail(text[:at])
        assert cut_at in {at, 0, 15}, (at, cut_at)
