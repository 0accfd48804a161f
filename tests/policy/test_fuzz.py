"""The loader against what the schemas let people write, and against what they do not.

Files are grown from the published JSON Schemas, so that most of them are nearly right: that is
where a loader breaks. Whatever comes in, out comes a bundle that compiles, or problems with places.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from gateway.policy.schema import LISTS, json_schema
from tests.policy.written import NOW

WORDS = st.sampled_from(
    ["a", "b", "d", "CA", "CA-QC", "dpa", "chat", "sku", "v", "2026-11-01", "on_file", "x y"]
)
KINDS = {
    "policy": "policy.yaml",
    "deployments": "deployments.yaml",
    "connections": "connections.yaml",
    "routes": "routes.yaml",
    "teams": "teams.yaml",
    "vendors": "vendors.yaml",
    "facts": "facts/p.yaml",
    "units": "units/u.yaml",
    "prices": "prices/p.yaml",
    "fx": "prices/fx.yaml",
    "tests": "tests/t.yaml",
}


def _grown(schema: dict[str, Any], defs: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Return values that a JSON Schema nearly admits: patterns and formats are left to chance."""
    if "$ref" in schema:
        return _grown(defs[schema["$ref"].rsplit("/", 1)[1]], defs, depth)
    if "const" in schema or "enum" in schema:
        return st.sampled_from([schema["const"]] if "const" in schema else schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema and "properties" not in schema:
            return st.one_of(*[_grown(one, defs, depth) for one in schema[key]])
    match schema.get("type"):
        case "object" if "properties" in schema and depth < 6:
            known = {name: _grown(one, defs, depth + 1) for name, one in schema["properties"].items()}
            needed = schema.get("required", [])
            return st.fixed_dictionaries(
                {name: known[name] for name in needed},
                optional={name: one for name, one in known.items() if name not in needed},
            ).flatmap(lambda made: _fewer(made, needed))
        case "object" if depth < 6:
            inner = schema.get("additionalProperties")
            value = _grown(inner, defs, depth + 1) if isinstance(inner, dict) else WORDS
            return st.dictionaries(WORDS, value, max_size=2)
        case "array" if depth < 6:
            return st.lists(_grown(schema.get("items", {}), defs, depth + 1), max_size=2)
        case "integer":
            return st.integers(-1, 400)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return WORDS


def _fewer(made: dict[str, Any], needed: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Keep what is needed and a few of the others, as people write."""
    others = [name for name in made if name not in needed]
    return st.lists(st.sampled_from(others or [""]), max_size=4, unique=True).map(
        lambda kept: {name: value for name, value in made.items() if name in needed or name in kept}
    )


def _file(kind: str) -> st.SearchStrategy[Any]:
    schema = json_schema(kind)
    defs = schema.get("$defs", {})
    assert isinstance(defs, dict)
    one = schema["items"] if kind in LISTS else schema
    assert isinstance(one, dict)
    grown = _grown(one, defs)
    return st.lists(grown, max_size=2) if kind in LISTS else grown


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_file_grown_from_its_schema(kind):
    """Beside the smallest policy: it compiles, or every problem has a file and words."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_file(kind))
    def grown(data):
        files = {"policy.yaml": b"policy: p\ndata: {a: {}}", KINDS[kind]: orjson.dumps(data)}
        try:
            bundle = bundle_of(files, now=NOW)
        except PolicyErrors as errors:
            problems = errors.problems
        else:
            compile_bundle(bundle, now=NOW)
            return
        assert problems
        assert all(problem.file in files and problem.message for problem in problems)

    grown()


RULES = "rules: [{id: OK, says: s, allow: true}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy: &a p\n", "policy.yaml:1:9 an anchor stands here"),
        ("policy: p\nowner: *a\n", "policy.yaml:2:8 an alias stands here; write the value out"),
        ("policy: p\npolicy: q\n", "policy.yaml:2:1 the key `policy` stands twice; the first is at line 1"),
        ("policy: p\n<<: {owner: q}\n", "policy.yaml:2:1 unknown key `<<`"),
        ("policy: p\nowner:\tq\n", "policy.yaml:2:7 a tab stands here; use spaces"),
        ("policy: !!python/object:os.system p\n", "policy.yaml:1:9 a tag"),
        ("policy: p\n---\npolicy: q\n", "policy.yaml:2:1 a second document starts here"),
        ("%YAML 1.1\n---\npolicy: p\n", "a directive stands here; remove it; files are YAML 1.2"),
        ("policy: p\ndata: {a: {is_also: b}, b: {is_also: [a]}}\n", "`a` is also itself, in a circle"),
        ("policy: p\ndata: {a: {is_also: a}}\n", "`a` is also itself, in a circle"),
        ("policy: p\nrules: " + "[" * 30 + "]" * 30, "this is nested more than 24 deep"),
        ("policy: p\nowner: " + "x" * 4_200_000, "the file is larger than 4 MiB; split it"),
        ("policy: p\nprove: [" + "x, " * 400_001 + "x]", "the file has more than 400,000 values; split it"),
        ("", "policy.yaml:1:1 the key `policy` is missing"),
        ("- policy\n", "keys with values are expected"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_people_and_attackers_try(text, said):
    """Each mistake is answered with its place and the fix; nothing is expanded, nothing recurses."""
    with pytest.raises(PolicyErrors) as caught:
        bundle_of({"policy.yaml": text.encode()}, now=NOW)
    assert said in str(caught.value)


def test_many_problems_are_all_said_once():
    """A file full of slips gives each of them, ordered by place."""
    rules = "\n".join(
        f"  - {{id: R{i}, says: s, for: {{data: nope}}, must: {{processed_in: Qebec}}}}" for i in range(50)
    )
    with pytest.raises(PolicyErrors) as caught:
        bundle_of(
            {"policy.yaml": f"policy: p\nplaces: {{Quebec: [CA-QC]}}\nrules:\n{rules}".encode()}, now=NOW
        )
    lines = [problem.line for problem in caught.value.problems]
    assert len(lines) == 100
    assert lines == sorted(lines)
