"""Bundles for tests: the three of the design's readers, small ones from text, and random ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st

from gateway.core.snapshot import Snapshot
from gateway.core.values import Call, Caller, Finding, Surface
from gateway.policy.bundle import Bundle
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of, load_bundle

HERE = Path(__file__).parent
STARTER = HERE.parents[1] / "policies"
DAY_NS = 86_400 * 1_000_000_000
NOW = 1_795_392_000 * 1_000_000_000  # 2026-11-23T00:00:00Z
TODAY = date(2026, 11, 23)


def bundle(name: str) -> Bundle:
    """Return one of ``bank``, ``hospital``, ``saas``."""
    return load_bundle(HERE / "bundles" / name, now=NOW)


def snapshot(name: str) -> Snapshot:
    """Return the snapshot of one of them."""
    return compile_bundle(bundle(name), now=NOW)


def written(**files: str) -> Bundle:
    """Return the bundle of files given as text; ``fx`` and ``prices`` stand under prices/."""
    return bundle_of({_name(kind): text.encode() for kind, text in files.items()}, now=NOW)


def compiled(**files: str) -> Snapshot:
    """Return the snapshot of files given as text."""
    return compile_bundle(written(**files), now=NOW)


def _name(kind: str) -> str:
    return f"prices/{kind}.yaml" if kind in {"fx", "prices"} else f"{kind}.yaml"


def call(app: str, model: str = "chat", **changes: Any) -> Call:
    """Return a plain call of an app."""
    caller = Caller(
        tenant="t",
        team="t",
        app=app,
        key_id="k",
        place=changes.pop("place", None),
        claims=changes.pop("claims", ()),
    )
    values: dict[str, Any] = {
        "id": "req_1",
        "surface": Surface.CHAT,
        "caller": caller,
        "model": model,
        "stream": False,
        "body": {},
        "size": 2,
        "received": NOW,
    }
    return Call(**{**values, **changes})


def found(*kinds: str) -> tuple[Finding, ...]:
    """Return one finding of each kind."""
    return tuple(Finding(kind=kind, path=("x",), start=0, end=1, score=99, detector="t") for kind in kinds)


# --------------------------------------------------------------- random bundles

LABELS = ("a", "b", "c", "d")
CODES = ("CA", "CA-QC", "CA-ON", "US", "FR", "EU", "global", "unknown")
PLACES = {"Canada": ["CA"], "Quebec": ["CA-QC"], "Europe": ["EU"], "Wide": ["CA", "US"]}
VENDORS = ("v1", "v2", "v3")
PAPERS = ("dpa", "soc2")
APPS = ("one", "two")
USES = ("chat", "embeddings")


def _some(values: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def _maybe(most: int, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return at most so many of the fields, so that most random rules still let something pass."""
    names = st.lists(st.sampled_from(sorted(fields)), max_size=most, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


DAYS = st.integers(-10, 90).map(lambda n: (TODAY + timedelta(days=n)).isoformat())

RUNG = st.sampled_from(["declared", "page", "contract", "probe"])

PROVEN = st.fixed_dictionaries(
    {"value": st.one_of(st.just(["CA-QC"]), _some(CODES))},
    optional={
        "seen": st.integers(0, 20).map(lambda n: (TODAY - timedelta(days=n)).isoformat()),
        "good_for_days": st.integers(15, 60),
        "rung": RUNG,
    },
)
"""A place fact with a day and a rung of its own."""

CONDITIONS: dict[str, Callable[[Call, str], bool]] = {
    'place == "CA-QC"': lambda call, _: call.caller.place == "CA-QC",
    'place != "US"': lambda call, _: call.caller.place is not None and call.caller.place != "US",
    '"mcp" in features || app == "one"': lambda call, app: "mcp" in call.features or app == "one",
    '"gold" in claims.plan': lambda call, _: ("plan", "gold") in call.caller.claims,
}
"""Expressions of ``only_if``, and what each means; a name that is unknown of a call is no."""

FACTS = st.fixed_dictionaries(
    {
        "vendor": st.sampled_from(VENDORS),
        "uses": st.one_of(st.just(list(USES)), _some(USES)),
        "seen": st.integers(0, 30).map(lambda n: (TODAY - timedelta(days=n)).isoformat()),
        "recheck_days": st.integers(25, 90),
    },
    optional={
        "processed_in": st.one_of(st.just(["CA-QC"]), st.just(["US"]), _some(CODES), PROVEN),
        "rung": RUNG,
        "stored_in": st.one_of(st.just(["CA-QC"]), _some(CODES)),
        "keeps_content_days": st.one_of(st.integers(0, 60), st.just("unknown")),
        "trains_on_data": st.sampled_from(["never", "never", "opt_out", "unknown"]),
        "has": st.fixed_dictionaries({}, optional=dict.fromkeys(PAPERS, DAYS)),
        "covers": st.lists(st.sampled_from(["web_search", "mcp"]), max_size=2, unique=True),
        "baa_covers": st.lists(st.sampled_from(USES), max_size=2, unique=True),
    },
)

MUST = _maybe(
    2,
    processed_in=st.one_of(st.just(["Wide"]), _some((*PLACES, "US", "CA-ON"))),
    stored_in=st.one_of(st.just(["Wide"]), _some(tuple(PLACES))),
    vendor=_some(VENDORS),
    trains_on_data=st.just("never"),
    keeps_content_days=st.integers(0, 60).map(lambda n: {"at_most": n}),
    has=_some(PAPERS),
    or_has=_some(PAPERS),
    baa_covers=st.just("this_use"),
    caller_in=_some(("Canada", "Europe")),
    rung=st.sampled_from([{"processed_in": "page"}, {"stored_in": "contract", "processed_in": "contract"}]),
)

SCOPE = _maybe(
    2,
    app=_some((*APPS, "registered", "g1")),
    team=_some(("t1", "t2")),
    use=_some(USES),
    purpose=_some(("p1", "p2")),
    caller_in=_some(("Canada", "Europe")),
)


@st.composite
def _rule(draw: st.DrawFn, index: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"id": f"R{index}", "says": "s", "for": draw(SCOPE)}
    if index == 0:
        if draw(st.integers(0, 3)) == 0:
            rule["only_if"] = draw(st.sampled_from(sorted(CONDITIONS)))
        return {**rule, "for": {} if draw(st.integers(0, 4)) else rule["for"], "allow": True}
    must = draw(MUST) or {"vendor": draw(_some(VENDORS))}
    if draw(st.integers(0, 3)):
        rule["for"] = {**rule["for"], "data": draw(_some(LABELS))}
    rule["strength"] = draw(st.sampled_from(["exception", "exception", "hard", "warn"]))
    rule["shadow"] = draw(st.integers(0, 7)) == 0
    if set(must) - {"or_has"}:
        return {**rule, "must": must}
    return {
        **rule,
        "do": [draw(st.sampled_from(["mask", "mask", {"forbid_tools": ["mcp"]}, {"ask": "x"}, "no_store"]))],
    }


@st.composite
def _layer(draw: st.DrawFn) -> dict[str, Any]:
    """Return a layer's file, or none."""
    if draw(st.integers(0, 2)):
        return {}
    around = draw(st.sampled_from([{"team": ["t1"]}, {"app": ["g1"]}, {"team": ["t2"], "app": ["two"]}]))
    rules = [{**draw(_rule(8 + i)), "id": f"U{i}"} for i in range(draw(st.integers(1, 2)))]
    return {"units/u.yaml": {"unit": "u", "for": around, "rules": rules}}


@st.composite
def _exception(draw: st.DrawFn, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    open_to = [r for r in rules if r.get("strength") == "exception" and "must" in r]
    found = []
    for rule in open_to:
        asked = [
            key for key in rule["must"] if key in {"processed_in", "vendor", "has", "keeps_content_days"}
        ]
        if not asked:
            continue
        key = draw(st.sampled_from(asked))
        lets = {
            "processed_in": ["US"],
            "vendor": ["v3"],
            "has": ["dpa"],
            "keeps_content_days": {"at_most": 50},
        }[key]
        scope = draw(st.one_of(st.just({}), SCOPE))
        if draw(st.booleans()):
            scope = {**scope, "data": draw(_some(LABELS))}
        days = draw(st.integers(-5, 60))
        found.append(
            {
                "rule": rule["id"],
                "for": scope,
                "lets": {key: lets},
                "owner": "o",
                "approved_by": ["l", "s"],
                "until": (TODAY + timedelta(days=days)).isoformat(),
            }
        )
    return found


@st.composite
def files(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Return the data of a random bundle, by file."""
    deployments = {f"d{i}": draw(FACTS) for i in range(draw(st.integers(1, 4)))}
    rules = [draw(_rule(i)) for i in range(1 + draw(st.integers(0, 3)))]
    data: dict[str, Any] = {"a": {"found_by": ["app", "header"]}, "b": {"found_by": ["app", "header"]}}
    data["c"] = {"is_also": ["a"], "found_by": ["app", "header", "detector:sin"]}
    data["d"] = {"is_also": draw(st.sampled_from([["c"], ["a", "b"]])), "found_by": ["header", "plan=gold"]}
    if draw(st.booleans()):
        data["unlabelled"] = {"treat_as": draw(st.sampled_from(LABELS))}
    apps = {
        app: {
            "data": draw(st.lists(st.sampled_from(("a", "b", "c")), max_size=2, unique=True)),
            "models": ["m"],
        }
        for app in APPS
    }
    apps["one"]["groups"] = ["g1"]
    if draw(st.booleans()):
        apps["two"]["purpose"] = "p1"
    order = draw(st.permutations(sorted(deployments)))
    return {
        **draw(_layer()),
        "policy.yaml": {
            "policy": "random",
            "places": PLACES,
            "data": data,
            "rules": rules,
            "exceptions": draw(_exception(rules)),
        },
        "deployments.yaml": {"deployments": deployments},
        "connections.yaml": {
            "connections": {
                name: {"api": "openai", "url": "https://a.example.com/v1", "model": "m"}
                for name in deployments
            }
        },
        "routes.yaml": {"routes": {"m": {"try": list(order)}}},
        "teams.yaml": {"teams": {"t1": {"apps": {"one": apps["one"]}}, "t2": {"apps": {"two": apps["two"]}}}},
    }


def load_data(data: dict[str, dict[str, Any]]) -> Snapshot:
    """Return the snapshot of a bundle given as data (JSON is YAML)."""
    return compile_bundle(
        bundle_of({name: orjson.dumps(value) for name, value in data.items()}, now=NOW), now=NOW
    )


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Return a random call for a random bundle."""
    return call(
        draw(st.sampled_from(APPS)),
        "m",
        surface=draw(st.sampled_from([Surface.CHAT, Surface.EMBEDDINGS, Surface.MESSAGES])),
        header_labels=tuple(draw(st.lists(st.sampled_from(LABELS), max_size=1, unique=True))),
        features=frozenset(draw(st.sampled_from([[], [], [], ["web_search"], ["mcp"], ["store"]]))),
        purpose=draw(st.sampled_from([None, "p1", "p3"])),
        place=draw(st.sampled_from([None, "CA-QC", "FR", "US"])),
        claims=draw(st.sampled_from([(), (("plan", "gold"),)])),
    )
