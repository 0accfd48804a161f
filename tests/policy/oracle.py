"""A second opinion: decides from the files' data, one deployment at a time, without tables.

Slow and plain on purpose. It shares nothing with the compiler or ``decide`` but the meaning of a
place; where the two disagree, one of them is wrong.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.core.places import inside
from gateway.core.values import LabelledCall
from tests.policy.written import CONDITIONS

Data = dict[str, dict[str, Any]]


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _over(day: str, now: int) -> bool:
    end = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
    return now >= int(end.timestamp()) * 1_000_000_000


def _codes(names: Any, places: dict[str, list[str]]) -> frozenset[str]:
    return frozenset(code for name in _list(names) for code in places.get(name, [name]))


def _above(name: str, kinds: dict[str, Any]) -> set[str]:
    return {name}.union(*(_above(parent, kinds) for parent in _list(kinds[name].get("is_also", []))))


RUNGS = ["declared", "page", "contract", "probe", "response"]


def fresh(facts: dict[str, Any], key: str, now: int) -> Any:
    """Return a fact's value, or None once its own day is over."""
    value = facts.get(key)
    if not isinstance(value, dict):
        return value
    seen = date.fromisoformat(value.get("seen", facts["seen"]))
    last = seen + timedelta(days=value.get("good_for_days", facts["recheck_days"]))
    return None if _over(last.isoformat(), now) else value["value"]


def _rung(facts: dict[str, Any], key: str, now: int) -> int:
    value = facts.get(key)
    if not isinstance(value, dict):
        return RUNGS.index(facts.get("rung", "declared"))
    stale = fresh(facts, key, now) is None
    return -1 if stale else RUNGS.index(value.get("rung", facts.get("rung", "declared")))


def _test(key: str, wanted: Any, facts: dict[str, Any], use: str, places: Any, now: int) -> bool:
    if key == "rung":
        return all(_rung(facts, fact, now) >= RUNGS.index(least) for fact, least in wanted.items())
    if key.endswith("_in") and key != "caller_in":
        value = fresh(facts, key, now)
        known = value is not None and "unknown" not in value
        return known and inside(frozenset(value), _codes(wanted, places))
    if key == "keeps_content_days":
        return isinstance(facts.get(key), int) and facts[key] <= wanted["at_most"]
    if key == "has":
        return all(p in facts.get("has", {}) and not _over(facts["has"][p], now) for p in _list(wanted))
    if key == "baa_covers":
        return use in facts.get("baa_covers", [])
    return facts.get(key) in _list(wanted)


def _must(
    must: dict[str, Any], facts: dict[str, Any], use: str, places: Any, now: int, lets: dict[str, Any]
) -> bool:
    stand_in = any(
        p in facts.get("has", {}) and not _over(facts["has"][p], now) for p in must.get("or_has", [])
    )
    for key, wanted in must.items():
        if key in {"or_has", "caller_in"}:
            continue
        asked = wanted
        if key in lets:
            match key:
                case "processed_in" | "vendor":
                    asked = [*_list(wanted), *_list(lets[key])]
                case "has":
                    asked = [p for p in _list(wanted) if p not in _list(lets[key])]
                case _:
                    asked = {"at_most": max(wanted["at_most"], lets[key]["at_most"])}
        if not _test(key, asked, facts, use, places, now) and not (
            stand_in and key in {"processed_in", "stored_in"}
        ):
            return False
    return True


def _scope(scope: dict[str, Any], who: dict[str, Any], places: Any, *, doubt: bool) -> bool:
    if "use" in scope and who["use"] not in scope["use"]:
        return False
    if "app" in scope and not ({who["app"], "registered", *who["groups"]} & set(scope["app"])):
        return False
    if "team" in scope and who["team"] not in scope["team"]:
        return False
    if (
        "purpose" in scope
        and who["purpose"] not in scope["purpose"]
        and not (who["purpose"] is None and doubt)
    ):
        return False
    if "caller_in" in scope:
        if who["place"] is None:
            return doubt
        return inside(frozenset({who["place"]}), _codes(scope["caller_in"], places))
    return True


def permitted(data: Data, labelled: LabelledCall, now: int) -> tuple[str, ...]:
    """Return the deployments that may see a call, in the route's order."""
    call, policy = labelled.call, data["policy.yaml"]
    places, kinds = policy["places"], policy["data"]
    team, app = next(
        (t, value["apps"][call.caller.app])
        for t, value in data["teams.yaml"]["teams"].items()
        if call.caller.app in value["apps"]
    )
    who = {
        "app": call.caller.app,
        "team": team,
        "groups": app.get("groups", []),
        "use": "embeddings" if call.surface == "embeddings" else "chat",
        "purpose": app.get("purpose", call.purpose),
        "place": call.caller.place,
    }
    labels = labelled.label_names
    if not labels <= set(kinds) - {"unlabelled"}:
        return ()
    layer = data.get("units/u.yaml", {"rules": [], "for": {}})
    layered = [(rule, {}) for rule in policy["rules"]] + [(rule, layer["for"]) for rule in layer["rules"]]
    matching = [
        rule
        for rule, around in layered
        if not rule.get("shadow")
        and _scope(around, who, places, doubt=True)
        and _scope(rule["for"], who, places, doubt=not rule.get("allow"))
        and ("data" not in rule["for"] or labels & set(rule["for"]["data"]))
    ]
    if not any(
        rule.get("allow") and ("only_if" not in rule or CONDITIONS[rule["only_if"]](call, who["app"]))
        for rule in matching
    ):
        return ()
    for rule in matching:
        for duty in rule.get("do", []):
            if isinstance(duty, dict) and (
                "ask" in duty or set(duty.get("forbid_tools", [])) & call.features
            ):
                return ()
            if duty == "no_store" and "store" in call.features:
                return ()
    return tuple(
        name
        for name in data["routes.yaml"]["routes"]["m"]["try"]
        if _one(
            data["deployments.yaml"]["deployments"][name], matching, policy, who, labels, call.features, now
        )
    )


def _one(facts: Any, matching: Any, policy: Any, who: Any, labels: Any, features: Any, now: int) -> bool:
    last = date.fromisoformat(facts["seen"]) + timedelta(days=facts["recheck_days"])
    if _over(last.isoformat(), now) or who["use"] not in facts["uses"]:
        return False
    if not features <= set(facts.get("covers", [])):
        return False
    places = policy["places"]
    for rule in matching:
        must = rule.get("must")
        if must is None or rule["strength"] == "warn":
            continue
        if "caller_in" in must:
            here = None if who["place"] is None else frozenset({who["place"]})
            if not inside(here, _codes(must["caller_in"], places)):
                return False
        lets: list[dict[str, Any]] = [{}]
        for exception in policy["exceptions"]:
            scope = exception["for"]
            within = "data" not in scope or all(
                _above(x, policy["data"]) & set(scope["data"]) for x in labels
            )
            meant = exception["rule"] == rule["id"] and within and not _over(exception["until"], now)
            if meant and _scope(scope, who, places, doubt=False):
                lets.append(exception["lets"])
        if not any(_must(must, facts, who["use"], places, now, let) for let in lets):
            return False
    return True
