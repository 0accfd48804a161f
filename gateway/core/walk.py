"""Every text-bearing leaf of a request or a reply, and how to put another text there.

Nothing is looked up by a list of known text fields: *every* string is a leaf, also in
fields that we do not know, so that a field invented tomorrow is walked today. What is
listed, with its reason, are the few keys whose value must not change:

* ``fixed``: names, ids, enums and schema words. They are scanned by patterns, and a
  find there refuses the call, because changing them would break it;
* ``sealed``: signed thinking. Its bytes must go back exact or the call be refused;
* ``pseudonym``: fields that name an end user to the vendor; replaced whole by a keyed hash;
* ``word``: a participant's name, which vendors restrict to letters, digits, ``_``, ``-``;
* binaries (base64 images, audio, files, encrypted reasoning) are no text. They are
  listed by :func:`binaries`, and the feature ``unscannable`` lets the policy decide.

Object keys that could hold an identifier (a digit or ``@``) are leaves too, as ``fixed``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.frozen import quick
from gateway.core.json_text import LONG_NUMBER, MAX_NESTING, json_leaves, splice
from gateway.core.shape import is_array, is_object
from gateway.core.shape import text as text_of
from gateway.core.values import Body, Path, Surface

Shape = Literal["any", "word", "fixed", "sealed", "pseudonym"]

JSON_MARK = "~json"
KEY_MARK = -1
"""Before the key of an object that is itself a leaf; no list index is negative."""

FIXED_CONTEXT = "~fixed"
"""The context of ``fixed`` leaves: detectors of prose (names, places) skip them."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One text: where it stands, and the key that it stands under.

    ``kind`` says whether it is a string of the body or a value in a JSON string.
    """

    path: Path
    text: str = field(repr=False)
    context: str | None = None
    kind: Literal["text", "json"] = "text"
    shape: Shape = "any"
    free: bool = False  # below an object that the app or its tools fill freely


# Enumerations and names that choose behaviour: a changed one is another request.
_ENUMS = frozenset(
    {
        "type",
        "role",
        "object",
        "model",
        "service_tier",
        "format",
        "detail",
        "encoding_format",
        "media_type",
        "mime_type",
        "tool_choice",
        "effort",
        "reasoning_effort",
        "verbosity",
        "summary_format",
        "truncation",
        "status",
        "finish_reason",
        "stop_reason",
        "modalities",
        "voice",
        "include",
        "order",
        "mode",
        "syntax",
        "phase",
        "strict_mode",
        "inference_geo",
        "speed",
        "cache_control",
        "ttl",
        "prompt_cache_retention",
        "obfuscation",
        "system_fingerprint",
        "environment",
    }
)
# Ids minted by a vendor or an SDK: a changed one no longer pairs a result with its call.
_IDS = frozenset(
    {
        "id",
        "call_id",
        "tool_call_id",
        "tool_use_id",
        "item_id",
        "response_id",
        "file_id",
        "previous_response_id",
        "conversation",
        "container",
        "vector_store_ids",
        "file_ids",
        "server_label",
        "connector_id",
        "skill_id",
        "thread_id",
        "message_id",
        "approval_request_id",
        "prompt_id",
    }
)
# JSON Schema words: they describe a machine's contract. Titles and descriptions are text.
_SCHEMA = frozenset(
    {
        "$ref",
        "$id",
        "$schema",
        "$defs",
        "$anchor",
        "required",
        "pattern",
        "enum",
        "const",
        "dependentRequired",
    }
)
# Where a vendor asks for a stable name of the end user.
_PSEUDONYMS = frozenset({"user", "safety_identifier", "prompt_cache_key", "user_id"})
# Keys whose name says nothing about the value, so that they are no context.
_MUTE = frozenset({"content", "text", "input", "output", "arguments", "delta", "prompt", "system"})

_STRUCTURAL = _ENUMS | _IDS | _SCHEMA
FIXED: Mapping[Surface, frozenset[str]] = {
    Surface.CHAT: _STRUCTURAL,
    Surface.EMBEDDINGS: frozenset({"model", "encoding_format"}),
    Surface.RESPONSES: _STRUCTURAL,
    Surface.MESSAGES: _STRUCTURAL,
    Surface.COUNT_TOKENS: _STRUCTURAL,
}
"""The keys whose values must not change, per surface."""

# Subtrees that the app fills freely: no key in them is structural.
_FREE = frozenset({"metadata", "variables", "attributes"})

_SUSPECT = re.compile(r"@|\d(?:[ ._-]?\d){4}")
# Possessive: an almost-base64 megabyte of white space must not be tried in every split.
# Its lines may be broken; a space, or nothing but digits, makes it something that people write.
_BASE64 = re.compile(r"(?![\d\s_\-]*+\Z)[A-Za-z0-9+/_\-\r\n]*+={0,2}[\r\n]*+\Z")
_DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w.+=\"-]+)*;base64,", re.IGNORECASE)
_OPAQUE = frozenset({"encrypted_content", "signature", "b64_json", "file_data", "partial_image_b64"})


def leaves(surface: Surface, body: Body) -> list[Leaf]:
    """Return every text leaf of a request, in document order."""
    return _Walk(FIXED[surface], set_binaries=False).run(body)


def reply_leaves(surface: Surface, reply_body: Body) -> list[Leaf]:
    """Return every text leaf of a plain reply, in document order."""
    return _Walk(FIXED[surface], set_binaries=False).run(reply_body)


def leaves_below(surface: Surface, value: Body) -> list[Leaf]:
    """Return the texts of a reply or of one event, JSON strings whole (not walked inside)."""
    return _Walk(FIXED[surface], set_binaries=False, open_json=False).run(value)


def binaries(surface: Surface, body: Body) -> list[Path]:
    """Return where a request holds bytes that are no text (images, audio, files, sealed)."""
    walk = _Walk(FIXED[surface], set_binaries=True)
    walk.run(body)
    return walk.binary


def is_binary(parent: Mapping[str, object], key: str, text: str) -> bool:
    """Tell whether a string is encoded bytes: by its place *and* by its alphabet.

    INVARIANT: a string that is not pure base64 is text wherever it stands, so that
    prose cannot hide in a ``data`` field.
    """
    if text.startswith("data:"):
        match = _DATA_URL.match(text)
        return match is not None and _BASE64.match(text, match.end()) is not None
    if key == "data":
        kind = text_of(parent, "type")
        if not (kind in {"base64", "redacted_thinking"} or "format" in parent or "transcript" in parent):
            return False
    elif key == "result":
        if parent.get("type") != "image_generation_call":
            return False
    elif key not in _OPAQUE:
        return False
    return len(text) >= 16 and _BASE64.match(text) is not None


class _Walk:
    """One pass over a body, with an explicit stack so that depth costs no recursion."""

    __slots__ = ("binary", "fixed", "found", "keep_binaries", "open_json")

    def __init__(self, fixed: frozenset[str], *, set_binaries: bool, open_json: bool = True) -> None:
        self.fixed = fixed
        self.open_json = open_json
        self.keep_binaries = set_binaries
        self.found: list[Leaf] = []
        self.binary: list[Path] = []

    def run(self, body: Body) -> list[Leaf]:
        """Return the leaves of a body."""
        self._object((), body, free=False, depth=0)
        return self.found

    def _object(self, path: Path, node: Mapping[str, object], *, free: bool, depth: int) -> None:
        for name, value in node.items():
            # Most keys are words: a find needs a digit or an `@`.
            if not name.isalpha() and _SUSPECT.search(name):
                self._key(path, name)
            kind = value.__class__
            if kind is str:
                if value:
                    self._string(path, name, name, value, node, free=free)  # type: ignore[arg-type]  # is str
            elif kind is dict or kind is list:
                below = free or _opens_free(name, value, node)
                self._container((*path, name), value, name, node, free=below, depth=depth + 1)
            elif kind is int and path:
                self._number(path, name, name, value, free=free)

    def _container(
        self, path: Path, value: object, key: str, parent: Mapping[str, object], *, free: bool, depth: int
    ) -> None:
        """Walk an object or an array; beyond a sane depth without recursion."""
        if depth > _RECURSE:
            self._deep(path, value, key, parent, free=free)
        elif is_object(value):
            self._object(path, value, free=free, depth=depth)
        elif is_array(value):
            for index, item in enumerate(value):
                if isinstance(item, str):
                    if item:
                        self._string(path, index, key, item, parent, free=free)
                elif is_object(item) or is_array(item):
                    self._container((*path, index), item, key, parent, free=free, depth=depth + 1)
                elif isinstance(item, int) and item > 9_999_999:
                    self._number(path, index, key, item, free=free)

    def _deep(self, path: Path, value: object, key: str, parent: Mapping[str, object], *, free: bool) -> None:
        """Walk a very deep part one level at a time, in document order."""
        stack: list[tuple[Path, object, str, Mapping[str, object], bool]] = [(path, value, key, parent, free)]
        while stack:
            here, node, name, above, is_free = stack.pop()
            if isinstance(node, str) and node:
                self._string(here[:-1], here[-1], name, node, above, free=is_free)
            elif is_object(node):
                for inner in node:
                    if _SUSPECT.search(inner):
                        self._key(here, inner)
                stack += [
                    ((*here, k), v, k, node, is_free or _opens_free(k, v, node))
                    for k, v in reversed(node.items())
                ]
            elif is_array(node):
                stack += [((*here, n), node[n], name, above, is_free) for n in range(len(node) - 1, -1, -1)]
            elif node.__class__ is int:
                self._number(here[:-1], here[-1], name, node, free=is_free)

    def _key(self, path: Path, name: str) -> None:
        self.found.append(Leaf(path=(*path, KEY_MARK, name), text=name, context=FIXED_CONTEXT, shape="fixed"))

    def _number(self, path: Path, last: str | int, key: str, value: object, *, free: bool) -> None:
        """Note an integer long enough to identify somebody; a reply's own are counts and instants."""
        if (free or self.open_json) and LONG_NUMBER.match(text := str(value)):
            self.found.append(Leaf(path=(*path, last), text=text, context=_context(key), free=free))

    def _string(
        self, path: Path, last: str | int, key: str, text: str, parent: Mapping[str, object], *, free: bool
    ) -> None:
        size = len(text)
        if size >= 16 and is_binary(parent, key, text):
            if self.keep_binaries:
                self.binary.append((*path, last))
            return
        shape = "any" if free and key != "user_id" else self._shape(path, key, parent)
        if shape == "any":
            here = (*path, last)
            if self.open_json and text[0] in "{[ \n\t\r" and self._json(here, text, 0):
                return
            self.found.append(Leaf(path=here, text=text, context=_context(key), free=free))
        elif shape != "fixed":
            self.found.append(Leaf(path=(*path, last), text=text, context=_context(key), shape=shape))
        elif size > 64 or (not text.isalpha() and _SUSPECT.search(text)):
            self.found.append(Leaf(path=(*path, last), text=text, context=FIXED_CONTEXT, shape="fixed"))

    def _shape(self, path: Path, key: str, parent: Mapping[str, object]) -> Shape:
        if key in self.fixed:
            return "fixed"
        if key == "name":
            # A tool's name pairs calls with tools; a message's name is a person.
            if "role" in parent:
                return "word"
            return "fixed" if _names_a_tool(path, parent) else "any"
        if key in _PSEUDONYMS:
            return "pseudonym"
        if key == "thinking" and "signature" in parent:
            return "sealed"
        return "any"

    def _json(self, path: Path, text: str, depth: int) -> bool:
        """Walk a JSON text's values; False if it is to be read as plain text."""
        inner = json_leaves(text)
        if inner is None:
            return False
        for leaf in inner:
            here = (*path, JSON_MARK, *leaf.path)
            if leaf.is_key:
                if _SUSPECT.search(leaf.text):
                    self._key(here[:-1], leaf.text)
                continue
            if not leaf.text:
                continue
            if depth < MAX_NESTING and leaf.text[0] in "{[ \n\t\r" and self._json(here, leaf.text, depth + 1):
                continue
            key = next((part for part in reversed(leaf.path) if isinstance(part, str)), "")
            self.found.append(Leaf(path=here, text=leaf.text, context=_context(key), kind="json"))
        return True


_RECURSE = 64
"""Containers nested deeper than this are walked without recursion."""


def _opens_free(name: str, inner: object, parent: Mapping[str, object]) -> bool:
    if name in _FREE:
        return True
    # A tool call's arguments as an object (Anthropic): whatever the tool's author named them.
    return name == "input" and inner.__class__ is dict and "name" in parent


def _names_a_tool(path: Path, parent: Mapping[str, object]) -> bool:
    return (
        "type" in parent
        or "arguments" in parent
        or "parameters" in parent
        or "input_schema" in parent
        or "schema" in parent
        or (bool(path) and path[-1] in {"function", "tool_choice", "json_schema", "custom", "tool"})
    )


def _context(key: str) -> str | None:
    return None if not key or key in _MUTE else key


def replace(body: Body, edits: Mapping[Path, str]) -> Body:
    """Return a body with the texts at the paths replaced; nothing else is copied.

    Raises KeyError or IndexError for a path that leads nowhere: an edit that is not
    made must never go unnoticed.
    """
    if not edits:
        return body
    changed = _replace(dict(body), list(edits.items()))
    if not is_object(changed):
        raise KeyError("the root of a body is an object")
    return changed


def _replace(node: object, edits: list[tuple[Path, str]]) -> object:
    """Return a node with edits below it made; recursion is as deep as an edit's path."""
    if len(edits) == 1 and not edits[0][0]:
        return edits[0][1]
    if isinstance(node, str):
        return _replace_json(node, edits)
    groups: dict[str | int, list[tuple[Path, str]]] = {}
    for path, text in edits:
        groups.setdefault(path[0], []).append((path[1:], text))
    if is_array(node):
        items = list(node)
        for index, below in groups.items():
            if not isinstance(index, int) or index < 0:
                raise KeyError("an edit names a key of a list")
            items[index] = _replace(items[index], below)
        return items
    if is_object(node):
        entries = dict(node)
        for key, below in groups.items():
            if not isinstance(key, str):
                raise KeyError("an edit names an index of an object")
            entries[key] = _replace(entries[key], below)
        return entries
    raise KeyError("an edit leads below a leaf")


def _replace_json(text: str, edits: list[tuple[Path, str]]) -> str:
    """Make edits inside a JSON string; those in JSON inside its own strings come first."""
    values = {leaf.path: leaf.text for leaf in json_leaves(text) or () if not leaf.is_key}
    direct: dict[Path, str] = {}
    nested: dict[Path, list[tuple[Path, str]]] = {}
    for path, new in edits:
        if path[0] != JSON_MARK:
            raise KeyError("an edit leads below a text")
        below = path[1:]
        # A leaf of this text, or the longest way to one (a key may itself be called "~json").
        owner = below if below in values else next(
            below[:cut] for cut in range(len(below) - 1, 0, -1)
            if below[cut] == JSON_MARK and below[:cut] in values
        )  # fmt: skip
        if owner == below:
            direct[below] = new
        else:
            nested.setdefault(owner, []).append((below[len(owner) :], new))
    for owner, inner in nested.items():
        direct[owner] = _replace_json(values[owner], inner)
    return splice(text, direct)
