"""What the models are given to read, and what becomes of their answers."""

from __future__ import annotations

import pytest

from gateway.adapters.detectors.fast_ner import Entity
from gateway.adapters.detectors.prose import PIECE, Prose, in_title_case, language_of, pieces
from gateway.core.walk import FIXED_CONTEXT

NAMES = frozenset({"person", "location", "organisation"})


class Reader:
    """A model that knows some words, and remembers what it was given to read."""

    def __init__(self, **words):
        self.words, self.read = words, []

    def __call__(self, texts):
        self.read += texts
        answers = []
        for text in texts:
            entities, at = [], 0
            for word in text.split(" "):
                if (label := self.words.get(word.strip(".,\n"))) is not None:
                    entities.append(Entity(at, at + len(word), label))
                at += len(word) + 1
            answers.append(entities)
        return answers


def prose(**words):
    english, french = Reader(**words), Reader(**words)
    return Prose({"en": english, "fr": french}), english, french


def values(found, text):
    return {(kind, text[start:end]) for kind, start, end, _ in found}


def test_all_texts_of_a_request_are_read_together():
    """Each by the model of its language, and finds go back to their own text."""
    reader, english, french = prose(Jane="PERSON", Luc="PER")
    texts = ["Please ask Jane about it.", "Demandez à Luc pour le dossier.", "and Jane is the one"]
    found = reader.detect([(text, None) for text in texts], NAMES)
    assert [values(hits, text) for hits, text in zip(found, texts, strict=True)] == [
        {("person", "Jane")},
        {("person", "Luc")},
        {("person", "Jane")},
    ]
    assert (len(english.read), len(french.read)) == (2, 1)


def test_a_key_is_trusted_where_a_model_is_not():
    """A name under `customer_name` is one, without asking; a place under `ville` too."""
    reader, english, _ = prose()
    found = reader.detect([("Nguyet Vo", "customer_name"), ("Laval", "ville")], NAMES)
    assert [hit[0] for hits in found for hit in hits] == ["person", "location"]
    assert english.read == []


def test_a_value_is_read_in_a_sentence():
    """Positions are the value's own; words of the sentence are never reported."""
    reader, english, _ = prose(Jane="PERSON", remark="PERSON")
    (found,) = reader.detect([("met Jane there", "remark")], NAMES)
    assert english.read == ["The remark is met Jane there."]
    assert found == [("person", 4, 8, 85)]


def test_a_table_is_read_cell_by_cell():
    """Cells are found under their headings; numbers and dull words are not read at all."""
    reader, english, _ = prose()
    text = "id,name,city\n1,Nguyet Vo,Laval\n2,bola hall,Truro"
    (found,) = reader.detect([(text, None)], NAMES)
    assert values(found, text) == {
        ("person", "Nguyet Vo"),
        ("person", "bola hall"),
        ("location", "Laval"),
        ("location", "Truro"),
    }
    assert english.read == []


def test_what_is_no_name():
    """Labels, addresses of mail, digits and markup are dropped; a find is trimmed and cut at lines."""
    reader, _, _ = prose(
        **{"SIN": "ORG", "a@b.ca": "PERSON", "R2D2": "PERSON", "<b>": "ORG", "(Jane)": "PERSON"}
    )
    text = "my SIN a@b.ca and R2D2 or <b> says (Jane) so"
    assert values(reader.detect([(text, None)], NAMES)[0], text) == {("person", "Jane")}


def test_nobody_is_lived_in():
    """`in Hamilton` is a place, whatever the model thinks."""
    reader, _, _ = prose(Hamilton="PERSON")
    text = "She lives in Hamilton now, says Hamilton."
    assert [hit[0] for hit in reader.detect([(text, None)], NAMES)[0]] == ["location", "person"]


def test_ids_and_kinds_that_were_not_asked_for():
    """Fixed leaves are not read, and only wanted kinds are told."""
    reader, english, _ = prose(Jane="PERSON", Laval="GPE")
    assert reader.detect([("Jane", FIXED_CONTEXT), ("", None)], NAMES) == [[], []]
    assert english.read == []
    (found,) = reader.detect([("and Jane of Laval", None)], frozenset({"location"}))
    assert [hit[0] for hit in found] == ["location"]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("my name is jane doe", "my name is Jane Doe"),
        ("SIGNED BY JANE DOE FOR THE BANK", "Signed by Jane Doe for the Bank"),
        ("My name is Jane Doe", None),
        ("hi", None),
        ("straße in köln am rhein", "Straße in Köln Am Rhein"),
    ],
)
def test_title_case(text, made):
    """Texts without capitals, or of capitals only, are read once more as a headline of the same length."""
    assert in_title_case(text) == made


def test_a_find_in_the_headline_stands_in_the_text():
    """The second reading's finds have the text's own positions."""
    reader, _, _ = prose(Jane="PERSON")
    text = "please ask jane about it today"
    assert values(reader.detect([(text, None)], NAMES)[0], text) == {("person", "jane")}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Bonjour, pouvez-vous m'aider avec le dossier de la cliente", "fr"),
        ("Hello, can you help me with the file of my client", "en"),
        ("François Lévêque", "fr"),
        ("Jane Doe", "en"),
        ("", "en"),
    ],
)
def test_language(text, language):
    """Common words decide; accents break a tie."""
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["short", "word " * 10_000, "x" * 30_000, ("a" * 7_999 + " ") * 3])
def test_pieces_cover_the_text(text):
    """Pieces leave no gap, stay bounded and overlap where there is a space to cut at."""
    end = 0
    for start, piece in pieces(text):
        assert start <= end
        assert text[start : start + len(piece)] == piece
        assert len(piece) <= PIECE
        end = start + len(piece)
    assert end == len(text)
