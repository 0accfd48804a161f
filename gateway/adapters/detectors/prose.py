"""Names, places and organisations: which part of a text is read by which model, and how.

A request's texts are cut into what a model reads well: prose in pieces, and values under
their keys as a short sentence ("The customer name is …"), since models find few names
without one. The language is chosen per text. All parts of a request go through the
model together, because a product of many rows costs little more than that of one.
A key that asks for a name is trusted where the model is not (:mod:`gateway.core.keyed`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.adapters.detectors.fast_ner import Entity
from gateway.core import keyed
from gateway.core.structure import Segment, segments
from gateway.core.walk import FIXED_CONTEXT

PIECE = 8_000
_OVERLAP = 200
_BATCH = 40_000
"""Characters that go through a model together; bounds the memory of one step (about 60 MB)."""

_GAP = 24
"""Text between values is read as prose from this many characters on."""

KIND_OF = {
    "PERSON": "person",
    "PER": "person",
    "GPE": "location",
    "LOC": "location",
    "FAC": "location",
    "ORG": "organisation",
}
SCORE = 85

Hit = tuple[str, int, int, int]
"""Kind, start, end in code points, score in percent."""

Recognise = Callable[[Sequence[str]], list[list[Entity]]]
"""Texts → each text's entities."""

_FRENCH = frozenset(
    """le la les des du une est et en pour que qui dans sur avec ce cette au aux je vous nous il elle
    pas ne mon ma mes votre son sa ses leur j'ai suis sont été par plus ou où bonjour merci monsieur
    madame numéro appelle habite""".split()  # noqa: SIM905 (a paragraph of words)
)
_ENGLISH = frozenset(
    """the of and to in is that for it with as was on are be this have from at by not you i my your
    we he she they his her their or an will can please hello thanks mr mrs number name lives""".split()  # noqa: SIM905
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ACCENT = re.compile("[àâçéèêëîïôùûœÀÂÇÉÈÊËÎÏÔÙÛŒ]")

# What recognizers take for names in short technical texts.
_NO_NAME = frozenset(
    """sin nas ohip ramq phn dob ssn iban bic gst hst id ip url json xml csv sql api http https email
    e-mail courriel phone tel fax passport visa mastercard amex null true false phin hcn uci pr bn
    cra arc tps tvq nhs dni nir itin btc eth ddn nip pin otp mfa pdf jwt ssh tls
    bonjour salut merci hello hi hey regards cordialement subject objet from to cc sent dr mr mrs ms mme mlle
    livraison carte compte bancaire numéro numero permis conduire vit born téléphone telephone dossier
    facture adresse address naissance date code postal mot passe account card number password token key
    patient client customer employee employé employée born née né order commande ticket""".split()  # noqa: SIM905
)


_IN = re.compile(
    r"(?:^|\W)(?:in|near|(?:habite|vit|demeure|réside|travaille|née?|située?) à)\s$", re.IGNORECASE
)


class Part(NamedTuple):
    """What one run of a model reads: ``lead`` + text + ``tail``, standing at ``at`` of its text."""

    owner: int
    text: str
    language: str
    lead: int = 0
    at: int = 0
    segment: Segment | None = None
    recased: bool = False


class Prose:
    """Finds persons, places and organisations with one recognizer per language."""

    def __init__(self, recognisers: Mapping[str, Recognise]) -> None:
        """``recognisers`` holds ``en`` and ``fr``."""
        self._recognisers = recognisers

    def detect(self, texts: Sequence[tuple[str, str | None]], kinds: frozenset[str]) -> list[list[Hit]]:
        """Return the finds of each text; a text comes with the key that it stands under."""
        found: list[list[Hit]] = [[] for _ in texts]
        parts: list[Part] = []
        for owner, (text, key) in enumerate(texts):
            if key == FIXED_CONTEXT or not text:
                continue
            parts += _parts(owner, text, key, found[owner])
        for language, recognise in self._recognisers.items():
            mine = [part for part in parts if part.language == language]
            for batch in _batches(mine):
                for part, entities in zip(batch, recognise([part.text for part in batch]), strict=True):
                    _take(part, entities, texts[part.owner][0], found[part.owner])
        return [
            sorted({hit for hit in hits if hit[0] in kinds}, key=lambda hit: (hit[1], -hit[2]))
            for hits in found
        ]


def _parts(owner: int, text: str, key: str | None, sure: list[Hit]) -> Iterator[Part]:
    """Yield what models are to read of one text; what keys alone decide goes to ``sure``."""
    language = language_of(text)
    if key is not None and "\n" not in text and len(text) <= 200:
        yield from _value(owner, key, text, language=language, sure=sure)
        return
    inner = [segment for segment in segments(text) if segment.text.strip()]
    if not inner:
        for at, piece in pieces(text):
            yield from _prose(owner, piece, language, at)
        return
    end = 0
    for segment in inner:
        if segment.start < end:
            continue
        if segment.start - end >= _GAP:
            for at, piece in pieces(text[end : segment.start]):
                yield from _prose(owner, piece, language, end + at)
        end = segment.end
        if len(segment.text) <= 200:
            yield from _value(
                owner, segment.key, segment.text,
                language=language_of(segment.text), sure=sure, segment=segment,
            )  # fmt: skip
        else:
            yield Part(owner, segment.text, language_of(segment.text), segment=segment)
    if len(text) - end >= _GAP:
        for at, piece in pieces(text[end:]):
            yield from _prose(owner, piece, language, end + at)


def _prose(owner: int, piece: str, language: str, at: int) -> Iterator[Part]:
    if not any(map(str.isalpha, piece)):
        return
    yield Part(owner, piece, language, at=at)
    if (recased := in_title_case(piece)) is not None:
        yield Part(owner, recased, language, at=at, recased=True)


def _value(
    owner: int, key: str, text: str, *, language: str, sure: list[Hit], segment: Segment | None = None
) -> Iterator[Part]:
    """Read a value under its key: by the key alone, or in a sentence."""
    role = keyed.role(key)
    told = keyed.value(key, text)
    if told is not None and told.kind in {"person", "location"}:
        start, end = segment.back(told.start, told.end) if segment else (told.start, told.end)
        sure.append((told.kind, start, end, told.score))
        return
    # A number, a date or a word in small letters is nobody's name.
    if role == "other" or not any(char.isalpha() for char in text) or (" " not in text and text.islower()):
        return
    words = re.sub(r"[_\-.]+|(?<=[a-z])(?=[A-Z])", " ", key)[:64].lower()
    lead = f"Le {words} est " if language == "fr" else f"The {words} is "
    yield Part(owner, f"{lead}{text}.", language, lead=len(lead), segment=segment)


def _take(part: Part, entities: Sequence[Entity], whole: str, found: list[Hit]) -> None:
    """Turn a part's entities into finds of its text."""
    size = len(part.segment.text) if part.segment else len(whole)
    for entity in entities:
        kind = KIND_OF.get(entity.label)
        if kind is None or (part.recased and kind == "organisation"):
            continue
        start, end = entity.start - part.lead + part.at, entity.end - part.lead + part.at
        start, end = max(start, 0), min(end, size)
        if end <= start:
            continue
        value = part.segment.text if part.segment else whole
        for low, high in _trimmed(value, start, end, kind):
            here = kind
            if kind == "person" and _IN.search(value, max(0, low - 14), low) is not None:
                here = "location"  # "in Hamilton", "vit à Laval": people are seldom lived in
            low, high = part.segment.back(low, high) if part.segment else (low, high)  # noqa: PLW2901 (in the whole)
            found.append((here, low, high, SCORE))


def _trimmed(text: str, start: int, end: int, kind: str) -> Iterator[tuple[int, int]]:
    """Cut what a recognizer takes along, and drop what cannot be a name. Lines are apart."""
    for line in re.finditer(r"[^\r\n]+", text[start:end]):
        low, high = start + line.start(), start + line.end()
        while low < high and not text[low].isalnum():
            low += 1
        while high > low and not text[high - 1].isalnum():
            high -= 1
        value = text[low:high]
        if sum(char.isalpha() for char in value) < 2 or "@" in value:
            continue
        if all(word in _NO_NAME for word in value.lower().split()):
            continue
        if "<" in value or "{" in value or "_" in value or "=" in value:
            continue
        if kind == "person" and any(char.isdigit() for char in value):
            continue
        yield low, high


def in_title_case(text: str) -> str | None:
    """Return a text without capitals (or with nothing else) as a headline, same length; else None.

    Models know names by their capitals. Short and common words stay small, so that the
    model sees a sentence.
    """
    letters = sum(map(str.isalpha, text))
    if letters < 8:
        return None
    capitals = sum(map(str.isupper, text))
    if 0.02 * letters < capitals < 0.7 * letters:
        return None
    made = _WORD.sub(lambda m: m.group().lower() if _small(m.group()) else m.group().capitalize(), text)
    return made if len(made) == len(text) and made != text else None


def _small(word: str) -> bool:
    return len(word) < 2 or word.lower() in _FRENCH or word.lower() in _ENGLISH


def language_of(text: str) -> str:
    """Tell French from English by their commonest words; English if in doubt."""
    words = _WORD.findall(text[:2_000].lower())
    french = sum(word in _FRENCH for word in words)
    english = sum(word in _ENGLISH for word in words)
    if french == english:
        return "fr" if _ACCENT.search(text, 0, 2_000) else "en"
    return "fr" if french > english else "en"


def pieces(text: str) -> Sequence[tuple[int, str]]:
    """Cut a long text at white space into overlapping pieces, with their offsets."""
    if len(text) <= PIECE:
        return [(0, text)]
    cut: list[tuple[int, str]] = []
    at = 0
    while at < len(text):
        end = min(at + PIECE, len(text))
        if end < len(text):
            space = text.rfind(" ", at + PIECE // 2, end)
            end = space if space > 0 else end
        cut.append((at, text[at:end]))
        if end == len(text):
            break
        back = text.find(" ", max(at + 1, end - _OVERLAP), end)
        at = back + 1 if back > 0 else end
    return cut


def _batches(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Cut parts into batches of bounded size."""
    batch: list[Part] = []
    size = 0
    for part in parts:
        if batch and size + len(part.text) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += len(part.text)
    if batch:
        yield batch
