"""Where a vendor says that it ran, against where the facts say that it runs.

Some vendors report it: Anthropic in ``usage.inference_geo``, Azure in a header. A report
that contradicts ``processed_in`` is the top rung of proof, against us: the facts are wrong, so
they count as expired until somebody writes them anew. :func:`without` says that in the terms
that decisions know already, so that nothing new decides.

A report never permits anything. One that is missing or cannot be read proves nothing either way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

from gateway.core.places import GLOBAL, Places, contains, spoken, valid
from gateway.core.rules import Lapsing
from gateway.core.snapshot import Deployment, Snapshot

_SAFE = re.compile(r"[\w .,:-]{1,64}", re.ASCII)
_NOISE = re.compile(r"[^a-z0-9]+")


def _regions(text: str) -> dict[str, str]:
    pairs = (line.split(":") for line in text.split())
    return {name: place for names, place in pairs for name in names.split(",")}


# Regions as vendors call them, without dashes and spaces. Provinces for Canada, where policies ask
# for them; countries elsewhere. From the vendors' own region tables, November 2026.
_REGIONS = _regions(
    """
    canadaeast,cacentral1,northamericanortheast1,montreal,quebec:CA-QC
    canadacentral,northamericanortheast2,toronto:CA-ON cawest1,calgary:CA-AB canada:CA
    usa,unitedstates,eastus,eastus2,centralus,northcentralus,southcentralus,westcentralus,westus,westus2:US
    westus3,useast1,useast2,uswest1,uswest2,usgovwest1,usgoveast1,uscentral1,useast4,useast5,ussouth1:US
    uswest3,uswest4,usgovvirginia,usgovarizona,usgovtexas:US
    brazilsouth,brazilsoutheast,saeast1,southamericaeast1:BR southamericawest1,chilecentral:CL
    mexicocentral,mxcentral1,northamericasouth1:MX
    northeurope,euwest1:IE westeurope,europewest4:NL europewest1,belgiumcentral:BE
    uksouth,ukwest,uk,unitedkingdom,euwest2,europewest2:GB
    francecentral,francesouth,euwest3,europewest9:FR
    germanywestcentral,germanynorth,eucentral1,europewest3,europewest10:DE
    swedencentral,eunorth1,europenorth2:SE europenorth1:FI norwayeast,norwaywest:NO
    switzerlandnorth,switzerlandwest,eucentral2,europewest6:CH
    italynorth,eusouth1,europewest8,europewest12:IT spaincentral,eusouth2,europesouthwest1:ES
    polandcentral,europecentral2:PL austriaeast:AT europeanunion,europe:EU
    japaneast,japanwest,apnortheast1,apnortheast3,asianortheast1,asianortheast2:JP
    koreacentral,koreasouth,apnortheast2,asianortheast3:KR
    southeastasia,apsoutheast1,asiasoutheast1:SG eastasia,apeast1,asiaeast2:HK asiaeast1:TW
    australiaeast,australiasoutheast,australiacentral,apsoutheast2,apsoutheast4:AU
    australiasoutheast1,australiasoutheast2:AU newzealandnorth:NZ
    centralindia,southindia,westindia,apsouth1,apsouth2,asiasouth1,asiasouth2:IN
    apsoutheast3,asiasoutheast2,indonesiacentral:ID malaysiawest,apsoutheast5:MY apsoutheast7:TH
    uaenorth,uaecentral,mecentral1:AE qatarcentral:QA mesouth1:BH mecentral2:SA
    israelcentral,ilcentral1,mewest1:IL southafricanorth,southafricawest,afsouth1,africasouth1:ZA
    global,worldwide:global
    """
)


class Report(StrEnum):
    """What a report says about the facts."""

    NOTHING = "nothing"  # none came
    UNREAD = "unread"  # one came that names no place we know
    AGREES = "agrees"  # it lies within the facts, or is coarser and does not contradict them
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A vendor reported a place that its deployment's facts exclude. Holds no content and no address."""

    deployment: str
    facts: str  # digest of the facts that were contradicted
    declared: tuple[str, ...]
    reported: tuple[str, ...]
    call: str
    attempt: str
    at: int  # nanoseconds


def places_of(reported: str) -> Places | None:
    """Return the places that a vendor's words name; ``None`` if any word names none that we know."""
    if not _SAFE.fullmatch(reported):
        return None
    found: set[str] = set()
    for part in filter(None, (part.strip() for part in reported.split(","))):
        place = part if part.lower() == GLOBAL else _REGIONS.get(_NOISE.sub("", part.lower()))
        if place is None and valid(part.upper()):
            place = part.upper()
        if place is None:
            return None
        found.add(place.lower() if place.lower() == GLOBAL else place)
    return frozenset(found) or None


def look(reported: str | None, deployment: Deployment) -> Report:
    """Compare one report with the facts. Facts that name no place have nothing to contradict."""
    if not reported or deployment.processed_in is None:
        return Report.NOTHING
    places = places_of(reported)
    if places is None:
        return Report.UNREAD
    declared = deployment.processed_in
    if all(any(_meet(place, fact) for fact in declared) for place in places):
        return Report.AGREES
    return Report.DIFFERS


def _meet(reported: str, declared: str) -> bool:
    """Whether two places can both be true of one run: one lies in the other."""
    if GLOBAL in {reported, declared}:
        # Anywhere is a contradiction of somewhere; a fact that says anywhere excludes nothing.
        return declared == GLOBAL
    return contains(frozenset({declared}), reported) or contains(frozenset({reported}), declared)


def facts_digest(deployment: Deployment) -> str:
    """Return a short digest of a deployment's facts, so that a new reading of them is told from the old."""
    said = repr(sorted((name, _plain(value)) for name, value in deployment.facts.items()))
    places = sorted(deployment.processed_in or ())
    return hashlib.sha256(f"{deployment.id}\0{deployment.seen}\0{places}\0{said}".encode()).hexdigest()[:32]


def _plain(value: object) -> str:
    """Return a value as text that is the same in every process: sets have no order of their own."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return repr(sorted((str(key), _plain(inner)) for key, inner in pairs))
    if isinstance(value, frozenset | set):
        return repr(sorted(_plain(inner) for inner in cast("frozenset[object]", value)))
    if isinstance(value, list | tuple):
        return repr([_plain(inner) for inner in cast("list[object]", value)])
    return repr(value)


def mismatch(reported: str, deployment: Deployment, *, call: str, attempt: str, at: int) -> Mismatch | None:
    """Return what a report contradicts, or None."""
    if look(reported, deployment) is not Report.DIFFERS:
        return None
    return Mismatch(
        deployment=deployment.id,
        facts=facts_digest(deployment),
        declared=tuple(sorted(deployment.processed_in or ())),
        reported=tuple(sorted(places_of(reported) or ())),
        call=call,
        attempt=attempt,
        at=at,
    )


def entry(found: Mismatch, *, tenant: str, snapshot: str) -> dict[str, object]:
    """Build the journal entry ``place.mismatch``. ``at`` in microseconds."""
    return {
        "tenant": tenant,
        "deployment": found.deployment,
        "facts": found.facts,
        "declared": list(found.declared),
        "reported": list(found.reported),
        "call": found.call,
        "attempt": found.attempt,
        "snapshot": snapshot,
        "at": found.at // 1000,
    }


def reason(reported: tuple[str, ...], declared: tuple[str, ...]) -> str:
    """Return why a deployment dropped out, in words for people."""
    return (
        f"its vendor reported that it ran in {spoken(frozenset(reported))}; "
        f"the facts say {spoken(frozenset(declared))}"
    )


def without(snapshot: Snapshot, reasons: Mapping[str, str]) -> Snapshot:
    """Return the snapshot as if the facts of these deployments had expired; the same one if none is in it.

    The hash stays: the bundle is the same, the world is not. INVARIANT: it permits a subset.
    """
    gone = {name: why for name, why in reasons.items() if name in snapshot.deployments}
    if not gone:
        return snapshot
    rules = snapshot.rules
    bits = sum(1 << snapshot.deployments[name].index for name in gone)
    alive = Lapsing(times=rules.alive.times, masks=tuple(mask & ~bits for mask in rules.alive.masks))
    deployments = {
        name: replace(item, expires=0, withdrawn=gone[name]) if name in gone else item
        for name, item in snapshot.deployments.items()
    }
    return replace(snapshot, deployments=deployments, rules=replace(rules, alive=alive, memo={}))
