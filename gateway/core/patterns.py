"""Identifiers that have a form: found by compiled patterns, check digits and context words.

This is the detector that runs inline, so its cost is bounded and mostly zero: cheap
substring tests decide which families can match at all, number families run only around
clusters of digits, and no pattern can backtrack over more than a fixed length.
Characters that look alike (full-width and other digits, typographic dashes and spaces,
zero-width characters) are folded first, and spans come back in the original's positions.

A span is reported only with enough evidence: a check digit together with a format, or a
context word. So a nine-digit order number is not a SIN, and a SIN is not a phone number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.core import pattern_secrets, pattern_table
from gateway.core.pattern_checks import AFTER, BEFORE, Hit, cued
from gateway.core.pattern_table import Recognizer
from gateway.core.values import Span

NAME = "patterns/2"

KINDS = frozenset(
    {recognizer.kind for recognizer in pattern_table.NUMBERS}
    | {recognizer.kind for recognizer in pattern_table.WORDS}
    | {"secret", "url_credential"}
)
"""The kinds that patterns can find; names, places and organisations need a model."""

# When two kinds claim the same characters and score the same, the first listed wins.
_PRIORITY = {
    kind: rank
    for rank, kind in enumerate(
        """secret url_credential email crypto iban card health_number driver_licence sin us_ssn
        national_id resident_card business_number passport bank_account date_of_birth phone ip mac
        coordinates postal_code
        address""".split()  # noqa: SIM905 (a column of words reads better)
    )
}

_FOLDABLE = re.compile(
    "[\u00a0\u00ad\u061c\u200b-\u200f\u2010-\u2015\u202a-\u202f\u2060-\u2064\u2066-\u2069\u2212"
    "\u3000\ufeff\uff01-\uff5e\u0660-\u0669\u06f0-\u06f9\u0966-\u096f]"
)
_INVISIBLE = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")

_RUN = re.compile(r"\d+")
# No identifier has this many digits without a break: such a run is data. It is blanked, so
# that not every position in it is tried.
_ENDLESS = 40

# Runs of digits at most this far apart on one line are one cluster; an identifier may start
# before or end after its cluster by no more than the margin.
_GAP = 3
_MARGIN = 40


def scan(text: str, kinds: frozenset[str] = KINDS, *, context: str | None = None) -> list[Span]:
    """Return the spans of the wanted kinds in one text, in order, none overlapping.

    ``context`` is the key or column that the text stands under; it counts as a context
    word. Positions are code points of the text as given. Linear in the text's length.
    """
    if not text.isascii() and _FOLDABLE.search(text) is not None:
        return _scan_folded(text, kinds, context)
    words = _as_words(context) if context else ""
    if not _promising(text) and not pattern_secrets.named(words):
        return []
    hits = list(_hits(text, kinds, words))
    if not hits:
        return []
    return [
        Span(kind=hit.kind, start=hit.start, end=hit.end, score=hit.score, detector=NAME)
        for hit in _best(hits)
    ]


def _promising(text: str) -> bool:
    """Refuse most harmless texts with a few substring searches (C speed, no regex)."""
    return (
        "1" in text or "2" in text or "0" in text or "3" in text or "5" in text or "4" in text
        or "9" in text or "8" in text or "6" in text or "7" in text or "@" in text or "::" in text
        or text.count(":") >= 5 or pattern_secrets.promising(text)
    )  # fmt: skip


def _hits(text: str, kinds: frozenset[str], context: str) -> Iterator[Hit]:
    """Yield every hit of every wanted family, overlapping ones included."""
    if "secret" in kinds or "url_credential" in kinds:
        yield from (hit for hit in pattern_secrets.find(text, context) if hit.kind in kinds)
    runs = [match.span() for match in _RUN.finditer(text)]
    if any(end - start >= _ENDLESS for start, end in runs):
        text = _RUN.sub(
            lambda run: "x" * len(run.group()) if len(run.group()) >= _ENDLESS else run.group(), text
        )
        runs = [run for run in runs if run[1] - run[0] < _ENDLESS]
    words, numbers = _wanted(kinds)
    for recognizer in words:
        if recognizer.anchor is not None:
            yield from _run_anchored(recognizer, text, runs, context)
        elif recognizer.gate(text, context):
            yield from _run(recognizer, text, 0, len(text), context)
    if not numbers:
        return
    for start, end, digits in _regions(text, runs):
        window = ""
        for recognizer in numbers:
            if digits < recognizer.digits or not recognizer.gate(text, context):
                continue
            if recognizer.needs is not None:
                window = window or text[max(0, start - BEFORE) : end + AFTER].lower()
                if not cued(recognizer.needs, window, context):
                    continue
            yield from _run(recognizer, text, start, end, context)


_Rows = tuple[Recognizer, ...]
_known: dict[frozenset[str], tuple[_Rows, _Rows]] = {}


def _wanted(kinds: frozenset[str]) -> tuple[_Rows, _Rows]:
    """Return the recognizers of some kinds; kept, since apps ask for few sets."""
    known = _known.get(kinds)
    if known is None:
        words = tuple(r for r in pattern_table.WORDS if r.kind in kinds)
        known = words, tuple(r for r in pattern_table.NUMBERS if r.kind in kinds)
        if len(_known) < 512:
            _known[kinds] = known
    return known


def _regions(text: str, runs: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield disjoint stretches that can hold a number family's identifier.

    With each comes the most digits that one cluster in it has.
    """
    size = len(text)
    low = high = -1
    most = 0
    for start, end, digits in _clusters(text, runs):
        if end - start < 5 or digits < 3:
            continue
        start, end = max(0, start - _MARGIN), min(size, end + _MARGIN)  # noqa: PLW2901 (the margin belongs to it)
        if start <= high:
            high, most = max(high, end), max(most, digits)
            continue
        if high >= 0:
            yield low, high, most
        low, high, most = start, end, digits
    if high >= 0:
        yield low, high, most


def _clusters(text: str, runs: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and number of digits of each cluster."""
    first = last = -1
    digits = 0
    for start, end in runs:
        if first >= 0 and start - last <= _GAP and "\n" not in text[last:start]:
            last, digits = end, digits + end - start
            continue
        if first >= 0:
            yield first, last, digits
        first, last, digits = start, end, end - start
    if first >= 0:
        yield first, last, digits


def _run_anchored(
    recognizer: Recognizer, text: str, runs: list[tuple[int, int]], context: str
) -> Iterator[Hit]:
    """Yield the hits of a recognizer whose matches start at a run of digits."""
    anchor = recognizer.anchor or 0
    most, match_at, at = recognizer.run, recognizer.pattern.match, 0
    for start, end in runs:
        if end - start > most or start + anchor < at:
            continue
        match = match_at(text, start + anchor)
        if match is not None and (hit := recognizer.check(match, text, context)) is not None:
            yield hit
            at = hit.end


_REST_OF_WORD = re.compile(r"[^\W_]+")


def _run(recognizer: Recognizer, text: str, start: int, end: int, context: str) -> Iterator[Hit]:
    """Yield a recognizer's hits in a stretch. Each hit ends the search at its own end."""
    at = start
    search = recognizer.pattern.search
    while (match := search(text, at, end)) is not None:
        hit = recognizer.check(match, text, context)
        if hit is not None:
            yield hit
            at = max(hit.end, match.start() + 1)
            continue
        # The next try starts after the word in which the refused match started: no check
        # accepts a match that begins inside a word.
        rest = _REST_OF_WORD.match(text, match.start(), end)
        at = rest.end() if rest else match.start() + 1


def _best(hits: list[Hit]) -> list[Hit]:
    """Keep of overlapping hits the best: by score, then length, then priority."""
    hits.sort(key=lambda h: (-h.score, h.start - h.end, _PRIORITY.get(h.kind, 99), h.start))
    kept: list[Hit] = []
    if len(hits) <= 24:
        for hit in hits:
            if all(hit.end <= other.start or hit.start >= other.end for other in kept):
                kept.append(hit)
    else:
        taken = bytearray(max(hit.end for hit in hits))
        for hit in hits:
            if not any(taken[hit.start : hit.end]):
                taken[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
                kept.append(hit)
    kept.sort(key=lambda h: h.start)
    return kept


def _as_words(context: str) -> str:
    """Turn a key (``customerSIN``, ``date_of_birth``) into words that context rules can read."""
    if len(context) > 128:
        return ""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", context)
    return spaced.replace("_", " ").replace("-", " ").replace(".", " ").lower()


def _scan_folded(text: str, kinds: frozenset[str], context: str | None) -> list[Span]:
    """Scan a text after folding look-alike characters, mapping positions back."""
    fold = _FOLDABLE.sub(_fold_one, text)
    spans: list[int] | None = None
    if _INVISIBLE.search(fold) is not None:
        spans = [index for index, char in enumerate(fold) if not _INVISIBLE.match(char)]
        fold = "".join(fold[index] for index in spans)
    found = scan(fold, kinds, context=context) if _FOLDABLE.search(fold) is None else []
    if spans is None:
        return found
    return [
        Span(
            kind=span.kind, start=spans[span.start], end=spans[span.end - 1] + 1,
            score=span.score, detector=span.detector,
        )
        for span in found
    ]  # fmt: skip


def _fold_one(match: re.Match[str]) -> str:
    """Fold one character to ASCII; invisible ones stay, to be dropped with their positions."""
    char = match.group()
    code = ord(char)
    if 0xFF01 <= code <= 0xFF5E:
        return chr(code - 0xFEE0)
    if char.isdigit():
        return str(int(char))
    if code in {0xA0, 0x202F, 0x3000}:
        return " "
    if 0x2010 <= code <= 0x2015 or code == 0x2212:
        return "-"
    return char
