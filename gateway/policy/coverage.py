"""Which rules the tests exercise, and which rules change nothing: for ``policy test`` and ``check``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from gateway.core.decide import by_use, in_scope
from gateway.core.rules import Rule
from gateway.core.snapshot import Snapshot
from gateway.policy.bundle import Bundle
from gateway.policy.problems import Problem
from gateway.policy.prove import anybody, label_set
from gateway.policy.schema import USES


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The rules of a bundle, by whether a test names them."""

    tested: tuple[str, ...]
    untested: tuple[str, ...]

    @override
    def __str__(self) -> str:
        """Return ``8 of 9 rules have a test; none for OK-2``."""
        total = len(self.tested) + len(self.untested)
        missing = f"; none for {', '.join(self.untested)}" if self.untested else ""
        return f"{len(self.tested)} of {total} rules have a test{missing}"


def coverage(bundle: Bundle, snapshot: Snapshot) -> Coverage:
    """Return which rules have a test, as ``policy check`` counts them: it warns of each that has none."""
    bare = {
        rule.id
        for rule in snapshot.rules.rules
        if any(f"the rule `{rule.id}` has no test" in warning.message for warning in bundle.warnings)
    }
    ids = [rule.id for rule in snapshot.rules.rules]
    return Coverage(
        tested=tuple(name for name in ids if name not in bare),
        untested=tuple(name for name in ids if name in bare),
    )


def sourced(bundle: Bundle) -> frozenset[str]:
    """Return the rules that name their source: a law, a contract, a regulator's letter."""
    rules = [*bundle.policy.rules, *(rule for unit in bundle.units for rule in unit.value.rules)]
    return frozenset(rule.id for rule in rules if rule.source is not None)


def shadowed(snapshot: Snapshot, *, now: int, apart: frozenset[str] = frozenset()) -> list[Problem]:
    """Return warnings of rules that refuse nothing which other rules do not refuse already.

    Rules in ``apart`` stand for a source of their own, and stay when the other rule goes: two laws
    that ask for the same thing are no mistake.
    """
    found: list[Problem] = []
    for rule in snapshot.rules.rules:
        if rule.id in apart:
            continue
        if rule.passes is None or not rule.refuses or rule.caller_must_be_in is not None:
            continue
        alone, others = _refused(rule, snapshot, now=now)
        if alone or not others:
            continue
        file, _, line = rule.at.rpartition(":")
        names = ", ".join(sorted(others))
        message = f"the rule `{rule.id}` refuses nothing that {names} would not refuse: others shadow it"
        found.append(Problem(file=file, line=int(line), column=1, message=message))
    return found


def _refused(rule: Rule, snapshot: Snapshot, *, now: int) -> tuple[bool, set[str]]:
    """Return whether a rule alone refuses anything, and which others refuse what it refuses."""
    others: set[str] = set()
    for app, use, labels in _cells(rule, snapshot):
        refuses = _refuses(rule, use, now, snapshot)
        if not refuses:
            continue
        rest = 0
        for other in snapshot.rules.rules:
            if other is rule or not _matches(other, app, use, labels, snapshot):
                continue
            refused = refuses & _refuses(other, use, now, snapshot)
            if refused:
                others.add(other.id)
                rest |= refused
        if refuses & ~rest:
            return True, others
    return False, others


def _cells(rule: Rule, snapshot: Snapshot) -> Iterable[tuple[str, str, frozenset[str]]]:
    for app in snapshot.apps.values():
        for label in snapshot.rules.labels:
            labels = label_set(app, label, snapshot.rules)
            if labels is None:
                continue
            for use in USES:
                if _matches(rule, app.id, use, labels, snapshot):
                    yield app.id, use, labels


def _matches(rule: Rule, app_id: str, use: str, labels: frozenset[str], snapshot: Snapshot) -> bool:
    if rule.passes is None or not rule.refuses:
        return False
    if rule.data is not None and rule.data.isdisjoint(labels):
        return False
    app = snapshot.apps[app_id]
    return in_scope(rule.scope, anybody(app, use, labels), app, snapshot.tenant, doubt=False)


def _refuses(rule: Rule, use: str, now: int, snapshot: Snapshot) -> int:
    """Return the deployments that a rule refuses among those that serve a use, exceptions apart."""
    if rule.passes is None:
        return 0
    alive = snapshot.rules.alive.at(now) & snapshot.rules.uses.get(use, 0)
    return alive & ~by_use(rule.passes, use).at(now)
