"""Which model finds names in a language: the one that comes along, or one that a setting names.

A setting names an installed spaCy package or a folder with one (``en_core_web_lg``,
``/models/fr_core_news_lg``), a folder with a token-classification transformer
(``transformers:/models/…``) or with a GLiNER (``gliner:/models/…``). Nothing is looked for
on a network: what is not on this machine is an error at start. The libraries of the last two
are not among our requirements; whoever names such a model installs them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import spacy

from gateway.adapters.detectors.fast_ner import Entity, FastNer, NotThisModel
from gateway.adapters.detectors.prose import Recognise

# The recognizer needs no other component.
UNUSED: Final = (
    "tagger",
    "morphologizer",
    "parser",
    "senter",
    "attribute_ruler",
    "lemmatizer",
    "trainable_lemmatizer",
)

Find = tuple[int, int, str]
"""Start and end in code points, and the model's own label."""

_LABELS: Final = {
    "PER": "PER", "PERSON": "PER", "NAME": "PER", "LOC": "LOC", "LOCATION": "LOC", "GPE": "LOC",
    "ORG": "ORG", "ORGANIZATION": "ORG", "ORGANISATION": "ORG",
}  # fmt: skip
_ASKED: Final = ("person", "location", "organization")
"""What a GLiNER is asked for: it finds whatever it is told to look for."""

_SURE: Final = 0.4
_BATCH: Final = 16


class NoSuchModel(Exception):
    """A setting names a model that is not here, or that finds no names. The text says the fix."""


def pipeline(named: str, *, language: str) -> tuple[Any, Recognise]:
    """Return a spaCy pipeline for a language's tokens, and what recognizes names. Raises NoSuchModel."""
    kind, _, folder = named.partition(":")
    if kind in _READERS and folder:
        if not Path(folder).is_dir():
            raise NoSuchModel(f"`{named}`: there is no folder `{folder}` on this machine")
        nlp = spacy.blank(language)
        try:
            find = _READERS[kind](folder)
        except ImportError as missing:
            raise NoSuchModel(f"`{named}` needs the package `{missing.name}`: install it") from None
        except (OSError, ValueError, KeyError) as wrong:
            raise NoSuchModel(f"`{named}` cannot be read: {wrong}") from None
        return nlp, _by_spans(nlp, find)
    try:
        nlp = spacy.load(named, exclude=list(UNUSED))
    except (OSError, ValueError, ImportError):
        raise NoSuchModel(
            f"`{named}` is no spaCy model of this machine: install its package, or name its folder"
        ) from None
    if "ner" not in nlp.pipe_names:
        raise NoSuchModel(f"`{named}` has no entity recognizer")
    ner: Any = nlp.get_pipe("ner")
    listens = any(node.name.endswith("listener") for node in ner.model.walk())
    if "tok2vec" in nlp.pipe_names and not listens:
        nlp.remove_pipe("tok2vec")  # it served the components that were left out
    return nlp, recogniser(nlp)


def recogniser(nlp: Any) -> Recognise:  # spaCy is untyped
    """Return the pipeline's entity recognizer: decoded by us, or by spaCy where we do not know it."""
    try:
        fast = FastNer(nlp)
    except NotThisModel:
        return lambda texts: [
            [Entity(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents] for doc in nlp.pipe(texts)
        ]
    return lambda texts: fast.entities(fast.words(texts))


def _by_spans(nlp: Any, find: Callable[[Sequence[str]], list[list[Find]]]) -> Recognise:
    """Return a recognizer whose finds are whole words: a part of a word is the word."""

    def recognise(texts: Sequence[str]) -> list[list[Entity]]:
        docs = [nlp.make_doc(text) for text in texts]
        return [list(_laid(doc, finds)) for doc, finds in zip(docs, find(list(texts)), strict=True)]

    return recognise


def _laid(doc: Any, finds: list[Find]) -> Iterator[Entity]:
    for start, end, label in finds:
        known = _LABELS.get(label.upper().removeprefix("B-").removeprefix("I-"))
        span = doc.char_span(start, end, alignment_mode="expand") if known and start < end else None
        if known and span is not None:
            yield Entity(span.start_char, span.end_char, known)


def _transformers(folder: str) -> Callable[[Sequence[str]], list[list[Find]]]:
    """Return a reader by a token-classification model of Hugging Face's ``transformers``."""
    transformers: Any = importlib.import_module("transformers")  # by a setting only: no requirement of ours
    run: Any = transformers.pipeline(
        "token-classification", model=folder, tokenizer=folder, aggregation_strategy="simple"
    )

    def find(texts: Sequence[str]) -> list[list[Find]]:
        answers = run(list(texts), batch_size=_BATCH) if texts else []
        return [
            [
                (int(hit["start"]), int(hit["end"]), str(hit["entity_group"]))
                for hit in hits
                if hit["score"] >= _SURE
            ]
            for hits in answers
        ]

    return find


def _gliner(folder: str) -> Callable[[Sequence[str]], list[list[Find]]]:
    """Return a reader by a GLiNER, asked for persons, locations and organizations."""
    gliner: Any = importlib.import_module("gliner")  # by a setting only: no requirement of ours
    model: Any = gliner.GLiNER.from_pretrained(folder, local_files_only=True)

    def find(texts: Sequence[str]) -> list[list[Find]]:
        answers = (
            model.inference(list(texts), list(_ASKED), threshold=_SURE, batch_size=_BATCH) if texts else []
        )
        return [[(int(hit["start"]), int(hit["end"]), str(hit["label"])) for hit in hits] for hits in answers]

    return find


_READERS: Final[dict[str, Callable[[str], Callable[[Sequence[str]], list[list[Find]]]]]] = {
    "transformers": _transformers,
    "gliner": _gliner,
}
