"""Who bears what was paid by time: shares and idle capacity laid on the calls that they served. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.adapters.store_sql.reports import USAGE, Sums
from gateway.core.gpu import apportion

BASE = ("alias", "deployment", "app")
"""What the sums must be told apart by, for shares to find their calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One group: what was done and what it cost. ``idle_nano`` is the part of ``nano`` that idled.

    ``worth`` is what its calls would have cost by the call, in the currency of their price.
    """

    group: tuple[str, ...]
    calls: int
    attempts: int
    tokens_in: int
    tokens_out: int
    nano: int
    idle_nano: int = 0
    worth: int = 0


def attributed(sums: Sequence[Sums], base: Sequence[str]) -> list[Used]:
    """Return what each group used and all that it cost. Pure.

    ``sums`` are by ``base`` (which names alias, deployment and app) and, last, by kind of charge.
    INVARIANT: the costs sum to the costs of ``sums``.
    """
    alias, deployment, app = (base.index(name) for name in BASE)
    found: dict[tuple[str, ...], Used] = {}
    shared: dict[tuple[str, str, bool], list[Used]] = {}
    for item in sums:
        group = tuple(_shown(value) for value in item.group[:-1])
        kind = item.group[-1]
        used = Used(
            group=group,
            calls=item.calls,
            attempts=item.attempts,
            tokens_in=item.tokens_in,
            tokens_out=item.tokens_out,
            nano=item.spend_nano,
            worth=item.contracted_nano if kind == USAGE else 0,
        )
        if kind == USAGE or item.group[alias] or not item.group[deployment]:
            found[group] = _more(found.get(group), used)
            continue
        user = item.group[app] or ""
        idles = kind in _BY_TIME and not user
        shared.setdefault((group[deployment], user, idles), []).append(used)
    calls = [used for used in found.values() if used.attempts]
    for (place, user, idles), parts in sorted(shared.items()):
        amount = sum(part.nano for part in parts)
        here = [
            used
            for used in calls
            if used.group[deployment] == place and (not user or used.group[app] == user)
        ]
        laid = _laid(amount, here)
        if not laid:
            for part in parts:
                own = replace(part, idle_nano=part.nano if idles else 0)
                found[part.group] = _more(found.get(part.group), own)
        for group, nano in laid.items():
            used = found[group]
            found[group] = replace(
                used, nano=used.nano + nano, idle_nano=used.idle_nano + (nano if idles else 0)
            )
    return list(found.values())


_BY_TIME = frozenset({"reserved", "gpu"})


def _laid(amount: int, here: Sequence[Used]) -> dict[tuple[str, ...], int]:
    """Share an amount by what the calls were worth, else by their tokens, else by their number."""
    for weights in (
        {used.group: max(0, used.worth) for used in here},
        {used.group: used.tokens_in + used.tokens_out for used in here},
        {used.group: used.attempts for used in here},
    ):
        if sum(weights.values()) > 0:
            return apportion(amount, weights)
    return {}


def grouped(used: Sequence[Used], columns: int) -> list[Used]:
    """Return the same by the first columns only, in order; what belongs to nobody last."""
    found: dict[tuple[str, ...], Used] = {}
    for item in used:
        group = item.group[:columns]
        found[group] = _more(found.get(group), replace(item, group=group))
    return [
        found[group] for group in sorted(found, key=lambda group: tuple((v in _NOBODY, v) for v in group))
    ]


_NOBODY = frozenset({"unallocated", "–"})


def _more(one: Used | None, other: Used) -> Used:
    if one is None:
        return other
    return Used(
        group=one.group,
        calls=one.calls + other.calls,
        attempts=one.attempts + other.attempts,
        tokens_in=one.tokens_in + other.tokens_in,
        tokens_out=one.tokens_out + other.tokens_out,
        nano=one.nano + other.nano,
        idle_nano=one.idle_nano + other.idle_nano,
        worth=one.worth + other.worth,
    )


def _shown(value: str | None) -> str:
    return "unallocated" if value is None else value or "–"
