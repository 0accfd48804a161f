"""Structure inside a text: tables, records and pairs, read value by value with the key as context.

A prompt is often no prose but a pasted CSV, a Markdown table, XML, SQL, a log line or JSON in a
sentence. What stands there is found far better as a value under its key: `{"nas": 130692544}` is
a SIN, `130692544` alone is a number. :func:`segments` locates such values; the text itself is
never rewritten, so what is not edited stays byte-exact, and :func:`dressed` says how a replacement
must be written at a place so that the whole still parses.

Everything here is linear: possessive patterns with small bounds, and cheap tests first.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.core import keyed, patterns
from gateway.core.keyed import known
from gateway.core.values import Span

Style = Literal["json", "number", "xml", "cell", "sql", "pair"]

MOST = 2_000
"""Values longer than this are texts of their own and are read as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A value at code points ``start``..``end`` of the text, and the key that it stands under.

    ``text`` is the value as meant. Where it is written with escapes, ``places`` holds the
    position of each of its characters in the whole text, and one more for its end.
    """

    start: int
    end: int
    key: str
    text: str = field(repr=False)
    style: Style
    places: tuple[int, ...] | None = None

    def back(self, start: int, end: int) -> tuple[int, int]:
        """Turn positions in the value into positions in the whole text."""
        if self.places is not None:
            return self.places[start], self.places[end]
        return self.start + start, self.start + end


_JSON = re.compile(
    r'"((?:[^"\\\n]|\\.){1,64}+)"\s{0,8}+:\s{0,8}+(?:"((?:[^"\\]|\\.){1,2000}+)"|(-?\d{6,19}+)(?![\d.eE]))'
)
_TAG = re.compile(r"<([A-Za-z_][\w.:-]{0,63}+)((?:\s[^<>]{0,500}+)?)>([^<]{1,2000}+)</")
_ATTRIBUTES = re.compile(
    r"<[A-Za-z_][\w.:-]{0,63}+((?:\s++[\w.:-]{1,64}+\s?=\s?\"[^\"<>]{0,500}+\"){1,32}+)\s?/?>"
)
_ATTRIBUTE = re.compile(r'([\w.:-]{1,64}+)\s?=\s?"([^"<>]{0,500}+)"')
_INSERT = re.compile(
    r"\binsert\s+into\s+[\w.\"`\[\]]{1,100}+\s*+\(([^()]{1,2000}+)\)\s*+values\s*+", re.IGNORECASE
)
_LITERAL = re.compile(r"'((?:[^']|''){0,2000}+)'|([^\s,()']{1,200}+)")
_EQUALS = re.compile(
    r"""(?<![\w.])([A-Za-zÀ-ÿ_][\w.-]{0,63}+)\s?=\s?(?:"([^"\n]{1,500}+)"|'([^'\n]{1,500}+)')"""
)
_WORDS_EQUAL = re.compile(r"(?<![\w.])([A-Za-z_][\w.-]{0,63}+)=([^\s\"'=&,;<>]{1,200}+)(?=[\s&,;]|$)")
_LINE = re.compile(
    r"^[ \t>*•-]{0,6}+\**([A-Za-zÀ-ÿ][\w À-ÿ'’./-]{0,40}?)\**\s?:\**[ \t]++(\S.{0,300})$", re.MULTILINE
)
_CELL_HEAD = re.compile(r"[A-Za-zÀ-ÿ_#][\w À-ÿ'’./#()-]{0,40}")
_RULE = re.compile(r"[\s|:-]*+")


def segments(text: str) -> list[Segment]:
    """Return the values of a text that stand under a key, ordered by start; empty for prose."""
    found: list[Segment] = []
    if '":' in text or '" :' in text:
        found += _json(text)
    if "</" in text or "/>" in text or '">' in text:
        found += _xml(text)
    if "'" in text and ("(" in text) and _has(text, "values"):
        found += _sql(text)
    if "=" in text and not any(segment.style == "xml" for segment in found):
        found += _pairs(text)
    if "\n" in text or ": " in text:
        found += _lines(text)
    if "\n" in text:
        found += _tables(text)
    found.sort(key=lambda segment: (segment.start, -segment.end))
    return found


def _has(text: str, word: str) -> bool:
    return word in text or word.upper() in text or word.title() in text


def _json(text: str) -> Iterator[Segment]:
    """Yield the values of JSON members that stand anywhere in a text."""
    for match in _JSON.finditer(text):
        key, raw, number = match.groups()
        if number is not None:
            yield Segment(start=match.start(3), end=match.end(3), key=key, text=number, style="number")
        elif "\\" in raw:
            if (value := _unescaped(raw, match.start(2))) is not None:
                meant, places = value
                yield Segment(
                    start=match.start(2), end=match.end(2), key=key, text=meant, style="json", places=places
                )
        else:
            yield Segment(start=match.start(2), end=match.end(2), key=key, text=raw, style="json")


_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.", re.DOTALL
)


def _unescaped(raw: str, at: int) -> tuple[str, tuple[int, ...]] | None:
    """Return what a JSON string's inside means, and where each character of it stands."""
    meant: list[str] = []
    places: list[int] = []
    here = 0
    for escape in _ESCAPE.finditer(raw):
        plain = raw[here : escape.start()]
        meant.append(plain)
        places += range(at + here, at + escape.start())
        try:
            char = json.loads(f'"{escape.group()}"')
        except ValueError:
            return None
        meant.append(char)
        places += [at + escape.start()] * len(char)
        here = escape.end()
    meant.append(raw[here:])
    places += range(at + here, at + len(raw) + 1)
    return "".join(meant), tuple(places)


def _xml(text: str) -> Iterator[Segment]:
    """Yield the contents of elements and the values of attributes."""
    for match in _TAG.finditer(text):
        value = match.group(3)
        if not value.isspace():
            yield Segment(start=match.start(3), end=match.end(3), key=match.group(1), text=value, style="xml")
    for match in _ATTRIBUTES.finditer(text):
        given = list(_ATTRIBUTE.finditer(text, match.start(1), match.end(1)))
        # <field name="password" value="…">: the name of a value is itself a value.
        named = {one.group(1).lower(): one.group(2) for one in given}
        outer = named.get("name") or named.get("key")
        for one in given:
            key = outer if outer and one.group(1).lower() == "value" else one.group(1)
            if one.group(2) and (not outer or one.group(1).lower() not in {"name", "key"}):
                yield Segment(start=one.start(2), end=one.end(2), key=key, text=one.group(2), style="xml")


def _sql(text: str) -> Iterator[Segment]:
    """Yield the values of INSERT statements under their columns."""
    for match in _INSERT.finditer(text):
        columns = [column.strip(' \n\t"`[]') for column in match.group(1).split(",")]
        at, column, inside = match.end(), 0, False
        while at < len(text):
            char = text[at]
            if char == "(" and not inside:
                column, inside, at = 0, True, at + 1
            elif char == ")" and inside:
                inside, at = False, at + 1
            elif char == "," or char.isspace():
                column, at = column + (char == "," and inside), at + 1
            elif inside and (literal := _LITERAL.match(text, at)) is not None:
                if literal.group(1) and column < len(columns):
                    yield Segment(
                        start=literal.start(1), end=literal.end(1), key=columns[column],
                        text=literal.group(1), style="sql",
                    )  # fmt: skip
                elif literal.group(2) and column < len(columns) and len(literal.group(2)) > 5:
                    yield Segment(
                        start=literal.start(2), end=literal.end(2), key=columns[column],
                        text=literal.group(2), style="number",
                    )  # fmt: skip
                at = literal.end()
            else:
                break


def _pairs(text: str) -> Iterator[Segment]:
    """Yield `key="value"`, `key='value'` and `key=value`."""
    for match in _EQUALS.finditer(text):
        group = 2 if match.group(2) is not None else 3
        yield Segment(
            start=match.start(group), end=match.end(group), key=match.group(1), text=match.group(group),
            style="sql" if group == 3 else "pair",
        )  # fmt: skip
    for match in _WORDS_EQUAL.finditer(text):
        if known(match.group(1)):
            yield Segment(
                start=match.start(2), end=match.end(2), key=match.group(1), text=match.group(2), style="pair"
            )


def _lines(text: str) -> Iterator[Segment]:
    """Yield `Key: value` lines whose key is one that says what its value is."""
    for match in _LINE.finditer(text):
        key, value = match.group(1), match.group(2).rstrip()
        if known(key) and value and not value.startswith(('"', "{", "[")):
            yield Segment(
                start=match.start(2), end=match.start(2) + len(value), key=key, text=value, style="pair"
            )


def _tables(text: str) -> Iterator[Segment]:
    """Yield the cells of CSV, TSV and Markdown tables under their headings."""
    at = 0
    lines: list[tuple[int, str]] = []
    for line in text.splitlines(keepends=True):
        lines.append((at, line.rstrip("\r\n")))
        at += len(line)
    row = 0
    while row + 1 < len(lines):
        table = _heading(lines[row][1])
        if table is None:
            row += 1
            continue
        by, heads = table
        row += 1
        while row < len(lines) and lines[row][1].count(by) >= len(heads) - 1 > 0:
            start, line = lines[row]
            row += 1
            if _RULE.fullmatch(line):
                continue
            cells = _cells(line, by)
            if len(cells) != len(heads):
                break
            for key, (low, high) in zip(heads, cells, strict=True):
                if low < high <= low + MOST and key:
                    yield Segment(
                        start=start + low, end=start + high, key=key, text=line[low:high], style="cell"
                    )


def _heading(line: str) -> tuple[str, list[str]] | None:
    """Return the separator and the headings if a line looks like those of a table."""
    if not 4 <= len(line) <= 1_000:
        return None
    for by in ("|", "\t", ";", ","):
        if by not in line:
            continue
        heads = [line[low:high].strip('" ') for low, high in _cells(line, by)]
        plain = all(_CELL_HEAD.fullmatch(head) for head in heads if head)
        if len(heads) >= 2 and plain and any(known(head) for head in heads):
            return by, heads
    return None


def _cells(line: str, by: str) -> list[tuple[int, int]]:
    """Return where the cells of a line stand, without quotes and white space around them."""
    edges: list[tuple[int, int]] = []
    start = 0
    quoted = False
    if '"' not in line:
        for part in line.split(by):
            edges.append((start, start + len(part)))
            start += len(part) + 1
    else:
        for at, char in enumerate(line):
            if char == '"':
                quoted = not quoted
            elif char == by and not quoted:
                edges.append((start, at))
                start = at + 1
        edges.append((start, len(line)))
    trimmed: list[tuple[int, int]] = []
    for first, last in edges:
        low, high = first, last
        while low < high and line[low] in ' \t"':
            low += 1
        while high > low and line[high - 1] in ' \t"':
            high -= 1
        trimmed.append((low, high))
    if by == "|":  # the outer bars of Markdown
        if line.lstrip().startswith("|"):
            trimmed = trimmed[1:]
        if line.rstrip().endswith("|"):
            trimmed = trimmed[:-1]
    return trimmed


def dressed(text: str, start: int, end: int, new: str, among: Sequence[Segment] | None = None) -> str:
    """Return a replacement for ``text[start:end]`` as it must be written there.

    In XML `<PERSON_1>` becomes `&lt;PERSON_1&gt;`, a bare number of JSON or SQL becomes a
    string. Elsewhere it stays: tokens and masks hold no quote, comma, bar or line break.
    """
    for segment in segments(text) if among is None else among:
        if segment.start <= start and end <= segment.end:
            if segment.style == "xml":
                return new.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            if segment.style == "number":
                quote = "'" if text[max(0, segment.start - 1)] in "(, \n" and '":' not in text else '"'
                return f"{quote}{new}{quote}"
    return new


def scan(text: str, kinds: frozenset[str], *, context: str | None = None) -> list[Span]:
    """Return what patterns find in a text and in each value in it under its own key.

    As :func:`gateway.core.patterns.scan`: ordered, none overlapping, code points of the text.
    """
    spans = patterns.scan(text, kinds, context=context)
    inner = segments(text)
    if not inner:
        told = _by_key(context, text, kinds) if context else None
        return spans if told is None else _better(spans, [told])
    return joined(spans, within(inner, kinds), inner)


def within(inner: Sequence[Segment], kinds: frozenset[str]) -> list[Span]:
    """Return what patterns find in each value under its own key, at its place in the whole text."""
    more: list[Span] = []
    for segment in inner:
        found = patterns.scan(segment.text, kinds, context=segment.key)
        told = _by_key(segment.key, segment.text, kinds)
        for span in _better(found, [told]) if told is not None else found:
            start, end = segment.back(span.start, span.end)
            more.append(Span(kind=span.kind, start=start, end=end, score=span.score, detector=span.detector))
    return more


_SURE = 90
"""From this score on a find under a key for ordinary numbers counts all the same."""


def joined(spans: Sequence[Span], more: Sequence[Span], inner: Sequence[Segment]) -> list[Span]:
    """Join the finds of a whole text and those of its values, ordered, none overlapping.

    A find in a value whose key says that it is an ordinary number is dropped: its context word
    is another value's (`"id": "262475", "account_no": …`).
    """
    dull = [segment for segment in inner if keyed.dull(segment.key)]
    starts = [segment.start for segment in dull]

    def idle(span: Span) -> bool:
        at = bisect_right(starts, span.start) - 1
        return at >= 0 and span.end <= dull[at].end and span.score < _SURE

    return _better([span for span in spans if not idle(span)] if dull else spans, more)


def _by_key(key: str, text: str, kinds: frozenset[str]) -> Span | None:
    """Return what a value is by its key alone, where the kind is one that patterns answer for."""
    if "address" not in kinds or (told := keyed.value(key, text)) is None or told.kind != "address":
        return None
    return Span(kind=told.kind, start=told.start, end=told.end, score=told.score, detector=patterns.NAME)


def _better(spans: Sequence[Span], more: Sequence[Span]) -> list[Span]:
    """Merge two lists of spans; of overlapping ones the surer, then the longer stays."""
    kept: list[Span] = []
    for span in sorted((*more, *spans), key=lambda s: (s.start, -s.end)):
        if kept and span.start < kept[-1].end:
            last = kept[-1]
            if (span.score, span.end - span.start) > (last.score, last.end - last.start):
                kept[-1] = span
            continue
        kept.append(span)
    return kept
