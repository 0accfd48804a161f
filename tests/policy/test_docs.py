"""The reference names every key of the language."""

from __future__ import annotations

from typing import get_args

import pytest

from gateway.policy import schema
from gateway.policy.prove import TEMPLATES
from tests.policy.written import STARTER

PAGE = (STARTER.parent / "docs" / "reference" / "policy-language.md").read_text(encoding="utf-8")
MODELS = [
    value
    for value in vars(schema).values()
    if isinstance(value, type) and issubclass(value, schema.Strict) and value is not schema.Strict
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_documented(model):
    """A key that a person may write stands in the reference."""
    keys = [field.alias or name for name, field in model.model_fields.items()]
    assert [key for key in keys if f"`{key}`" not in PAGE and f"{key}:" not in PAGE] == []


def test_every_word_is_documented():
    """Kinds of findings, features, uses and provable sentences stand in the reference."""
    words = [*schema.KINDS, *schema.KIND_ALIASES, *schema.FEATURES, *schema.USES, *get_args(schema.DoWord)]
    known = {word for word in words if f"`{word}`" not in PAGE}
    assert known - {"organization"} == set()
    assert [sentence for sentence in TEMPLATES if sentence not in PAGE] == []
