"""No letter of a name is lost on paper."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.writers.lettering import escaped, load, spelled

NAMES = (
    "Société Générale ŒUVRE çà ÿ", "Straße Übergröße „Köln“", "Zażółć gęślą jaźń ŁÓDŹ", "Ελλάδα Αθήνα ΰ",
    "Příliš žluťoučký kůň", "Łukasz Żółć", "Český Krumlov", "Київ Москва", "İstanbul ğış",
    "Åse Ødegård – 1 €",
)  # fmt: skip


def test_the_fonts_cover_the_names_of_europe():
    """Nothing is spelled out that both fonts have."""
    for name in NAMES:
        assert spelled(name) == name


def test_other_letters_are_shown_by_number():
    """Visible, and nothing is dropped."""
    assert spelled("日A") == "‹U+65E5›A"


@given(st.text(max_size=20))
def test_every_letter_is_there_or_spelled(text):
    """As many letters or more, all of them in the fonts."""
    assert all(ord(letter) in load() for letter in spelled(text))
    assert len(spelled(text)) >= len(text)


def test_markup_is_text():
    """A paragraph would read it."""
    assert escaped("<b>&") == "&lt;b&gt;&amp;"
