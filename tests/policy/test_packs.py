"""Packs: each rule has its basis and its tests, they compose, and more packs never permit more."""

from __future__ import annotations

import itertools

import pytest

from gateway.core.decide import judge
from gateway.core.rules import Subject
from gateway.policy import cases, prove
from gateway.policy.compile import compile_bundle
from gateway.policy.load import bundle_of
from gateway.policy.packs import NO_ADVICE, available, compose_folder, load, named
from gateway.policy.problems import PolicyErrors
from gateway.policy.review import review
from tests.policy.written import NOW, STARTER

PACKS = STARTER / "packs"
NAMES = sorted(available(PACKS))


def _composed(*words: str):
    bundle = bundle_of(compose_folder(PACKS, words), now=NOW)
    return bundle, compile_bundle(bundle, now=NOW)


def test_the_packs_that_we_ship():
    """The laws and regulators that the product names, and a plain start."""
    assert NAMES == [
        "canada-pipeda",
        "eu-ai-act",
        "gdpr",
        "hipaa",
        "ontario-phipa",
        "osfi",
        "quebec-law25",
        "startup",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_says_on_what_it_rests(name):
    """A basis, a source, a day to look again after today, and a test that names it."""
    file = load(PACKS / f"{name}.yaml").file
    tested = {rule for case in file.tests for rule in case.by or ()}
    assert {rule.id for rule in file.rules} == tested
    assert all(rule.why and rule.source and rule.review_by > file.seen for rule in file.rules)


@pytest.mark.parametrize(
    "words",
    [*((name,) for name in NAMES), tuple(NAMES), ("quebec", "osfi", "pipeda"), ("hipaa", "phipa")],
    ids="+".join,
)
def test_composed_policies_hold_their_own_tests(words):
    """Alone and together: no warning, every test as written, every sentence proved."""
    bundle, snapshot = _composed(*words)
    assert [str(w) for w in [*bundle.warnings, *review(bundle, snapshot, now=NOW)]] == []
    assert [outcome.failure for outcome in cases.run(bundle, snapshot, now=NOW) if not outcome.passed] == []
    assert all(proof.holds for proof in prove.prove(bundle, snapshot, now=NOW))
    assert NO_ADVICE in compose_folder(PACKS, words)["policy.yaml"].decode()


@pytest.mark.parametrize("words", [*itertools.combinations(NAMES, 2)], ids="+".join)
def test_two_packs_permit_no_more_than_one(words):
    """For every kind of data that one pack knows, the second only takes away."""
    _, one = _composed(words[0])
    _, both = _composed(*words)
    for label in one.rules.labels.values():
        subject = Subject(
            app="assistant",
            use="chat",
            place=None,
            claims=(),
            purpose=None,
            features=frozenset(),
            model="",
            labels=label.closure,
        )
        assert judge(subject, both, now=NOW).mask & ~judge(subject, one, now=NOW).mask == 0


def test_words_for_packs():
    """A part of the name will do; a word for several or for none is said with what there is."""
    assert named("quebec", PACKS) == named("law25", PACKS) == PACKS / "quebec-law25.yaml"
    with pytest.raises(PolicyErrors, match=r"there is no such pack; did you mean `quebec-law25`\?"):
        named("quebec-law52", PACKS)


def test_what_cannot_be_composed(tmp_path):
    """A pack that allows, rests on nothing, or means another place by a name is refused."""
    text = (PACKS / "startup.yaml").read_text()
    for old, new, message in (
        ("    strength: hard\n", "    allow: true\n", "allows; packs only narrow"),
        ('    why: ["our terms of service"]\n', "", "the key `why` is missing"),
        ("places: {}", "places: {Canada: [US]}", "`Canada` means other places in another pack"),
        ("START-1", "PIPEDA-1", "the id `PIPEDA-1` stands in another pack too"),
    ):
        folder = tmp_path / str(len(message))
        (folder / "base").mkdir(parents=True)
        for path in [*PACKS.glob("*.yaml"), *PACKS.glob("base/*.yaml")]:
            (folder / path.relative_to(PACKS)).write_bytes(path.read_bytes())
        assert old in text
        (folder / "startup.yaml").write_text(text.replace(old, new))
        with pytest.raises(PolicyErrors) as caught:
            compose_folder(folder, ["canada-pipeda", "startup"])
        assert message in str(caught.value)
