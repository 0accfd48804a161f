"""Strict YAML 1.2 (core schema) with the place of everything, read from the parser's events.

Refused: anchors, aliases, tags, duplicate keys, keys that are no text, several documents, tabs,
and what is too big or too deep. ``NO`` is text here, as YAML 1.2 says; a date is text too. PyYAML
gives the events (its C parser where there is one); its own constructors are not used, since
they follow YAML 1.1 and lose the marks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

import orjson
import yaml

from gateway.policy.problems import Problem

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 24
MAX_NODES = 400_000

Key = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_RESOLVABLE = frozenset("+-.0123456789~nNtTfF")
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})


class Unquoted(str):
    """A number with a fraction, as written: text, so that no float is ever made of an amount."""

    __slots__ = ()


@dataclass(slots=True)
class Document:
    """One file: its data and where each path in it stands (line and column from 1)."""

    file: str
    data: object = None
    marks: dict[Key, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, path: Key) -> tuple[int, int]:
        """Return line and column of a path, or of the nearest one above it."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, (1, 1))

    def keys(self, path: Key) -> tuple[str, ...]:
        """Return the keys of a mapping at a path; none if there is no mapping."""
        value = self.data
        for step in path:
            if isinstance(value, dict) and step in value:
                value = value[step]
            else:
                return ()
        return tuple(value) if isinstance(value, dict) else ()

    def at(self, path: Key) -> str:
        """Return ``file:line`` of a path."""
        return f"{self.file}:{self.mark(path)[0]}"

    def problem(self, path: Key, message: str, suggestion: str | None = None) -> Problem:
        """Return a problem at a path, with the path in words."""
        line, column = self.mark(path)
        shown = spoken(path)
        text = f"{shown}: {message}" if shown else message
        return Problem(file=self.file, line=line, column=column, message=text, suggestion=suggestion)


def spoken(path: Key) -> str:
    """Return a path as people write it: ``rules[2].must``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def quoted(text: str) -> str:
    """Return a text in YAML's double quotes, on one line, whatever is in it; :func:`read` gives it back."""
    safe = orjson.dumps(text).decode()
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in safe)


class _Stop(Exception):
    """The file cannot be read further."""


def read(file: str, raw: bytes) -> Document:
    """Parse one file. Never raises: what is wrong is in ``problems`` of the document."""
    document = Document(file=file)
    try:
        text = _text(document, raw)
        _Reader(document).run(text)
    except _Stop:
        document.data = None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _wrong(document, _words(error.problem), mark.line + 1 if mark else 1, mark.column + 1 if mark else 1)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _wrong(document, "this is not YAML that can be read: " + _words(type(error).__name__), 1, 1)
    return document


def _words(problem: str | None) -> str:
    """Return the parser's own words, without a full stop and never more than a line."""
    return (problem or "this is not valid YAML").splitlines()[0].strip().rstrip(".")


def _wrong(document: Document, message: str, line: int, column: int, suggestion: str | None = None) -> None:
    document.problems.append(
        Problem(file=document.file, line=line, column=column, message=message, suggestion=suggestion)
    )


def _text(document: Document, raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        _wrong(document, f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", 0, 0, "split it")
        raise _Stop
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        _wrong(document, "this is not UTF-8 text", line, 1, "save the file as UTF-8")
        raise _Stop from None
    tab = text.find("\t")
    if tab >= 0:
        line, start = text.count("\n", 0, tab) + 1, text.rfind("\n", 0, tab)
        _wrong(document, "a tab stands here", line, tab - start, "use spaces")
        raise _Stop
    return text


@dataclass(slots=True)
class _List:
    items: list[object]
    path: Key


@dataclass(slots=True)
class _Mapping:
    items: dict[str, object]
    path: Key
    key: str | None = None  # the key that waits for its value


class _Reader:
    """Builds data and marks from events, without recursion."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.open: list[_List | _Mapping] = []
        self.nodes = 0
        self.started = False

    def run(self, text: str) -> None:
        for event in yaml.parse(text, Loader=_LOADER):
            match event:
                case yaml.ScalarEvent():
                    self.scalar(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self.start(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self.open.pop()
                case yaml.AliasEvent():
                    self.stop(event, "an alias stands here", "write the value out")
                case yaml.DocumentStartEvent():
                    self.document_start(event)
                case _:
                    pass

    def stop(self, event: yaml.Event, message: str, suggestion: str | None = None) -> NoReturn:
        line, column = _place(event)
        _wrong(self.document, message, line, column, suggestion)
        raise _Stop

    def document_start(self, event: yaml.DocumentStartEvent) -> None:
        if self.started:
            self.stop(event, "a second document starts here", "one file holds one document")
        if event.version not in {None, (1, 2)} or event.tags:
            self.stop(event, "a directive stands here", "remove it; files are YAML 1.2")
        self.started = True

    def check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self.stop(event, "an anchor stands here", "write the value out where it is needed")
        if event.tag is not None:
            self.stop(event, f"a tag `{str(event.tag)[:40]}` stands here", "remove it")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop(event, f"the file has more than {MAX_NODES:,} values", "split it")

    def put(self, event: yaml.Event, value: object) -> Key:
        """Put a value where it belongs and return its path, marked."""
        if not self.open:
            self.document.data = value
            self.document.marks[()] = _place(event)
            return ()
        match self.open[-1]:
            case _List(items=items, path=base):
                path: Key = (*base, len(items))
                self.document.marks[path] = _place(event)
                items.append(value)
                return path
            case _Mapping(items=mapping, path=base, key=str(key)) as holder:
                mapping[key] = value
                holder.key = None
                return (*base, key)  # marked where its key stands
            case _:
                pass
        return self.stop(event, "a key must be a word", "write `key: value`")

    def start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self.check(event)
        if len(self.open) >= MAX_DEPTH:
            self.stop(event, f"this is nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.MappingStartEvent):
            mapping: dict[str, object] = {}
            self.open.append(_Mapping(items=mapping, path=self.put(event, mapping)))
        else:
            items: list[object] = []
            self.open.append(_List(items=items, path=self.put(event, items)))

    def scalar(self, event: yaml.ScalarEvent) -> None:
        self.check(event)
        plain = event.style is None or event.style == ""
        value: object = _resolve(event.value) if plain else str(event.value)
        match self.open[-1:]:
            case [_Mapping(key=None) as holder]:
                self.new_key(event, holder, value)
            case _:
                self.put(event, value)

    def new_key(self, event: yaml.ScalarEvent, holder: _Mapping, name: object) -> None:
        shown = str(event.value)[:40]
        if not isinstance(name, str) or isinstance(name, Unquoted):
            self.stop(event, f"the key `{shown}` is not text", f'quote it: "{shown}"')
        path = (*holder.path, name)
        if name in holder.items:
            first = self.document.marks[path]
            self.stop(event, f"the key `{shown}` stands twice", f"the first is at line {first[0]}")
        self.document.marks[path] = _place(event)
        holder.key = name


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _resolve(value: str) -> object:
    """Resolve an unquoted scalar by the core schema of YAML 1.2, except that fractions stay text."""
    if value and value[0] not in _RESOLVABLE:  # nearly every word is just a word
        return value
    if value in _NULLS:
        return None
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    if _INT.fullmatch(value):
        return int(value)
    if _FLOAT.fullmatch(value):
        return Unquoted(value)
    return value
