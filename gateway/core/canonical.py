"""Canonical JSON (RFC 8785) and the hash chain over it.

Journal entries are the bytes that an auditor verifies, so there is one way only
to write them. orjson with sorted keys writes RFC 8785 for a restricted value
space, which is checked here: objects with string keys, arrays, strings, booleans,
null and integers of at most 53 bits; never a float.
``tests/core/test_canonical.py`` compares it with the ``rfc8785`` package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import cast

import orjson

GENESIS = "0" * 64
"""``prev`` of the first entry of a writer."""

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_PLAIN = frozenset({str, int, bool, type(None)})


class NotCanonical(ValueError):
    """The value has no canonical form here: a float, a wide integer, a strange key or type."""


def encode(value: Mapping[str, object], *, sure: bool = False) -> bytes:
    """Return the canonical bytes of a JSON object, without a newline.

    ``sure`` says that a typed builder made the value, which therefore holds no float: the
    look at every member is saved, the writer's own checks stay. Raises NotCanonical for
    floats, integers beyond 53 bits, keys that are not strings, lone surrogates and types
    that JSON does not have.
    """
    if not sure:
        _check(value)
    try:
        line = orjson.dumps(value, option=_OPTIONS)
        if not line.isascii() and not _has_ascii_keys(value):
            # Keys beyond ASCII are ordered by UTF-16 code unit in RFC 8785 and by code point
            # in orjson; they differ above U+D7FF, so such objects are put in order before.
            line = orjson.dumps(_resorted(value), option=_OPTIONS & ~orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError) as error:
        raise NotCanonical(f"value has no canonical JSON form: {error}") from None
    return line


def _check(value: object) -> None:
    """Refuse the values that orjson would write and RFC 8785 would write otherwise, or not at all."""
    stack: list[object] = [value]
    for node in stack:  # grows while it is walked
        if isinstance(node, dict):
            members = cast("dict[str, object]", node)
            stack += [item for item in members.values() if type(item) not in _PLAIN]
        elif isinstance(node, (list, tuple)):
            items = cast("Sequence[object]", node)
            stack += [item for item in items if type(item) not in _PLAIN]
        elif not isinstance(node, str):  # an enumeration of strings is written as its value
            raise NotCanonical(f"value of type `{type(node).__name__}`: write decimals as strings")


def _has_ascii_keys(value: object) -> bool:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return all(key.isascii() and _has_ascii_keys(item) for key, item in members.items())
    if isinstance(value, (list, tuple)):
        return all(_has_ascii_keys(item) for item in cast("Sequence[object]", value))
    return True


def _resorted(value: object) -> object:
    """Rebuild a value with every object in UTF-16 order."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: _resorted(members[key]) for key in sorted(members, key=_utf16)}
    if isinstance(value, (list, tuple)):
        return [_resorted(item) for item in cast("Sequence[object]", value)]
    return value


def _utf16(key: str) -> bytes:
    try:
        return key.encode("utf-16-be")
    except UnicodeEncodeError:
        raise NotCanonical("object key holds a lone surrogate") from None


def digest(line: bytes) -> str:
    """Return the hex SHA-256 of a line's bytes, newline excluded."""
    return hashlib.sha256(line).hexdigest()
