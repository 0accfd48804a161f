"""How parent and child talk: a length in four bytes, then that much JSON, over pipes."""

from __future__ import annotations

import re

import orjson

MOST = 64 * 1024 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


def frame(message: dict[str, object]) -> bytes:
    """Return a message as bytes. Lone surrogates, which no encoding has, become ``?``."""
    try:
        body = orjson.dumps(message)
    except TypeError:
        body = orjson.dumps(_clean(message))
    return len(body).to_bytes(4, "big") + body


def _clean(node: object) -> object:
    if isinstance(node, str):
        return _SURROGATE.sub("?", node)
    if isinstance(node, dict):
        return {key: _clean(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_clean(value) for value in node]
    return node
