"""National numbers of EU countries: found beside their word, proved by their country's own check."""

from __future__ import annotations

import importlib
import re

import pytest

from gateway.core.national import FORMS, country_of
from gateway.core.patterns import scan

KIND = frozenset({"national_id"})

# Examples from python-stdnum's own documentation and made-up numbers that pass the same checks.
EXAMPLES = {
    "at": ("SV-Nummer", "1237 010180"),
    "be": ("numéro national", "85.07.30-033.28"),
    "bg": ("EGN", "7523169263"),
    "cz": ("rodné číslo", "710319/2745"),
    "de": ("Steuer-ID", "36 574 261 809"),
    "dk": ("CPR", "211062-5629"),
    "ee": ("isikukood", "36805280109"),
    "fi": ("hetu", "131052-308T"),
    "fr": ("numéro fiscal", "30 23 217 600 053"),
    "gr": ("AMKA", "01013099997"),
    "hr": ("OIB", "33392005961"),
    "ie": ("PPS", "6433435FW"),
    "lv": ("personas kods", "161175-19997"),
    "pt": ("cartão de cidadão", "00000000 0 ZZ4"),
    "ro": ("CNP", "1630615123457"),
    "se": ("personnummer", "880320-0016"),
    "si": ("EMŠO", "0101006500006"),
}


def finds(text):
    return [text[span.start : span.end] for span in scan(text, KIND)]


@pytest.mark.parametrize("country", EXAMPLES)
def test_a_number_beside_its_word_is_found_whole(country):
    """In a sentence, under a key, and with another number behind it."""
    word, number = EXAMPLES[country]
    assert country_of(number) == country
    assert finds(f"My {word} is {number}, thanks.") == [number]
    assert finds(f"{word}: {number}\nOrder 2024") == [number]
    found = scan(number, KIND, context=word)
    assert [(span.start, span.end) for span in found] == [(0, len(number))]


@pytest.mark.parametrize("country", EXAMPLES)
def test_without_a_word_it_is_only_a_number(country):
    """One number in ten or a hundred passes some country's check: an order number stays as it is."""
    _, number = EXAMPLES[country]
    assert finds(f"Ticket {number} is open.") == []


def test_a_wrong_check_digit_is_no_number():
    """Neither is a date that cannot be."""
    for word, number in (
        ("EGN", "7523169264"),
        ("OIB", "33392005964"),
        ("hetu", "131052-308U"),
        ("CPR", "311162-5629"),
    ):
        assert finds(f"{word} {number}") == [], number


def test_every_form_has_its_module_and_an_end():
    """A form names a number that python-stdnum knows, and cannot run on over a text."""
    for name, form in FORMS:
        assert callable(importlib.import_module(f"stdnum.{name}").is_valid)
        assert not re.search(r"[^\\[][*+](?![^\[]*\])", form), form


def test_long_runs_of_digits_cost_little():
    """Nothing backtracks: a page of digits beside the word is looked at once."""
    assert finds("national id " + "12 34 56 " * 5_000) == []
