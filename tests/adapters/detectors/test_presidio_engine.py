"""Presidio itself, with the real models: names in two languages, in prose and in values."""

from __future__ import annotations

import pytest

from gateway.adapters.detectors import presidio_engine
from gateway.adapters.detectors.presidio_engine import (
    KINDS,
    NotReady,
    PresidioEngine,
)
from gateway.adapters.detectors.prose import PIECE
from gateway.core.walk import FIXED_CONTEXT

PROSE = frozenset({"person", "location", "organisation"})


@pytest.fixture(scope="module")
def engine():
    return PresidioEngine()


def values(engine, text, context=None, kinds=PROSE):
    return {(kind, text[start:end]) for kind, start, end, _ in engine.detect([(text, context)], kinds)[0]}


def test_names_in_prose(engine):
    """People, places and organisations, each by the model of its language."""
    assert {("person", "Jane Doe"), ("location", "Ottawa")} <= values(
        engine, "Please ask Jane Doe from Ottawa about it."
    )
    assert {("person", "Jean Tremblay"), ("location", "Québec")} <= values(
        engine, "Je m'appelle Jean Tremblay et j'habite à Québec."
    )


def test_names_as_values(engine):
    """A value without prose is read under its key, and positions are the value's own."""
    assert values(engine, "Priya Raman", "customer_name") == {("person", "Priya Raman")}
    assert values(engine, "Toronto", "city") == {("location", "Toronto")}


def test_a_name_at_the_end_of_a_long_text(engine):
    """Long texts are cut into pieces, and positions are moved back."""
    text = "The team will answer the questions before Friday. " * 400 + "Please ask Jane Doe from Ottawa."
    assert len(text) > 2 * PIECE
    assert ("person", "Jane Doe") in values(engine, text)


def test_identifiers_and_ids(engine):
    """Patterns run through Presidio too; an id is never a name, and e-mail needs no network."""
    mail = "jane.doe" + "@" + "example.internal"
    assert ("email", mail) in values(engine, f"to {mail} now", kinds=KINDS)
    assert ("sin", "130 692 544") in values(engine, "my SIN is 130 692 544", kinds=KINDS)
    assert values(engine, "Jane Doe", FIXED_CONTEXT) == set()


def test_a_model_that_finds_nothing_is_refused(engine):
    """The self-test is what stands between a registry without a model and silence."""
    broken = object.__new__(PresidioEngine)
    broken.detect = lambda texts, kinds: [[] for _ in texts]
    with pytest.raises(NotReady, match="finds no name"):
        broken._self_test()


def test_the_vocabulary_is_bounded(engine, monkeypatch):
    """A process that meets new words for weeks forgets them again, and goes on finding names."""
    monkeypatch.setattr(presidio_engine, "NEW_WORDS", 300)
    before = len(engine._nlp["en"].vocab.strings)
    for part in range(5):
        made = " ".join(f"zq{part}x{number}" for number in range(300))
        assert ("person", "Jane Doe") in values(engine, f"Please ask Jane Doe. {made}")
    assert len(engine._nlp["en"].vocab.strings) < before + 5 * 300
