"""What a bundle says about money, and how it differs from another one's: for finance to approve.

Budgets, cost centres, accounts, currency and time zone of ``teams.yaml``; every price, exchange rate
and rate of own hardware. Who may call what, and by which rules, is not finance's to approve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from gateway.policy.source import Key, read, spoken

_TEAMS = "teams.yaml"
_POOLS = "pools.yaml"
_PRICES = "prices/"
_OF_MONEY = frozenset({"budget", "cost_centre", "books", "currency", "timezone"})

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One value: as it is written, and where."""

    value: str
    at: str  # file:line


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """All that a bundle says about money. ``hash`` is the same for the same content, wherever it stands."""

    values: Mapping[Path, Said]

    @property
    def hash(self) -> str:
        """SHA-256 over paths and values."""
        data = sorted([list(path), said.value] for path, said in self.values.items())
        return hashlib.sha256(orjson.dumps(data)).hexdigest()


def money_of(files: Mapping[str, bytes]) -> Money:
    """Return what files (name → bytes) say about money. Files that cannot be read say nothing."""
    values: dict[Path, Said] = {}
    for name in sorted(files):
        if name not in {_TEAMS, _POOLS} and not name.startswith(_PRICES):
            continue
        document = read(name, files[name])
        first: Path = (name,) if name in {_TEAMS, _POOLS} else ("prices",)
        for path, key, value in _leaves(document.data, first, ()):
            if name != _TEAMS or any(_counts(step) for step in path):
                values[path] = Said(value=value, at=document.at(key))
    return Money(values=values)


def _counts(step: str) -> bool:
    return step in _OF_MONEY or step.endswith("_budget")


def _leaves(value: object, path: Path, key: Key) -> Iterator[tuple[Path, Key, str]]:
    """Yield every value with its path in words and its place in the document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)), (*key, str(name)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*path, _name(inner, number)), (*key, number))
    else:
        yield path, key, "" if value is None else str(value)


def _name(item: object, number: int) -> str:
    """Return what an item of a list is known by, so that moving it is no change."""
    if isinstance(item, dict):
        if "id" in item:
            return str(item["id"])
        if "base" in item:
            return f"{item.get('base')}/{item.get('quote')} from {item.get('from')}"
        if "code" in item:
            return f"from {item.get('from')}"
    return str(number + 1)


# ------------------------------------------------------------------------------ changes


def changes(old: Money, new: Money) -> tuple[str, ...]:
    """Return every change in a sentence: ``teams.yaml:14 teams.branch.budget.limit: 2500.00 → 3000.00``."""
    said: list[tuple[Path, str]] = []
    whole_old, whole_new = _items(old), _items(new)
    for item in sorted(whole_new - whole_old):
        found = {path: value for path, value in new.values.items() if path[: len(item)] == item}
        at = next(iter(found.values())).at
        said.append((item, f"{at} {_words(item)}: new ({_summary(found)})"))
    for item in sorted(whole_old - whole_new):
        at = next(value.at for path, value in old.values.items() if path[: len(item)] == item)
        said.append((item, f"{at} {_words(item)}: removed"))
    listed = whole_new ^ whole_old
    for path in sorted({*old.values, *new.values}):
        if any(path[: len(item)] == item for item in listed):
            continue
        before, after = old.values.get(path), new.values.get(path)
        if before is None and after is not None:
            said.append((path, f"{after.at} {_words(path)}: {after.value} is new"))
        elif after is None and before is not None:
            said.append((path, f"{before.at} {_words(path)}: {before.value} is removed"))
        elif before is not None and after is not None and before.value != after.value:
            said.append((path, f"{after.at} {_words(path)}: {before.value} → {after.value}"))
    return tuple(sentence for _, sentence in sorted(said))


def _items(money: Money) -> frozenset[Path]:
    """Return the things that come and go whole: a price, an exchange rate, a pool."""
    found = set()
    for path in money.values:
        if path[0] == "prices":
            found.add(path[: 3 if path[1] == "rates" else 2])
        elif path[0] == _POOLS and len(path) > 2:
            found.add(path[:3])
    return frozenset(found)


def _words(path: Path) -> str:
    return spoken(path[1:]) if path[0] in {_TEAMS, _POOLS} else f"price {spoken(path[1:])}"


def _summary(found: Mapping[Path, Said]) -> str:
    """Return the amounts of a new price: its meters, or its rate."""
    parts = [
        f"{path[-1]} {said.value}"
        for path, said in found.items()
        if "meters" in path or path[-1] in {"rate", "currency", "deployment", "per_gpu_hour", "free"}
    ]
    return ", ".join(parts) or f"{len(found)} values"
