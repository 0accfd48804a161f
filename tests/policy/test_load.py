"""The loader: every mistake has a place and the nearest right word, and nothing else gets out."""

# ruff: noqa: E501, ISC004 (sentences and files stand whole, as people read them)

from __future__ import annotations

import copy
import random

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.policy.bundle import Bundle
from gateway.policy.load import bundle_of, load_bundle, read_folder
from gateway.policy.problems import PolicyErrors
from tests.policy.written import HERE, NOW, STARTER, files, written

BANK = read_folder(HERE / "bundles" / "bank")


def _problems(changed: dict[str, bytes]) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        bundle_of({**BANK, **changed}, now=NOW)
    return [str(problem) for problem in caught.value.problems]


def _edit(file: str, old: str, new: str) -> list[str]:
    text = BANK[file].decode()
    assert old in text
    return _problems({file: text.replace(old, new, 1).encode()})


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "policy.yaml", "must: {processed_in: Quebec,", "must: {processed_in: Qebec,",
            "policy.yaml:33:12 rules[2].must.processed_in: unknown place `Qebec`; did you mean `Quebec`?",
        ),
        (
            "policy.yaml", "says: Client", "say: Client",
            "policy.yaml:20:5 rules[0]: unknown key `say`; did you mean `says`?",
        ),
        (
            "policy.yaml", "strength: hard  ", "strength: hart  ",
            "policy.yaml:23:5 rules[0].strength: `hart` is none of the words that may stand here; did you mean `hard`?",
        ),
        (
            "policy.yaml", "for: {data: card_number}", "for: {data: card_numbr}",
            "policy.yaml:38:11 rules[3].for.data: unknown kind of data `card_numbr`; did you mean `card_number`?",
        ),
        (
            "policy.yaml", '"detector:card"', '"detector:crad"',
            "policy.yaml:15:47 data.card_number.found_by[0]: unknown kind of finding `crad`; did you mean `card`?",
        ),
        (
            "policy.yaml", 'is_also: client, found_by: ["detector:card"]', "is_also: card_number, found_by: [app]",
            "policy.yaml:15:19 data.card_number.is_also: `card_number` is also itself, in a circle; remove one step",
        ),
        (
            "policy.yaml", "rule: V-1", "rule: CA-1",
            "policy.yaml:58:5 exceptions[0].rule: the rule `CA-1` is hard: no exception to it is possible",
        ),
        (
            "policy.yaml", "until: 2026-12-15", "until: 2027-12-15",
            "policy.yaml:63:5 exceptions[0].until: an exception lasts at most 90 days; write 2027-02-21 or earlier",
        ),
        (
            "policy.yaml", "lets: {vendor: [together]}", "lets: {processed_in: [US]}",
            "policy.yaml:60:12 exceptions[0].lets.processed_in: the rule `V-1` asks nothing about `processed_in`; "
            "known: `has`, `vendor`",
        ),
        (
            "policy.yaml", "for: {app: registered, use: [chat, embeddings]}", "for: {data: public}",
            "policy.yaml:48:11 rules[5].for.data: a rule that allows may not name kinds of data: labels only narrow; "
            "restrict them by a rule with must",
        ),
        (
            "policy.yaml", "at_most: 30", "at_most: lots",
            "policy.yaml:28:56 rules[1].must.keeps_content_days.at_most: a whole number is expected",
        ),
        (
            "policy.yaml", "try: openai-ca", "try: opnai-ca",
            "policy.yaml:69:65 tests[1].try: unknown deployment or model `opnai-ca`; did you mean `openai-ca`?",
        ),
        (
            "deployments.yaml", "[CA-QC]", "[CA-QB]",
            "deployments.yaml:7:20 deployments.azure-cae-41mini.processed_in[0]: unknown place code `CA-QB`; "
            "did you mean `CA-QC`?",
        ),
        (
            "deployments.yaml", "seen: 2026-11-02\n", "seen: 2026-13-02\n",
            "deployments.yaml:15:5 deployments.azure-cae-41mini.seen: `2026-13-02` is no date; write it as 2026-11-30",
        ),
        (
            "deployments.yaml", "seen: 2026-11-02\n", "seen: 2027-11-02\n",
            "deployments.yaml:15:5 deployments.azure-cae-41mini.seen: `2027-11-02` lies in the future; "
            "write the day of reading",
        ),
        (
            "teams.yaml", 'limit: "2500.00"', "limit: 2500.00",
            'teams.yaml:6:26 teams.branch.budget.limit: an amount is written in quotes; write "2500.00"',
        ),
        (
            "teams.yaml", "America/Toronto", "America/Toronta",
            "teams.yaml:1:1 timezone: unknown time zone `America/Toronta`; did you mean `America/Toronto`?",
        ),
        (
            "teams.yaml", "models: [chat, chat-pro]", "models: [chat, chat-por]",
            "teams.yaml:8:47 teams.branch.apps.teller.models[1]: unknown model `chat-por`; did you mean `chat-pro`?",
        ),
        (
            "connections.yaml", "secret: file:/run/secrets/azure_cae", "secret: abc123",
            "connections.yaml:6:5 connections.azure-cae-41mini.secret: a secret is named, not written; "
            "write file:/path or env:NAME",
        ),
        (
            "connections.yaml", "https://maple-cae", "http://maple-cae",
            "connections.yaml:4:5 connections.azure-cae-41mini.url: plain http leaves this machine unprotected; "
            "write https",
        ),
        (
            "connections.yaml", "  together-us:", "  together-use:",
            "connections.yaml:7:3 connections.together-use: `together-use` has no facts in deployments.yaml; "
            "did you mean `together-us`?",
        ),
        (
            "routes.yaml", "also_called: [gpt-4.1-mini]", "also_called: [chat-pro]",
            "routes.yaml:3:3 routes.chat-pro: `chat-pro` already names the route `chat`",
        ),
    ],
)  # fmt: skip
def test_a_mistake_and_its_place(file, old, new, said):
    """File, line, column, what is wrong and the nearest right word."""
    assert said in _edit(file, old, new)


def test_a_secret_is_never_repeated():
    """What somebody pasted in the place of a secret's name appears in no error."""
    pasted = "sk" + "-live-" + "0123456789"
    assert pasted not in "\n".join(_edit("connections.yaml", "file:/run/secrets/azure_cae", pasted))


def test_all_problems_at_once():
    """Every problem of every file is said, in the order of places."""
    problems = _problems(
        {
            "policy.yaml": BANK["policy.yaml"].replace(b"says:", b"sais:", 2),
            "teams.yaml": BANK["teams.yaml"].replace(b"per: month", b"per: moon", 1),
        }
    )
    assert [problem.split(" ", 1)[0] for problem in problems] == [
        "policy.yaml:20:5",
        "policy.yaml:26:5",
        "teams.yaml:6:14",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("polcy.yaml", "polcy.yaml no such file belongs to a bundle; did you mean `policy.yaml`?"),
        ("teams.yml", "teams.yml this file would not be read; call it `teams.yaml`"),
    ],
)
def test_a_file_that_would_be_missed(name, said):
    """A mistyped file name is an error, not an empty policy."""
    assert said in _problems({name: b"a: 1"})


def test_a_folder_that_is_not_there(tmp_path):
    """A missing folder, and one without a policy, are problems like others."""
    with pytest.raises(PolicyErrors, match="cannot be read"):
        load_bundle(tmp_path / "none", now=NOW)
    with pytest.raises(PolicyErrors, match=r"policy\.yaml this file is missing"):
        load_bundle(tmp_path, now=NOW)


def test_the_hash_is_of_the_content():
    """Comments, layout and the order of keys do not count; a word does, and only its part's hash."""
    bank = bundle_of(BANK, now=NOW)
    text = BANK["policy.yaml"].decode()
    commented = bundle_of(
        {**BANK, "policy.yaml": ("# hello\n" + text.replace("{CA", "{ CA")).encode()}, now=NOW
    )
    assert commented.hash == bank.hash
    swapped = text.replace("policy: maple-bank\nversion: 7", "version: 7\npolicy: maple-bank")
    assert bundle_of({**BANK, "policy.yaml": swapped.encode()}, now=NOW).hash == bank.hash
    other = bundle_of({**BANK, "policy.yaml": text.replace("at_most: 30", "at_most: 31").encode()}, now=NOW)
    assert other.hash != bank.hash
    assert (other.facts_hash, other.prices_hash) == (bank.facts_hash, bank.prices_hash)
    facts = BANK["deployments.yaml"].replace(b"keeps_content_days: 0", b"keeps_content_days: 1", 1)
    moved = bundle_of({**BANK, "deployments.yaml": facts}, now=NOW)
    assert moved.hash != bank.hash
    assert moved.facts_hash != bank.facts_hash
    assert moved.prices_hash == bank.prices_hash


def test_tests_in_files_of_their_own():
    """`tests/*.yaml` hold cases too, with their own places."""
    case = b"- {say: x, app: teller, try: chat, expect: allowed}\n- {say: y, app: tellr, try: chat, expect: allowed}"
    assert _problems({"tests/more.yaml": case}) == [
        "tests/more.yaml:2:12 [1].app: unknown app `tellr`; did you mean `teller`?"
    ]


def test_prices_that_overlap():
    """Two prices of one deployment may not be valid at once."""
    price = (
        '- {{id: {id}, deployment: azure-cae-41mini, currency: USD, meters: {{input: "1", output: "2"}}, '
        "valid: {{from: {start}{end}}}, source: s}}\n"
    )
    first = price.format(id="a", start="2026-01-01", end=", to: 2026-06-01")
    touching = first + price.format(id="b", start="2026-06-01", end="")
    assert bundle_of({**BANK, "prices/x.yaml": touching.encode()}, now=NOW)
    overlapping = first + price.format(id="b", start="2026-05-31", end="")
    (problem,) = _problems({"prices/x.yaml": overlapping.encode()})
    assert "the price overlaps another one of `azure-cae-41mini`; end the earlier one with to" in problem


def test_the_three_readers_bundles_and_the_starter_load():
    """The bank, the hospital, the SaaS firm and what we ship have no error."""
    for folder in (*(HERE / "bundles" / name for name in ("bank", "hospital", "saas")), STARTER):
        assert isinstance(load_bundle(folder, now=NOW), Bundle)


def test_the_smallest_bundle():
    """A name is enough, and permits nothing."""
    assert written(policy="policy: empty").policy.rules == []


# ------------------------------------------------------------------------ fuzz

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=8)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def _spoil(value, chance: random.Random, replacement):
    """Replace one random node of a tree."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {**value, key + "x": value[key]}
        return {**value, key: _spoil(value[key], chance, replacement)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        i = chance.randrange(len(value))
        return [*value[:i], _spoil(value[i], chance, replacement), *value[i + 1 :]]
    return replacement


@FUZZ
@given(files(), st.randoms(use_true_random=False), ANYTHING)
def test_a_spoilt_bundle_gives_problems_or_a_bundle(data, chance, replacement):
    """Any value anywhere is accepted or is a problem with a place; no other exception gets out."""
    name = chance.choice(sorted(data))
    spoilt = {**copy.deepcopy(data), name: _spoil(data[name], chance, replacement)}
    try:
        bundle_of({file: orjson.dumps(value) for file, value in spoilt.items()}, now=NOW)
    except PolicyErrors as caught:
        problems = caught.problems
    else:
        return
    assert problems
    assert all(problem.file.endswith(".yaml") for problem in problems)


@FUZZ
@given(
    st.sampled_from(sorted(BANK)), st.integers(0, 4000), st.text(alphabet="ab:-[]{},&*!'\"# \n", max_size=6)
)
def test_a_slip_of_the_keyboard_gives_problems_or_a_bundle(name, at, typed):
    """Any characters typed anywhere into a good file are accepted or are a problem."""
    text = BANK[name].decode()
    at %= len(text)
    try:
        bundle_of({**BANK, name: (text[:at] + typed + text[at + 1 :]).encode()}, now=NOW)
    except PolicyErrors as caught:
        problems = caught.problems
    else:
        return
    assert problems
