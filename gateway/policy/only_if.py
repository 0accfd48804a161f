"""``only_if``: one CEL expression on a rule that allows, which can take the permission away.

It sees who calls and for what, never what kind of data, so that a further label still only
narrows; and it is asked only where a rule would allow, so proofs hold whatever it returns.
Doubt (an error, a name that is not known of this call, anything that is not a truth) is *no*.
The library is loaded where a policy has an expression, and nowhere else: it brings a console with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from gateway.core.rules import Condition, Subject
from gateway.policy.problems import did_you_mean

NAMES = ("app", "team", "groups", "use", "purpose", "place", "claims", "features", "model")
"""What an expression may look at. ``purpose`` and ``place`` are not there while they are unknown."""

MAX_LENGTH = 500

T = TypeVar("T")

_BOUND = re.compile(r"\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_]\w*)\s*,")


class _Program(Protocol):
    def variables(self) -> Iterable[str]: ...

    def functions(self) -> Iterable[str]: ...

    def execute(self, context: dict[str, object]) -> object: ...


class NotUsable(Exception):
    """An expression that cannot stand in a policy. ``suggestion`` may say what was meant."""

    def __init__(self, message: str, suggestion: str | None = None) -> None:
        """Keep the message and the nearest right word."""
        super().__init__(message)
        self.suggestion = suggestion


def condition(text: str, apps: Mapping[str, tuple[str, frozenset[str]]]) -> Condition:
    """Return what an expression says of a subject. ``apps``: app → its team and groups.

    Raises NotUsable for what does not parse, names what is not there, or is no truth when it is
    tried on made-up calls.
    """
    program = _compiled(text)
    bound = set(_BOUND.findall(text))  # what `claims.group.exists(g, …)` calls one of them
    unknown = sorted(set(program.variables()) - set(NAMES) - bound)
    if unknown:
        raise NotUsable(f"`{unknown[0][:40]}` is nothing that a call has", did_you_mean(unknown[0], NAMES))
    for made_up in _MADE_UP:
        _try(program, made_up)

    def holds(subject: Subject) -> bool:
        try:
            return _guarded(lambda: program.execute(_context(subject, apps))) is True
        except _Broken:
            return False

    return holds


class _Broken(Exception):
    """The library could not do it; ``cause`` is what it raised."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _guarded(work: Callable[[], T]) -> T:
    """Return what the library gives. Raises _Broken for whatever it raises."""
    try:
        return work()
    except (KeyboardInterrupt, SystemExit):
        raise
    # boundary: an expression is anybody's text, and panics of the library are no Exceptions
    except BaseException as error:  # noqa: BLE001
        raise _Broken(error) from None


def _compiled(text: str) -> _Program:
    if len(text) > MAX_LENGTH:
        raise NotUsable(f"the expression is longer than {MAX_LENGTH} characters")
    import cel  # noqa: PLC0415 (a console and its colours come with it: a fifth of a second)

    try:
        return _guarded(lambda: cel.compile(text))
    except _Broken as broken:
        raise NotUsable(f"this is no CEL expression: {_first_line(broken.cause)}") from None


def _first_line(error: BaseException) -> str:
    text = str(error).partition("ERROR: ")[2] or str(error)
    return text.splitlines()[0][:160] if text else type(error).__name__


def _try(program: _Program, context: dict[str, object]) -> None:
    try:
        result = _guarded(lambda: program.execute(context))
    except _Broken as broken:
        if isinstance(broken.cause, KeyError):
            return  # a claim that this caller does not have: doubt, so no
        raise NotUsable(f"this fails on a made-up call: {_first_line(broken.cause)}") from None
    if not isinstance(result, bool):
        raise NotUsable("this is no condition", "write something that is true or false")


def _context(subject: Subject, apps: Mapping[str, tuple[str, frozenset[str]]]) -> dict[str, object]:
    team, groups = apps.get(subject.app, ("", frozenset[str]()))
    claims: dict[str, list[str]] = {}
    for key, value in subject.claims:
        claims.setdefault(key, []).append(value)
    known: dict[str, object] = {
        "app": subject.app,
        "team": team,
        "groups": sorted(groups),
        "use": subject.use,
        "claims": claims,
        "features": sorted(subject.features),
        "model": subject.model,
    }
    # What is unknown is left out, so that looking at it is an error, which is doubt: a null would
    # make `place != "US"` true of a caller whose place nobody knows.
    if subject.purpose is not None:
        known["purpose"] = subject.purpose
    if subject.place is not None:
        known["place"] = subject.place
    return known


_MADE_UP: tuple[dict[str, object], ...] = tuple(
    {
        "app": "app",
        "team": "team",
        "groups": groups,
        "use": use,
        "claims": claims,
        "features": features,
        "model": "model",
        "purpose": "purpose",
        "place": place,
    }
    for groups, use, claims, features, place in (
        (["registered"], "chat", {"group": ["staff"]}, [], "CA-QC"),
        ([], "embeddings", {}, ["web_search"], "US"),
    )
)
