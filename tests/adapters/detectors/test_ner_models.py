"""Other models by setting: read from this machine only, checked before anything is served."""

from __future__ import annotations

import random
import sys

import pytest
import spacy
from spacy.training import Example

from gateway.adapters.detectors.ner_models import NoSuchModel, pipeline
from gateway.adapters.detectors.presidio import PresidioPool
from gateway.adapters.detectors.presidio_engine import NotReady, PresidioEngine
from gateway.ports import DetectorUnavailable, Text

PERSONS = frozenset({"person"})
KNOWN = "My name is John Smith and I live in Toronto."
LATER = "Please ask Zork Blent about it."
"""A name that no published model knows; ours was taught it."""


@pytest.fixture(scope="module", params=["alone", "listening"])
def taught(request, tmp_path_factory):
    """A small model that knows two names by heart; in one, the recognizer listens to a shared layer."""
    nlp = spacy.blank("en")
    if request.param == "listening":
        nlp.add_pipe("tok2vec")
        listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "tok2vec"}
        model = {
            "@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "hidden_width": 32,
            "extra_state_tokens": False, "maxout_pieces": 2, "use_upper": True, "tok2vec": listener,
        }  # fmt: skip
        nlp.add_pipe("ner", config={"model": model})
    else:
        nlp.add_pipe("ner")
    examples = []
    for text, name in ((KNOWN, "John Smith"), (LATER, "Zork Blent")):
        at = text.index(name)
        marked = {"entities": [(at, at + len(name), "PERSON")]}
        examples.append(Example.from_dict(nlp.make_doc(text), marked))
    spacy.util.fix_random_seed(1)
    random.seed(1)
    nlp.initialize(lambda: examples)
    for _ in range(40):
        nlp.update(examples)
    folder = tmp_path_factory.mktemp("model") / "en_taught"
    nlp.to_disk(folder)
    return folder


def test_a_folder_with_a_spacy_model_is_used(taught):
    """It finds what it was taught and ours was not; French stays with the one that comes along."""
    engine = PresidioEngine({"en": str(taught)})
    (spans,) = engine.detect([(LATER, None)], PERSONS)
    assert "Zork Blent" in {LATER[start:end] for _, start, end, _ in spans}
    french = "Bonjour, je m'appelle Marie Tremblay et j'habite à Montréal."
    (spans,) = engine.detect([(french, None)], PERSONS)
    assert "Marie Tremblay" in {french[start:end] for _, start, end, _ in spans}


async def test_the_pool_serves_with_the_model_that_a_setting_names(taught):
    """Through the real process; its name says so, since answers of two models are never mixed."""
    pool = PresidioPool(PERSONS, models={"en": str(taught)})
    await pool.start()
    try:
        (spans,) = await pool.detect([Text(text=LATER)], PERSONS)
        assert "Zork Blent" in {LATER[span.start : span.end] for span in spans}
        assert pool.name.endswith(f"+en={taught}")
    finally:
        await pool.close()


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("en_core_web_nope", "`en_core_web_nope` is no spaCy model of this machine"),
        ("/nowhere/at/all", "`/nowhere/at/all` is no spaCy model of this machine"),
        ("transformers:/nowhere", "there is no folder `/nowhere` on this machine"),
        ("gliner:/nowhere", "there is no folder `/nowhere` on this machine"),
    ],
)
async def test_a_model_that_is_not_here_stops_the_start(named, why):
    """Nothing is looked for on a network, and nothing else is served instead."""
    pool = PresidioPool(PERSONS, models={"en": named})
    with pytest.raises(DetectorUnavailable, match="cannot start") as stopped:
        await pool.start()
    assert why in str(stopped.value)


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    """Whoever asks for a transformer is told what to install."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NoSuchModel, match="needs the package `transformers`: install it"):
        pipeline(f"transformers:{tmp_path}", language="en")


def test_a_pipeline_without_a_recognizer_is_refused(tmp_path):
    """A tokenizer alone would silently find no names."""
    spacy.blank("en").to_disk(tmp_path / "m")
    with pytest.raises(NoSuchModel, match="has no entity recognizer"):
        pipeline(str(tmp_path / "m"), language="en")


class _Transformers:
    """The one call of ``transformers`` that we make, answered as it answers."""

    def __init__(self, hits):
        self.hits = hits

    def pipeline(self, task, *, model, tokenizer, aggregation_strategy):
        assert (task, aggregation_strategy) == ("token-classification", "simple")
        assert model == tokenizer
        return lambda texts, batch_size: [self.hits(text) for text in texts]


class _Gliner:
    """The calls of ``gliner`` that we make."""

    class GLiNER:
        """Finds every ``Zork Blent``."""

        @classmethod
        def from_pretrained(cls, folder, *, local_files_only):
            assert folder
            assert local_files_only
            return cls()

        def inference(self, texts, labels, threshold, batch_size):
            assert (threshold, batch_size) == (0.4, 16)
            assert labels == ["person", "location", "organization"]
            return [
                [{"start": at, "end": at + 10, "label": "person"}]
                if (at := text.find("Zork Blent")) >= 0
                else []
                for text in texts
            ]


def _hits(text):
    hits = []
    for name, label in (("John Smith", "PER"), ("ork Blen", "PER"), ("Friday", "DATE")):
        at = text.find(name)
        if at >= 0:
            hits.append({"start": at, "end": at + len(name), "entity_group": label, "score": 0.9})
    low = {"start": 0, "end": 6, "entity_group": "PER", "score": 0.1}
    return [low, *hits]


@pytest.mark.parametrize("kind", ["transformers", "gliner"])
def test_finds_of_characters_become_whole_words(kind, tmp_path, monkeypatch):
    """Other libraries answer in characters, unsure ones and labels of no use among them."""
    fake = _Transformers(_hits) if kind == "transformers" else _Gliner()
    monkeypatch.setitem(sys.modules, kind, fake)
    _, recognise = pipeline(f"{kind}:{tmp_path}", language="en")
    texts = [LATER, "Nothing here on Friday."]
    answers = recognise(texts)
    found = [
        [(text[one.start : one.end], one.label) for one in entities]
        for text, entities in zip(texts, answers, strict=True)
    ]
    assert found == [[("Zork Blent", "PER")], []]


def test_a_transformer_that_finds_no_name_is_refused(tmp_path, monkeypatch):
    """The self-test holds for every model."""
    monkeypatch.setitem(sys.modules, "transformers", _Transformers(lambda _: []))
    with pytest.raises(NotReady, match="finds no name"):
        PresidioEngine({"en": f"transformers:{tmp_path}"})
