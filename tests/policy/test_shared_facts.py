"""Packs of facts: what is taken keeps its provenance, and claiming more needs evidence."""

# ruff: noqa: E501 (files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.core.must import rung_of
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from gateway.policy.shared_facts import plain
from tests.policy.written import DAY_NS, NOW

PACK = """pack: p
deployments:
  sku:
    vendor: v
    processed_in: [CA-QC]
    stored_in: [unknown]
    keeps_content_days: 30
    trains_on_data: {value: never, rung: contract, good_for_days: 10}
    covers: [mcp]
    uses: [chat]
    seen: 2026-11-01
    recheck_days: 60
    rung: page
    source: a page
"""


def _load(own: str, pack: str = PACK, **more: str):
    files = {
        "policy.yaml": "policy: p",
        "deployments.yaml": f"deployments:\n  d: {own}\n",
        "facts/p.yaml": pack,
    }
    files |= {f"{name}.yaml": text for name, text in more.items()}
    return bundle_of({name: text.encode() for name, text in files.items()}, now=NOW)


def _problems(own: str, pack: str = PACK):
    with pytest.raises(PolicyErrors) as caught:
        _load(own, pack)
    return [str(problem) for problem in caught.value.problems]


def test_taken_facts_keep_source_day_rung_and_line():
    """A deployment that is `like` an entry has its facts, known as the entry knows them."""
    bundle = _load("{like: sku, seen: 2026-11-20, recheck_days: 90}")
    d = compile_bundle(bundle, now=NOW).deployments["d"]
    assert (d.vendor, d.processed_in, d.uses, d.like) == ("v", {"CA-QC"}, {"chat"}, "sku")
    place = d.provenance["processed_in"]
    assert (place.source, place.seen, place.recheck_by, place.rung) == (
        "a page",
        "2026-11-01",
        "2026-12-31",
        "page",
    )
    assert place.at == "facts/p.yaml:5"
    trains = d.provenance["trains_on_data"]
    assert (trains.recheck_by, trains.rung) == ("2026-11-11", "contract")
    assert (d.seen, d.recheck_by) == ("2026-11-20", "2027-02-18")
    assert plain(bundle.deployments["d"].keeps_content_days) == 30


def test_own_facts_win_and_do_not_borrow_the_packs_rung():
    """A stated fact is the house's word: `declared` unless it says better."""
    d = compile_bundle(_load("{like: sku, processed_in: [CA-QC, US]}"), now=NOW).deployments["d"]
    assert d.processed_in == {"CA-QC", "US"}
    assert rung_of(d, "processed_in") == "declared"
    assert d.source == "declared"


@pytest.mark.parametrize(
    "own",
    [
        "stored_in: [CA]",  # the pack does not know
        "processed_in: [CA-ON]",
        "keeps_content_days: 0",
        "covers: [mcp, web_search]",
        "uses: [chat, embeddings]",
        "human_review: never",  # the pack says nothing
    ],
)
def test_claiming_more_needs_evidence(own):
    """Better than the page says is refused with the pack's line, and accepted from a contract on."""
    (problem,) = _problems(f"{{like: sku, {own}}}")
    assert "this claims more than facts/p.yaml:" in problem
    assert "rung: contract" in problem
    assert _load(f"{{like: sku, {own}, rung: contract}}")


@pytest.mark.parametrize(
    "own",
    [
        "processed_in: [unknown]",
        "processed_in: [CA-QC, US]",
        "keeps_content_days: 60",
        "keeps_content_days: unknown",
        "covers: []",
        "stored_in: {value: [CA], rung: probe, source: x}",
    ],
)
def test_claiming_less_or_with_evidence_is_free(own):
    """Unknown, wider or longer needs nothing; evidence may stand on the fact itself."""
    assert _load(f"{{like: sku, {own}}}")


def test_slips():
    """An entry that is not there has its nearest name; entries stand alone and once."""
    (problem,) = _problems("{like: skuu}")
    assert (
        problem
        == "deployments.yaml:2:7 deployments.d.like: no pack under facts/ has an entry `skuu`; did you mean `sku`?"
    )
    (problem,) = _problems("{like: sku}", PACK.replace("    vendor: v\n", "    vendor: v\n    like: sku\n"))
    assert "an entry of a pack stands on its own" in problem
    twice = {"policy.yaml": b"policy: p", "facts/a.yaml": PACK.encode(), "facts/b.yaml": PACK.encode()}
    with pytest.raises(PolicyErrors, match=r"`sku` stands in facts/a\.yaml too"):
        bundle_of(twice, now=NOW)


def test_what_is_taken_lapses_with_the_packs_reading():
    """The deployment's own later day does not keep a page's word alive."""
    policy = "policy: p\nrules: [{id: R, says: s, must: {processed_in: CA}}, {id: OK, says: s, allow: true}]"
    files = {
        "policy.yaml": policy,
        "deployments.yaml": "deployments:\n  d: {like: sku, seen: 2026-11-20, recheck_days: 365}\n",
        "facts/p.yaml": PACK,
    }
    rules = compile_bundle(bundle_of({k: v.encode() for k, v in files.items()}, now=NOW), now=NOW).rules
    (table,) = (rule.passes for rule in rules.rules if rule.id == "R")
    end = NOW + 39 * DAY_NS  # midnight after 2026-12-31
    assert (table[""].at(end - 1), table[""].at(end)) == (1, 0)
    assert rules.alive.at(end) == 1


def test_the_facts_hash_covers_packs_and_the_vendor_file():
    """What facts come from is part of their hash."""
    own = "{like: sku}"
    plain_one = _load(own)
    other_pack = _load(own, PACK.replace("keeps_content_days: 30", "keeps_content_days: 29"))
    with_papers = _load(own, vendors="vendors: {v: {documents: {dpa: {until: 2027-01-01}}}}")
    assert len({b.facts_hash for b in (plain_one, other_pack, with_papers)}) == 3
