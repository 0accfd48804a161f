"""Tokens: which spellings are one, and how little of a text must wait for its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import tokens

ORIGINALS = {"<PERSON_1>": "Jane", "<HEALTH_NUMBER_12>": "1234"}


@pytest.mark.parametrize(
    "spelling",
    [
        "<PERSON_1>",
        "<person_1>",
        "<Person_1>",
        "&lt;PERSON_1&gt;",
        "\\u003cPERSON_1\\u003e",
        "<PERSON\\_1>",
        "%3CPERSON_1%3E",
        "<person-1>",
        "<Person 1>",
        "<PERSONS_1>",
        "<PERSONNE_1>",
        "<personnes 1>",
        "＜PERSON_1＞",
        "‹PERSON_1›",
    ],
)
def test_echoed_spellings_are_restored(spelling):
    """Another case, plural, French, other brackets; HTML, JSON, URL and Markdown escapes."""
    assert tokens.restore(f"a {spelling}s b", ORIGINALS) == "a Janes b"


@pytest.mark.parametrize(
    "text",
    [
        "PERSON_1",
        "[PERSON_1]",
        "<PERSON_2>",
        "<PERSON_01>",
        "<PERSON>",
        "<PERSON_1",
        "< PERSON_1 >",
        "<PERSON_11>",
        "<person class=1>",
        "<h1>",
    ],
)
def test_other_text_is_left(text):
    """A bare name, an unknown number and near misses are ordinary text."""
    assert tokens.restore(text, ORIGINALS) == text


@pytest.mark.parametrize(
    ("spelling", "shown"),
    [
        ("<PERSON_1's>", "Jane's"),
        ("<PERSON_1s>", "Janes"),
        ("“<PERSON_1>”", "“Jane”"),
        ("<PERSON_1>ne", "Janene"),
    ],
)
def test_endings_and_quotes_stay(spelling, shown):
    """A model that inflects inside or outside the brackets loses neither the name nor its ending."""
    assert tokens.restore(spelling, ORIGINALS) == shown


def test_in_a_url_the_original_is_encoded():
    """What was percent-encoded stays so, and the URL still parses."""
    assert (
        tokens.restore("?q=%3CPERSON_1%3E", {"<PERSON_1>": "Zoé O'N & co"})
        == "?q=Zo%C3%A9%20O%27N%20%26%20co"
    )


def test_hashes_are_keyed_and_see_through_spelling():
    """The same value hashes alike however it is spelt; another kind, value or key does not."""
    one = tokens.hashed("phone", "(514) 555-0199", b"k")
    assert one == tokens.hashed("phone", "514 555 0199", b"k")
    others = [("phone", "514 555 0198", b"k"), ("sin", "514 555 0199", b"k"), ("phone", "514 555 0199", b"l")]
    assert len({one, *(tokens.hashed(*other) for other in others)}) == 4
    assert one.startswith("[PHONE:")
    assert "555" not in one.replace("0199", "")[:8]


def test_a_token_round_trips():
    """What is written is recognised, for kinds of several words too."""
    match = tokens.TOKEN.fullmatch(tokens.token("health_number", 12))
    assert match is not None
    assert tokens.canonical(match) == "<HEALTH_NUMBER_12>"
    assert tokens.mask("sin") == "[SIN]"


@given(
    st.sampled_from(
        [
            "<PERSON_1>",
            "&lt;HEALTH_NUMBER_12&gt;",
            "\\u003cperson_1\\u003E",
            "<HEALTH\\_NUMBER\\_12>",
            "%3CPERSON_1%3E",
            "<Health-Numbers 12's>",
            "＜NUMÉRO_1＞",
        ]
    ),
    st.data(),
)
def test_every_beginning_of_a_token_is_held(spelling, data):
    """Cut anywhere inside a spelling, the part that has come waits for the rest."""
    cut = data.draw(st.integers(1, len(spelling) - 1))
    assert tokens.open_tail("text " + spelling[:cut]) == 5


@given(st.text(max_size=300))
def test_the_hold_is_bounded(text):
    """No text makes more wait than the longest spelling."""
    assert len(text) - tokens.open_tail(text) <= tokens.LONGEST


@pytest.mark.parametrize("text", ["a < b", "x <- y", "a && b", "<div>", "plain", "AT&T ", "1 <2"])
def test_ordinary_text_flows(text):
    """Comparisons, tags and ampersands with something after them are not held."""
    assert tokens.open_tail(text) == len(text)
