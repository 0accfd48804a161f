"""A third opinion, by somebody else's engine: a bundle's files as Cedar policies and entities.

Rules that allow become ``permit``; every ``must``, duty and fact that can refuse becomes
``forbid``; places are entities in a hierarchy, so that "inside Canada" is Cedar's own ``in``.
Cedar decides one deployment at a time; it shares neither tables nor order with our compiler.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import cedarpy

from gateway.core.values import LabelledCall
from tests.policy.written import CODES

Data = dict[str, dict[str, Any]]

WITHIN = {"CA-QC": "CA", "CA-ON": "CA", "FR": "EU"}
CONDITIONS = {
    'place == "CA-QC"': 'context.place == "CA-QC"',
    'place != "US"': 'context.place != "" && context.place != "US"',
    '"mcp" in features || app == "one"': 'context.features.contains("mcp") || principal == App::"one"',
    '"gold" in claims.plan': 'context.plans.contains("gold")',
}
RUNGS = ["declared", "page", "contract", "probe", "response"]
UNIVERSE = sorted({*CODES, "FR"} - {"unknown"})
FAR = 2**62


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _ends(day: str) -> int:
    end = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
    return int(end.timestamp()) * 1_000_000_000


def _all(parts: list[str]) -> str:
    return " && ".join(f"({part})" for part in parts) or "true"


def _any(parts: list[str]) -> str:
    return " || ".join(f"({part})" for part in parts) or "false"


def _set(values: Any) -> str:
    return json.dumps(sorted(values))


# ------------------------------------------------------------------------------- in Cedar's words


def _allowed(names: Any, places: dict[str, list[str]]) -> str:
    codes = sorted({code for name in _list(names) for code in places.get(name, [name])})
    return "[" + ", ".join(f'Place::"{code}"' for code in codes) + "]"


def _all_inside(fact: str, allowed: str) -> str:
    return _all(
        [f'context.now < resource.{fact}_ends && !resource.{fact}.contains("unknown")']
        + [f'!resource.{fact}.contains("{code}") || Place::"{code}" in {allowed}' for code in UNIVERSE]
    )


def _caller_inside(names: Any, places: dict[str, list[str]]) -> str:
    allowed = _allowed(names, places)
    return _any([f'context.place == "{code}" && Place::"{code}" in {allowed}' for code in UNIVERSE])


def _scope(scope: dict[str, Any], places: Any, *, doubt: bool) -> str:
    parts = []
    if "use" in scope:
        parts.append(f"{_set(_list(scope['use']))}.contains(context.use)")
    if "app" in scope:
        parts.append(f"context.groups.containsAny({_set(_list(scope['app']))})")
    if "team" in scope:
        parts.append(f"{_set(_list(scope['team']))}.contains(context.team)")
    if "purpose" in scope:
        known = f"{_set(_list(scope['purpose']))}.contains(context.purpose)"
        parts.append(f'context.purpose == "" || {known}' if doubt else known)
    if "caller_in" in scope:
        known = _caller_inside(scope["caller_in"], places)
        parts.append(f'context.place == "" || {known}' if doubt else f'context.place != "" && ({known})')
    return _all(parts)


def _document(name: str) -> str:
    return f"context.now < resource.has_{name}"


def _test(key: str, wanted: Any, places: Any) -> str:
    if key == "rung":
        return _all([f"resource.rung_{fact} >= {RUNGS.index(least)}" for fact, least in wanted.items()])
    if key in {"processed_in", "stored_in"}:
        return _all_inside(key, _allowed(wanted, places))
    if key == "keeps_content_days":
        return f"resource.keeps >= 0 && resource.keeps <= {wanted['at_most']}"
    if key == "has":
        return _all([_document(name) for name in _list(wanted)])
    if key == "baa_covers":
        return "resource.baa_covers.contains(context.use)"
    return f"{_set(_list(wanted))}.contains(resource.{key})"


def _must(must: dict[str, Any], lets: dict[str, Any], places: Any) -> str:
    stand_in = _any([_document(name) for name in must.get("or_has", [])])
    parts = []
    for key, wanted in must.items():
        if key in {"or_has", "caller_in"}:
            continue
        asked = wanted
        if key in lets and key in {"processed_in", "vendor"}:
            asked = [*_list(wanted), *_list(lets[key])]
        elif key in lets and key == "has":
            asked = [name for name in _list(wanted) if name not in _list(lets[key])]
        elif key in lets:
            asked = {"at_most": max(wanted["at_most"], lets[key]["at_most"])}
        test = _test(key, asked, places)
        parts.append(_any([test, stand_in]) if key in {"processed_in", "stored_in"} else test)
    return _all(parts)


def _below(names: list[str], kinds: dict[str, Any]) -> set[str]:
    def above(name: str) -> set[str]:
        return {name}.union(*(above(parent) for parent in _list(kinds[name].get("is_also", []))))

    return {name for name in kinds if name != "unlabelled" and above(name) & set(names)}


def policies(data: Data) -> str:
    """Return the bundle's rules as Cedar policies."""
    policy = data["policy.yaml"]
    places, kinds = policy["places"], policy["data"]
    layer = data.get("units/u.yaml", {"rules": [], "for": {}})
    layered = [(rule, {}) for rule in policy["rules"]] + [(rule, layer["for"]) for rule in layer["rules"]]
    about = "principal, action, resource"
    known = sorted(set(kinds) - {"unlabelled"})
    written = [
        f"forbid({about}) unless {{ {_set(known)}.containsAll(context.labels) }};",
        f"forbid({about}) unless {{ context.now < resource.stale }};",
        f"forbid({about}) unless {{ resource.uses.contains(context.use) }};",
        f"forbid({about}) unless {{ resource.covers.containsAll(context.features) }};",
    ]
    for rule, around in layered:
        if rule.get("shadow"):
            continue
        parts = [
            _scope(around, places, doubt=True),
            _scope(rule["for"], places, doubt=not rule.get("allow")),
        ]
        if "data" in rule["for"]:
            parts.append(f"context.labels.containsAny({_set(_list(rule['for']['data']))})")
        when = _all(parts)
        if rule.get("allow"):
            condition = CONDITIONS[rule["only_if"]] if "only_if" in rule else "true"
            written.append(f"permit({about}) when {{ {_all([when, condition])} }};")
        written += [f"forbid({about}) when {{ {_all([when, duty])} }};" for duty in _duties(rule)]
        must = rule.get("must")
        if must is None or rule["strength"] == "warn":
            continue
        if "caller_in" in must:
            inside = _caller_inside(must["caller_in"], places)
            written.append(f"forbid({about}) when {{ {when} }} unless {{ {inside} }};")
        ways = [_must(must, {}, places)]
        for exception in policy["exceptions"]:
            if exception["rule"] != rule["id"]:
                continue
            scope = exception["for"]
            limits = [_scope(scope, places, doubt=False), f"context.now < {_ends(exception['until'])}"]
            if "data" in scope:
                limits.append(f"{_set(_below(_list(scope['data']), kinds))}.containsAll(context.labels)")
            ways.append(_all([*limits, _must(must, exception["lets"], places)]))
        written.append(f"forbid({about}) when {{ {when} }} unless {{ {_any(ways)} }};")
    return "\n".join(written)


def _duties(rule: dict[str, Any]) -> list[str]:
    found = []
    for duty in rule.get("do", []):
        if duty == "no_store":
            found.append('context.features.contains("store")')
        elif isinstance(duty, dict) and "ask" in duty:
            found.append("true")
        elif isinstance(duty, dict) and "forbid_tools" in duty:
            found.append(f"context.features.containsAny({_set(duty['forbid_tools'])})")
    return found


# ------------------------------------------------------------------------------------- the world


def _fact(facts: dict[str, Any], key: str) -> tuple[list[str], int, int, int]:
    """Return a place fact: its codes, when it ends, its rung, and when that ends."""
    value = facts.get(key)
    if isinstance(value, dict):
        seen = date.fromisoformat(value.get("seen", facts["seen"]))
        days = value.get("good_for_days", facts["recheck_days"])
        ends = _ends((seen + timedelta(days=days)).isoformat())
        return value["value"], ends, RUNGS.index(value.get("rung", facts.get("rung", "declared"))), ends
    known = value if value is not None else ["unknown"]
    return known, FAR, RUNGS.index(facts.get("rung", "declared")), FAR


def _deployment(name: str, facts: dict[str, Any], now: int) -> dict[str, Any]:
    seen = date.fromisoformat(facts["seen"])
    days = facts.get("keeps_content_days")
    attrs: dict[str, Any] = {
        "stale": _ends((seen + timedelta(days=facts["recheck_days"])).isoformat()),
        "uses": facts["uses"],
        "covers": facts.get("covers", []),
        "vendor": facts["vendor"],
        "keeps": days if isinstance(days, int) else -1,
        "trains_on_data": facts.get("trains_on_data", "unknown"),
        "baa_covers": facts.get("baa_covers", []),
    }
    for paper in ("dpa", "soc2"):
        day = facts.get("has", {}).get(paper)
        attrs[f"has_{paper}"] = _ends(day) if day else 0
    for key in ("processed_in", "stored_in"):
        codes, ends, rung, until = _fact(facts, key)
        attrs |= {key: codes, f"{key}_ends": ends, f"rung_{key}": rung if now < until else -1}
    return {"uid": {"type": "Deployment", "id": name}, "attrs": attrs, "parents": []}


def permitted(data: Data, labelled: LabelledCall, now: int) -> tuple[str, ...]:
    """Return the deployments that Cedar would let a call go to, in the route's order."""
    call = labelled.call
    team, app = next(
        (t, value["apps"][call.caller.app])
        for t, value in data["teams.yaml"]["teams"].items()
        if call.caller.app in value["apps"]
    )
    facts = data["deployments.yaml"]["deployments"]
    entities = [_deployment(name, facts[name], now) for name in facts]
    entities += [
        {
            "uid": {"type": "Place", "id": code},
            "attrs": {},
            "parents": [{"type": "Place", "id": WITHIN[code]}] if code in WITHIN else [],
        }
        for code in UNIVERSE
    ]
    context = {
        "now": now,
        "labels": sorted(labelled.label_names),
        "features": sorted(call.features),
        "use": "embeddings" if call.surface == "embeddings" else "chat",
        "groups": [call.caller.app, "registered", *app.get("groups", [])],
        "team": team,
        "purpose": app.get("purpose", call.purpose) or "",
        "place": call.caller.place or "",
        "plans": [value for key, value in call.caller.claims if key == "plan"],
    }
    rules = cedarpy.PolicySet.from_str(policies(data))
    world = cedarpy.Entities.from_json_str(json.dumps(entities))
    found = []
    for name in data["routes.yaml"]["routes"]["m"]["try"]:
        request = {
            "principal": {"type": "App", "id": call.caller.app},
            "action": {"type": "Action", "id": "send"},
            "resource": {"type": "Deployment", "id": name},
            "context": context,
        }
        result = cedarpy.is_authorized(request, rules, world)
        assert not result.diagnostics.errors, result.diagnostics.errors
        if result.allowed:
            found.append(name)
    return tuple(found)
