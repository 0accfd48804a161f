"""Facts as written: plainly, or with where they are from; documents by day or from the vendor file."""

from __future__ import annotations

import jsonschema
import pytest
from pydantic import ValidationError

from gateway.policy.schema import json_schema
from gateway.policy.schema_facts import DeploymentModel, Fact, VendorsFile

LEAST = {"vendor": "v", "uses": "chat", "seen": "2026-11-02", "recheck_days": 90}


def test_both_forms():
    """A list, one word, and the same with a source, a day and a rung."""
    facts = DeploymentModel.model_validate(
        {
            **LEAST,
            "stored_in": "CA",
            "processed_in": {"value": "CA-QC", "seen": "2026-11-01", "good_for_days": 5, "rung": "probe"},
            "keeps_content_days": {"value": 0, "source": "letter"},
            "has": ["dpa"],
        }
    )
    assert facts.stored_in == ["CA"]
    assert isinstance(facts.processed_in, Fact)
    assert facts.processed_in.value == ["CA-QC"]
    assert facts.has == {"dpa": "on_file"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"processed_in": {"value": ["ZZ"]}},
        {"processed_in": {"valu": ["CA"]}},
        {"processed_in": {"value": ["CA"], "rung": "hearsay"}},
        {"keeps_content_days": {"value": -1}},
        {"trains_on_data": {"value": "nevr"}},
        {"has": {"dpa": "soon"}},
        {"has": {"dpa": 7}},
    ],
)
def test_the_rich_form_is_as_strict(wrong):
    """A value inside is checked as it would be outside."""
    with pytest.raises(ValidationError):
        DeploymentModel.model_validate({**LEAST, **wrong})


def test_the_published_schema_of_deployment_facts():
    """What others may write by: either form, and an entry's facts need not be said again."""
    schema = json_schema("deployments")
    jsonschema.validate({"deployments": {"d": {"like": "x", "has": ["dpa"]}}}, schema)
    rich = {**LEAST, "uses": ["chat"], "processed_in": {"value": ["CA"], "rung": "page"}}
    jsonschema.validate({"deployments": {"d": rich}}, schema)
    for wrong in ({"vendor": "v"}, {**rich, "processed_in": {"value": ["CA"], "ring": "page"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"deployments": {"d": wrong}}, schema)


def test_evidence_is_a_digest():
    """A document is named by SHA-256; its name alone is no evidence."""
    paper = {"until": "2027-01-01", "evidence": "dpa.pdf"}
    with pytest.raises(ValidationError):
        VendorsFile.model_validate({"vendors": {"v": {"documents": {"dpa": paper}}}})
