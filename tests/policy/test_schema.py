"""The published JSON Schemas are those of the models, and accept what we ship."""

from __future__ import annotations

import jsonschema
import orjson
import pytest

from gateway.core.rules import CACHE_SCOPES
from gateway.policy.schema import FEATURES, FILES, KIND_ALIASES, KINDS, DoMap, Must, json_schema, published
from gateway.policy.source import read
from tests.policy.written import HERE, STARTER

SCHEMAS = STARTER / "schema"


@pytest.mark.parametrize("kind", sorted(FILES))
def test_published_schemas_are_current(kind):
    """`borderpost policy schema --write policies/schema` was run after the last change."""
    assert (SCHEMAS / f"{kind}.schema.json").read_bytes() == published(kind)


FOLDERS = (
    STARTER,
    STARTER / "examples" / "vendors",
    *(HERE / "bundles" / n for n in ("bank", "hospital", "saas")),
)
WRITTEN = [
    path
    for folder in FOLDERS
    for kind in ("*.yaml", "prices/*.yaml", "facts/*.yaml", "units/*.yaml", "packs/*.yaml")
    for path in folder.glob(kind)
]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_we_ship_is_valid_by_its_schema(path):
    """An editor that uses the schemas finds nothing wrong in good files."""
    kind = path.stem if path.stem in FILES else path.parent.name
    data = orjson.loads(orjson.dumps(read(path.name, path.read_bytes()).data))
    jsonschema.validate(data, json_schema(kind))


def test_a_schema_refuses_unknown_keys():
    """The schema is as strict as the loader about keys."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"policy": "p", "rulez": []}, json_schema("policy"))


def test_the_words_of_the_language():
    """Kinds, features and scopes are those that other parts of the gateway use."""
    assert set(KIND_ALIASES.values()) <= set(KINDS)
    assert "unscannable" in FEATURES
    assert "tenant" in CACHE_SCOPES
    assert {"processed_in", "or_has"} <= set(Must.model_fields)
    assert {"mask", "tokenise", "block"} <= set(DoMap.model_fields)
