"""What proves a match: boundaries, and context words in two languages."""

from __future__ import annotations

import re

import pytest

from gateway.core import pattern_checks
from gateway.core.pattern_checks import cued, near

NUMBER = re.compile(r"\d{9}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sin", "SIN: 123456789"),
        ("sin", "son NAS 123456789"),
        ("sin", "123456789 (social insurance number)"),
        ("health", "carte santé 123456789"),
        ("health", "carte d'assurance maladie 123456789"),
        ("phone", "téléphone 123456789"),
        ("licence", "permis de conduire 123456789"),
        ("birth", "née le 123456789"),
        ("account", "compte 123456789"),
        ("business", "GST 123456789"),
        ("postal", "code postal 123456789"),
        ("card", "crédit 123456789"),
        ("passport", "Passeport 123456789"),
        ("ssn", "Social Security 123456789"),
    ],
)
def test_context_words(name, text):
    """English and French words count on either side; the same text without them does not."""
    match = NUMBER.search(text)
    assert near(name, match, text, "")
    bare = "x" * 8 + " 123456789 " + "x" * 8
    assert not near(name, NUMBER.search(bare), bare, "")
    assert near(name, NUMBER.search(bare), bare, text.lower().replace("123456789", ""))


@pytest.mark.parametrize("text", ["using 123456789", "basin 123456789", "call the SINger 123456789"])
def test_a_part_of_a_word_is_no_context(text):
    """`lic` in `public` is how pattern detectors go wrong."""
    assert not near("sin", NUMBER.search(text), text, "")


def test_words_too_far_away_do_not_count():
    """Context reaches sixty characters back, not through the whole prompt."""
    far = "SIN " + "x " * 40 + "123456789"
    assert not near("sin", NUMBER.search(far), far, "")


def test_cues_never_hide_a_word():
    """The cheap test is necessary for the exact one: no listed word lacks a cue."""
    words = {
        "sin": ["sin", "SINs", "social insurance", "n.a.s", "nas", "na.s", "assurance sociale"],
        "health": [
            "ohip",
            "ramq",
            "PHN",
            "hcn",
            "uli",
            "mcp",
            "medicare",
            "health card",
            "carte soleil",
            "nam",
            "pharmacare",
        ],
        "birth": [
            "born",
            "d.o.b",
            "do.b",
            "dob",
            "né",
            "née le",
            "ne le",
            "nee le",
            "naissance",
            "birthday",
            "ddn",
        ],
        "account": [
            "a/c",
            "acct",
            "compte",
            "transit",
            "dépôt direct",
            "depot direct",
            "void cheque",
            "banque",
        ],
        "card": ["pan", "cvv", "debit", "débit", "crédit", "amex"],
        "postal": [
            "zip",
            "adresse",
            "on",
            "qc",
            "bc",
            "ab",
            "mb",
            "sk",
            "ns",
            "nb",
            "nl",
            "pe",
            "canada",
            "postcode",
        ],
        "phone": [
            "tel",
            "tél",
            "t\u00e9l\u00e9copieur",
            "telecopieur",
            "appelez",
            "joindre",
            "reach",
            "whatsapp",
        ],
    }
    for name, listed in words.items():
        for word in listed:
            assert pattern_checks._CONTEXT[name].search(f" {word} "), word
            assert cued(name, word.lower(), ""), word
