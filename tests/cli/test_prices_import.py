"""What an import would write is worked out before anything is; a write that fails leaves no half file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.adapters.upstreams.litellm_prices import PriceMap
from gateway.cli.prices_import import Asked, ImportRefused, plan, replace_files
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from tests.core.maple import at
from tests.policy.price_files import CONNECTIONS, DEPLOYMENTS, entry
from tests.policy.written import NOW

PLAIN = {"input_cost_per_token": Decimal("1E-6"), "output_cost_per_token": Decimal("2E-6")}
MAP = PriceMap(
    version="1.2.3",
    sha256="0" * 64,
    models={
        "m": {**PLAIN, "litellm_provider": "openai"},
        "azure/m": {**PLAIN, "litellm_provider": "azure"},
        "dear": {"input_cost_per_token": Decimal("0.0032"), "output_cost_per_token": Decimal("0.0032")},
        "old": {**PLAIN, "deprecation_date": "2026-01-31"},
    },
)


def asked(models: dict[str, str], **changes: object) -> Asked:
    """An import from the first of December on."""
    made: dict[str, object] = {
        "models": models, "provider": None, "valid_from": at("2026-12-01"), "region": None,
        "tiers": frozenset(), "into": None,
        "accepted": frozenset(), "approved_by": (), **changes,
    }  # fmt: skip
    return Asked(**made)  # type: ignore[arg-type]  # a test's own words


def files_of(**prices: str) -> dict[str, bytes]:
    """A bundle's files."""
    texts = {
        "policy.yaml": "policy: p",
        "deployments.yaml": DEPLOYMENTS,
        "connections.yaml": CONNECTIONS,
        **{f"prices/{name}.yaml": text for name, text in prices.items()},
    }
    return {name: text.encode() for name, text in texts.items()}


def planned(files: dict[str, bytes], wish: Asked) -> dict[str, str]:
    """What would be written."""
    made = plan(bundle_of(files, now=NOW), files, MAP, wish, now=NOW)
    return {name: content.decode() for name, content in made.files.items()}


def test_a_first_price_gets_a_file_of_its_own() -> None:
    """Named after the deployment, or as asked; the connection names the model."""
    assert set(planned(files_of(), asked({"e": ""}))) == {"prices/e.yaml"}
    assert set(planned(files_of(), asked({"e": ""}, into="prices/openai.yaml"))) == {"prices/openai.yaml"}
    with pytest.raises(PolicyErrors, match="no such file belongs to a bundle"):
        planned(files_of(), asked({"e": ""}, into="prices/../x.yaml"))


def test_earlier_prices_of_one_file_are_ended_where_they_stand() -> None:
    """Two in one file, one of them in block style, so that lines move between the two edits."""
    block = entry("a", valid="\n    from: 2026-01-01")
    flow = entry("b", deployment="e")
    (text,) = planned(files_of(p=block + flow), asked({"d": "m", "e": "m"})).values()
    loaded = bundle_of({**files_of(), "prices/p.yaml": text.encode()}, now=NOW)
    ends = {placed.value.id: placed.value.valid.to for placed in loaded.prices}
    assert ends == {
        "a": at("2026-12-01"), "b": at("2026-12-01"), "d-2026-12-01": None, "e-2026-12-01": None,
    }  # fmt: skip


def test_an_id_that_is_taken_gets_a_number() -> None:
    """Ids name one price for ever."""
    old = entry("d-2026-12-01", valid="{from: 2026-01-01}")
    (text,) = planned(files_of(p=old), asked({"d": "m"})).values()
    assert "- id: d-2026-12-01-2\n" in text


@pytest.mark.parametrize(("model", "code"), [("dear", "too_dear"), ("old", "retired")])
def test_a_lint_stops_the_import_until_it_is_accepted(model: str, code: str) -> None:
    """By name: what was accepted is what was looked at."""
    with pytest.raises(ImportRefused, match=code):
        planned(files_of(), asked({"d": model}))
    assert planned(files_of(), asked({"d": model}, accepted=frozenset({code})))
    other = "jump" if code != "jump" else "retired"
    with pytest.raises(ImportRefused):
        planned(files_of(), asked({"d": model}, accepted=frozenset({other})))


def test_a_jump_against_the_price_before_stops_it() -> None:
    """More than twenty times: a slip of the point, here or there."""
    cheap = entry("a", meters='{input: "0.04", output: "2.00"}')
    with pytest.raises(ImportRefused, match=r"`input` was 0\.04 per 1,000,000 before \(jump\)"):
        planned(files_of(p=cheap), asked({"d": "m"}))


def test_every_deployment_that_fails_is_said_at_once() -> None:
    """One run tells all there is to correct."""
    with pytest.raises(ImportRefused) as caught:
        planned(files_of(), asked({"d": "nope", "e": "dear", "x": "m"}))
    assert "no model `nope`" in str(caught.value)
    assert "unknown deployment `x`" in str(caught.value)


def test_the_provider_must_be_the_one_that_is_asked_for() -> None:
    """The same name at another vendor has another price."""
    (text,) = planned(files_of(), asked({"d": "m"}, provider="azure")).values()
    assert "azure/m" in text
    with pytest.raises(ImportRefused, match="has no model `m` of `mistral`"):
        planned(files_of(), asked({"d": "m"}, provider="mistral"))


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    """And none is left half where the next one cannot be written."""
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "a.yaml").write_text("old")
    replace_files(tmp_path, {"prices/a.yaml": b"new", "prices/b.yaml": b"more"})
    assert (tmp_path / "prices" / "a.yaml").read_text() == "new"
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(FileExistsError):
        replace_files(tmp_path, {"prices/a.yaml": b"newer", "blocked/c.yaml": b"x"})
    assert (tmp_path / "prices" / "a.yaml").read_text() == "new"
    assert sorted(path.name for path in (tmp_path / "prices").iterdir()) == ["a.yaml", "b.yaml"]
