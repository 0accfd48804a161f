"""Masking what a reply must not show, in bounded memory and whatever the chunking.

A verdict on streamed text may not depend on where the vendor cut it. So the text is cut
into segments by a rule that looks at the text alone: plain words flow through at once,
and from a word that could begin an identifier (a digit, ``@``, ``:``, a month …) text is
held until plain words follow. Each segment is scanned once, with the text before it as
context. A plain reply goes through the very same code in one piece.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core import patterns, tokens
from gateway.core.json_text import LONG_NUMBER
from gateway.core.values import Span

CONTEXT = 80
"""Characters before a segment that are scanned with it, for context words."""

HOLD = 256
"""A segment longer than this is cut early, unless a find lies across the cut."""

OVERLAP = 96
"""At an early cut at least this much stays held: no number or address is longer."""

HOLD_MOST = 16_384
"""Only a private key or another long secret is held this long."""

AFTER = 32
"""A run ends when this many characters of plain words follow: patterns look no further."""

AFTER_ADDRESS = 80
"""The same while street addresses are looked for: a street's name is plain words."""

_MONTHS = r"(?:jan|feb|f[ée]v|mar|apr|avr|may|mai|jun|juin|jul|juil|aug|ao[ûu]t|sep|oct|nov|d[ée]c)"
_CUE = r"(?:bearer|pass|mot|secret|token|pwd|bc1)"
# A plain word: short, of letters only, with its punctuation and the white space after it.
# Months and the words before secrets are not plain: what follows them may be masked.
_COLD = re.compile(
    rf"""(?:["'(«*_]{{0,3}}(?!{_MONTHS}|{_CUE})[^\W\d_]{{1,15}}(?:['’-][^\W\d_]{{1,15}}){{0,2}}[.,;:!?)"'»*_]{{0,4}}"""
    r"|[-–—*#•>|]{1,6})\s+|\s+",
    re.IGNORECASE,
)
# No identifier starts with such a word; some start with two or four letters (`trem 8505 1519`).
_LOWER = re.compile(r"(?:[a-zà-öø-ÿ]{5,15}|[a-zà-öø-ÿ]{3}|[a-zà])[.,;:!?]{0,4}\s+")
_WORD = re.compile(rf"\S{{1,{HOLD}}}\s+")
_ENDLESS = re.compile(rf"\S{{{HOLD + 1}}}")
_PEM_OPEN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?:(?!-----END)[\s\S])*\Z")


@dataclass(slots=True)
class TextInspector:
    """Masks findings in one text that arrives in pieces."""

    kinds: frozenset[str]
    masked: Counter[str]
    held: str = field(default="", repr=False)
    before: str = field(default="", repr=False)
    run: bool = False  # within a stretch that may hold an identifier
    scanned: int = 0  # how far into `held` the words were looked at
    cold: int = 0  # characters of plain words since the last word that was not
    last: int = 0  # where the last plain word before a run starts
    tries: int = 1  # how often an endless word was looked at
    spared: re.Pattern[str] | None = None  # tokens that keep a value's format

    def feed(self, text: str) -> str:
        """Take a piece; return what is safe to show, masked."""
        self.held += text
        out: list[str] = []
        while (cut := self._next_cut()) is not None:
            out.append(self._close(cut))
        return "".join(out)

    def end(self) -> str:
        """Return the rest, masked."""
        return self._close(len(self.held)) if self.held else ""

    def settle(self) -> str:
        """Return what no further text can change, for a stream that stalls.

        Only plain lower-case words that wait in case an identifier follows: none starts with
        one. A run, and a word that is not complete, stay held however long it takes.
        """
        if self.run:
            return ""
        cut, at = 0, self.last
        while (word := _LOWER.match(self.held, at)) is not None and _COLD.match(self.held, at) is not None:
            cut = at = word.end()
        return self._close(self._restart(cut, run=False)) if cut else ""

    def _next_cut(self) -> int | None:
        """Return where the next segment ends, or None while that cannot be known.

        INVARIANT: the answer depends on the text from the segment's start on, never on how
        much of it happens to be here; a word counts once the character after it is known.
        (Cuts among plain words do depend on it, but there is nothing to find there.)
        """
        held = self.held
        size = len(held)
        after = AFTER_ADDRESS if "address" in self.kinds else AFTER
        while True:
            at = self.scanned
            if (match := _COLD.match(held, at)) is not None and match.end() < size:
                self.scanned = match.end()
                if not self.run:
                    self.last = at
                    continue
                self.cold += match.end() - at
                if self.cold >= after:
                    return self._restart(self.scanned, run=False)
            elif (match := _WORD.match(held, at)) is not None and match.end() < size:
                if not self.run and self.last:
                    # The run takes one plain word along: `TREM 8505 1519` starts with one.
                    return self._restart(self.last, run=False)
                self.scanned, self.run, self.cold = match.end(), True, 0
            elif _ENDLESS.match(held, at) is not None and size >= at + HOLD * self.tries:
                early = self._early(at + HOLD * self.tries)
                self.tries += 1
                if early:
                    return self._restart(early, run=True)
                continue
            else:
                return self._restart(self.last, run=False) if not self.run and self.last else None
            if self.run and self.scanned >= HOLD and (early := self._early(self.scanned)):
                return self._restart(early, run=True)

    def _restart(self, cut: int, *, run: bool) -> int:
        """Begin the next segment at a cut."""
        self.run, self.scanned, self.cold, self.last, self.tries = run, 0, 0, 0, 1
        return cut

    def _early(self, end: int) -> int:
        """Return a cut before ``end`` of a long segment that crosses no find; 0 for none yet."""
        part = self.held[:end]
        cut = end - OVERLAP
        space = max(part.rfind(" ", 0, cut), part.rfind("\n", 0, cut))
        cut = space + 1 if space > cut - HOLD // 2 else cut
        for span in self._spans(part):
            if span.start < cut < span.end or (span.end == end and span.start < cut):
                cut = span.start
        if (open_key := _PEM_OPEN.search(part)) is not None:
            cut = min(cut, open_key.start())
        if cut <= 0 and end >= HOLD_MOST:
            return end
        return max(cut, 0)

    def _spans(self, segment: str) -> list[Span]:
        """Return the spans of a segment, found with the text before it as context."""
        lead = len(self.before)
        spans = patterns.scan(self.before + segment, self.kinds)
        return [
            Span(
                kind=span.kind, start=max(0, span.start - lead), end=span.end - lead,
                score=span.score, detector=span.detector,
            )
            for span in spans
            if span.end > lead
        ]  # fmt: skip

    def _close(self, cut: int) -> str:
        """Emit the segment up to a cut."""
        segment, self.held = self.held[:cut], self.held[cut:]
        shown = mask_found(segment, self._spans(segment), self.masked, self.spared)
        self.before = (self.before + segment)[-CONTEXT:]
        return shown


def mask_found(
    text: str, spans: Sequence[Span], masked: Counter[str], spared: re.Pattern[str] | None = None
) -> str:
    """Mask spans that do not lie in a token, and count them. ``spared`` finds tokens of other forms."""
    if not spans:
        return text
    kept = tokens.TOKEN.finditer(text) if tokens.may_hold(text) else ()
    closed = [match.span() for match in kept]
    if spared is not None:
        closed += [match.span() for match in spared.finditer(text)]
    pieces: list[str] = []
    at = 0
    for span in spans:
        if any(start < span.end and span.start < end for start, end in closed):
            continue
        pieces += (text[at : span.start], tokens.mask(span.kind))
        masked[span.kind] += 1
        at = span.end
    pieces.append(text[at:])
    return "".join(pieces)


_STRING_BODY = re.compile(r'(?:[^"\\]+|\\.)*', re.DOTALL)
_OUTSIDE = re.compile(r'[^"\-\d]+')
_NUMBER = re.compile(r"-?\d[\d.eE+-]*")


@dataclass(slots=True)
class JsonInspector:
    """Masks findings in a JSON text that arrives in pieces (tool arguments, JSON mode).

    A value is scanned whole, decoded, with its key as context, so that the verdict is
    that of the parsed reply; it is held until its closing quote. A number that is masked
    becomes a string, so that the text still parses.
    """

    kinds: frozenset[str]
    masked: Counter[str]
    held: str = field(default="", repr=False)
    key: str | None = None
    seen: int = 0  # how far into an open string no closing quote was found
    spared: re.Pattern[str] | None = None  # tokens that keep a value's format

    def feed(self, text: str) -> str:
        """Take a piece; return what is safe to show, masked and still JSON."""
        self.held += text
        return self._drain(final=False)

    def end(self) -> str:
        """Return the rest; an unclosed string is shown masked as text."""
        shown = self._drain(final=True)
        rest, self.held, self.seen = self.held, "", 0
        found = patterns.scan(rest, self.kinds, context=self.key)
        return shown + mask_found(rest, found, self.masked, self.spared)

    def _drain(self, *, final: bool) -> str:
        """Emit every value that is complete; a string is one once it is known to be no key."""
        held, at = self.held, 0
        out: list[str] = []
        while at < len(held):
            if match := _OUTSIDE.match(held, at):
                self._structure(match.group())
                out.append(match.group())
                at = match.end()
                continue
            if held[at] == '"':
                body = _STRING_BODY.match(held, max(at + 1, self.seen))
                end = body.end() if body else at + 1
                if end >= len(held) or held[end] != '"':
                    self.seen = end - at
                    break
                follows = held[end + 1 :].lstrip()[:1]
                if not follows and not final:
                    self.seen = end - at
                    break
                self.seen = 0
                out.append(self._string(held[at : end + 1], is_key=follows == ":"))
                at = end + 1
                continue
            number = _NUMBER.match(held, at)
            end = number.end() if number else at + 1
            if end == len(held) and not final:
                break
            out.append(self._number(held[at:end]))
            at = end
        self.held = held[at:]
        return "".join(out)

    def _structure(self, text: str) -> None:
        """Learn from the characters between values: a closed object ends its key's reach."""
        if "}" in text or "{" in text:
            self.key = None

    def _string(self, literal: str, *, is_key: bool) -> str:
        try:
            value = json.loads(literal, strict=False)
        except ValueError:
            value = literal[1:-1]
        if is_key:
            self.key = value
            return literal
        shown = mask_value(value, self.kinds, self.key, self.masked, self.spared)
        return literal if shown is value else json.dumps(shown, ensure_ascii=False)

    def _number(self, literal: str) -> str:
        if not LONG_NUMBER.match(literal):
            return literal
        shown = mask_value(literal, self.kinds, self.key, self.masked, self.spared)
        return literal if shown is literal else json.dumps(shown)


def mask_value(
    value: str,
    kinds: frozenset[str],
    context: str | None,
    masked: Counter[str],
    spared: re.Pattern[str] | None = None,
) -> str:
    """Mask one whole value under a key; the same object comes back if nothing was found."""
    spans = patterns.scan(value, kinds, context=context)
    return mask_found(value, spans, masked, spared) if spans else value
