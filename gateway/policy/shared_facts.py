"""Shared facts: ``like`` starts a deployment from an entry of ``facts/*.yaml``, and its own facts win.

A pack says what a vendor's pages say; a firm's own file says what its contract says. INVARIANT:
what is taken from a pack keeps the pack's source, day and rung, so that it lapses when the pack's
reading does; and an own fact that claims *more* than the pack needs evidence: the rung
``contract`` or above. Claiming less (``unknown``, more places, more days) needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TypeVar

from gateway.policy.bundle import Placed
from gateway.policy.problems import Problem, did_you_mean
from gateway.policy.schema import PROVEN_FACTS, RUNGS, DeploymentModel, Fact, FactsFile
from gateway.policy.source import Document, Key

T = TypeVar("T")

EVIDENCE = RUNGS[RUNGS.index("contract") :]
"""The rungs on which an own fact may claim more than a pack."""

_OWN_ONLY = frozenset({"seen", "recheck_days", "source", "rung", "proof", "note"})


def plain(value: Fact[T] | T) -> T:
    """Return a fact's value, whichever way it is written."""
    return value.value if isinstance(value, Fact) else value


def entries(
    packs: Iterable[Placed[FactsFile]], problems: list[Problem]
) -> dict[str, Placed[DeploymentModel]]:
    """Return the entries of all packs by name; the same name twice is a problem."""
    found: dict[str, Placed[DeploymentModel]] = {}
    for pack in packs:
        for name, facts in pack.value.deployments.items():
            path: Key = ("deployments", name)
            if name in found:
                message = f"`{name}` stands in {found[name].document.file} too"
                problems.append(pack.document.problem(path, message, "choose another name"))
            if facts.like is not None:
                message = "an entry of a pack stands on its own"
                problems.append(pack.document.problem((*path, "like"), message, "write its facts out"))
            found[name] = Placed(value=facts, document=pack.document, path=path)
    return found


def merged(
    document: Document, packs: Mapping[str, Placed[DeploymentModel]], problems: list[Problem]
) -> object:
    """Return the data of deployments.yaml with what each ``like`` brings. The data is not changed."""
    data = document.data
    deployments = data.get("deployments") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(deployments, dict):
        return data
    whole: dict[object, object] = {}
    for name, own in deployments.items():
        whole[name] = own
        like = own.get("like") if isinstance(own, dict) else None
        if not isinstance(own, dict) or not isinstance(like, str):
            continue
        pack = packs.get(like)
        if pack is None:
            path: Key = ("deployments", str(name), "like")
            message = f"no pack under facts/ has an entry `{like[:60]}`"
            problems.append(document.problem(path, message, did_you_mean(like, packs)))
            # Its own problems are found when the pack is there; a stub would only add noise.
            del whole[name]
            continue
        whole[name] = {**_taken(pack, own), **own}
    return {**data, "deployments": whole}


def _taken(pack: Placed[DeploymentModel], own: Mapping[object, object]) -> dict[str, object]:
    """Return what a deployment takes from an entry, each fact with the entry's provenance."""
    entry, written = pack.value, pack.document.data
    for step in pack.path:
        written = written[step] if isinstance(written, dict) else None
    taken: dict[str, object] = {}
    for key, value in written.items() if isinstance(written, dict) else ():
        # Own facts must not borrow the pack's word for how well they are known.
        if key in own or key in {"source", "rung", "note", "proof"}:
            continue
        if key not in PROVEN_FACTS:
            taken[key] = value
            continue
        rich: dict[str, object] = value if isinstance(value, dict) else {"value": value}
        taken[key] = {
            "source": entry.source,
            "seen": entry.seen.isoformat(),
            "good_for_days": entry.recheck_days,
            "rung": entry.rung,
            **rich,
        }
    return taken


def overreaching(own: DeploymentModel, pack: DeploymentModel, stated: Iterable[str]) -> list[str]:
    """Return the facts, out of those that a deployment states itself, that claim more without evidence."""
    return [fact for fact in stated if fact not in _OWN_ONLY and _claims_more(fact, own, pack)]


def _claims_more(fact: str, own: DeploymentModel, pack: DeploymentModel) -> bool:
    mine = getattr(own, fact)
    rung = mine.rung if isinstance(mine, Fact) and mine.rung is not None else own.rung
    if rung in EVIDENCE:
        return False
    said, theirs = plain(mine), plain(getattr(pack, fact))
    if fact in {"covers", "uses", "baa_covers"}:
        return not set(said) <= set(theirs)
    if fact not in PROVEN_FACTS or said is None or said == "unknown":
        return False
    if said == theirs:
        return False
    if isinstance(said, list):
        known = isinstance(theirs, list) and bool(theirs) and "unknown" not in theirs
        return not ("unknown" in said or (known and set(theirs) <= set(said)))
    if isinstance(said, int) and isinstance(theirs, int):
        return said < theirs
    return True


def stale(facts: DeploymentModel, fact: str) -> tuple[date, int] | None:
    """Return (seen, days) of a fact with a day of its own, or ``None``."""
    value = getattr(facts, fact)
    if not isinstance(value, Fact) or (value.seen is None and value.good_for_days is None):
        return None
    return value.seen or facts.seen, value.good_for_days or facts.recheck_days
