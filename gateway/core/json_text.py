"""JSON that stands inside a string: tool arguments, tool results, pasted objects.

A value in such a text is found far better when it is read as a value with its key
as context than as raw text. The text is never re-serialised: each string or number
is located, and an edit splices the new literal in place, so that spacing, key order,
number spelling and everything not edited stay byte-exact.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_NESTING = 8
"""Strings in strings in strings: below this many levels JSON is read as plain text."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
LONG_NUMBER = re.compile(r"-?[1-9]\d{7,18}\Z")
"""Integers long enough to be an identifier: they are scanned as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLeaf:
    """One string or long integer of a JSON text: ``start``..``end`` is its literal."""

    path: tuple[str | int, ...]
    text: str = field(repr=False)
    start: int
    end: int
    is_key: bool = False


def looks_like_json(text: str) -> bool:
    """Tell cheaply whether a text may be a JSON object or array."""
    head = text[:1]
    if head not in ("{", "[") and head not in (" ", "\n", "\t", "\r"):
        return False
    stripped = text.strip()
    return (stripped[:1], stripped[-1:]) in {("{", "}"), ("[", "]")}


def json_leaves(text: str) -> list[JsonLeaf] | None:
    """Return the leaves of a JSON object or array, keys included, or None.

    None means: not JSON, or a JSON in which one path names two values (duplicate
    keys); the caller then treats the whole as plain text.
    """
    if not looks_like_json(text):
        return None
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _locate(text)


def _locate(text: str) -> list[JsonLeaf] | None:
    """Walk the tokens of a valid JSON text, keeping the path in a stack."""
    found: list[JsonLeaf] = []
    path: list[str | int] = []
    seen: list[set[str] | None] = []  # per open container: its keys, or None for an array
    expect_key = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        first = token[0]
        if first == '"':
            value = json.loads(token) if "\\" in token else token[1:-1]
            if expect_key:
                keys = seen[-1]
                if keys is None or value in keys:
                    return None
                keys.add(value)
                path[-1] = value
                expect_key = False
                found.append(
                    JsonLeaf(path=tuple(path), text=value, start=match.start(), end=match.end(), is_key=True)
                )
            else:
                found.append(JsonLeaf(path=tuple(path), text=value, start=match.start(), end=match.end()))
        elif first in "{[":
            is_object = first == "{"
            seen.append(set() if is_object else None)
            path.append("" if is_object else 0)
            expect_key = is_object
        elif first in "}]":
            seen.pop()
            path.pop()
            expect_key = False
        elif first == ",":
            last = path[-1]
            if isinstance(last, int):
                path[-1] = last + 1
            else:
                expect_key = True
        elif LONG_NUMBER.match(token):
            found.append(JsonLeaf(path=tuple(path), text=token, start=match.start(), end=match.end()))
    return found


def splice(text: str, edits: Mapping[tuple[str | int, ...], str]) -> str:
    """Return the JSON text with the leaves at the given paths replaced.

    Every new value becomes a JSON string, also where a number stood. Raises KeyError
    for a path that is not a leaf of the text.
    """
    leaves = {leaf.path: leaf for leaf in json_leaves(text) or () if not leaf.is_key}
    pieces: list[str] = []
    at = 0
    for leaf in sorted((leaves[path] for path in edits), key=lambda leaf: leaf.start):
        pieces += (text[at : leaf.start], json.dumps(edits[leaf.path], ensure_ascii=False))
        at = leaf.end
    pieces.append(text[at:])
    return "".join(pieces)
