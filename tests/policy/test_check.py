"""What must agree between files, and the warnings."""

# ruff: noqa: E501 (sentences and files stand whole, as people read them)

from __future__ import annotations

import pytest

from gateway.policy.check import check
from gateway.policy.problems import PolicyErrors
from tests.policy.written import DAY_NS, NOW, bundle, written

FACTS = (
    "deployments: {d: {vendor: v, uses: [chat], has: {dpa: 2027-01-31}, seen: 2026-11-02, recheck_days: 90}}"
)
CONNECTED = 'connections: {d: {api: openai, url: "https://a.example.com/v1", model: m}}'
ROUTED = "routes: {m: {try: [d]}}"


def _errors(**files):
    with pytest.raises(PolicyErrors) as caught:
        written(**{"policy": "policy: p", **files})
    return [problem.message for problem in caught.value.problems]


def _warnings(now=NOW, **files):
    loaded = written(**{"policy": "policy: p", **files})
    return [problem.message for problem in check(loaded, now=now)[1]]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("data: {any: {}}", "`any` is a word of the language"),
        ("data: {unknown: {}}", "`unknown` is a word of the language"),
        ("data: {a: {treat_as: a}}", "only `unlabelled` is treated as something else"),
        ("data: {a: {is_also: b}, b: {is_also: a}}", "`a` is also itself, in a circle"),
        ("data: {a: {is_also: nope}}", "unknown kind of data `nope`"),
        ("places: {Here: [unknown]}", "a place cannot be unknown"),
        ("rules: [{id: A, says: a}]", "the rule `A` says nothing to the machine"),
        ("rules: [{id: A, says: a, allow: true}, {id: A, says: a, allow: true}]", "the id `A` stands twice"),
        ("rules: [{id: features, says: a, allow: true}]", "the id `features` is built in"),
        ("rules: [{id: A, says: a, do: [{answer_tokens: {at_least: 1}}]}]", "this is an upper bound"),
        ("rules: [{id: A, says: a, do: [{keep_log_days: {at_least: 9, at_most: 3}}]}]", "no number of days"),
        ("rules: [{id: A, says: a, do: [{log_in: Atlantis}]}]", "unknown place `Atlantis`"),
        ("rules: [{id: A, says: a, do: [shred]}]", "`shred` is none of the words that may stand here"),
        ("rules: [{id: A, says: a, do: [{mask: [shoe_size]}]}]", "unknown kind of finding `shoe_size`"),
        ("rules: [{id: A, says: a, do: [{}]}]", "a duty is missing"),
        ("rules: [{id: A, says: a, must: {keeps_content_days: {}}}]", "a bound is missing"),
        ("rules: [{id: A, says: a, must: {caller_in: Atlantis}}]", "unknown place `Atlantis`"),
    ],
)
def test_errors_of_the_policy(policy, said):
    """Each mistake in policy.yaml is an error in words."""
    assert any(said in message for message in _errors(policy=f"policy: p\n{policy}"))


EXCEPTION = """policy: p
data: {{a: {{}}}}
rules: [{{id: A, says: a, must: {{vendor: [v], has: [dpa]}}, strength: {strength}}}]
exceptions: [{{rule: A, for: {{data: a}}, lets: {lets}, owner: o, approved_by: {by}, until: 2026-12-01}}]
"""


@pytest.mark.parametrize(
    ("strength", "lets", "by", "said"),
    [
        ("hard", "{vendor: [w]}", "[x]", "the rule `A` is hard: no exception to it is possible"),
        ("warn", "{vendor: [w]}", "[x]", "the rule `A` is warn: no exception to it is possible"),
        ("exception", "{stored_in: [CA]}", "[x]", "the rule `A` asks nothing about `stored_in`"),
        ("exception", "{or_has: [dpa]}", "[x]", "an exception cannot let `or_has`"),
        ("exception", "{vendor: [w]}", "[o]", "somebody other than the owner approves"),
        ("exception", "{vendor: [w]}", "[]", "somebody other than the owner approves"),
    ],
)
def test_errors_of_exceptions(strength, lets, by, said):
    """An exception is to a rule that allows one, no wider than the rule, and approved by another."""
    policy = EXCEPTION.format(strength=strength, lets=lets, by=by)
    assert any(said in message for message in _errors(policy=policy))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"routes": ROUTED, "deployments": FACTS}, "`d` has no connection in connections.yaml"),
        ({"routes": "routes: {m: {try: [d, d]}}", "deployments": FACTS, "connections": CONNECTED}, "`d` stands twice"),
        ({"routes": "routes: {m: {try: [x]}}"}, "unknown deployment `x`"),
        ({"connections": CONNECTED}, "`d` has no facts in deployments.yaml"),
        ({"deployments": FACTS, "connections": "connections: {d: {api: openai, model: m}}"}, "the key `url` is missing"),
        ({"deployments": FACTS, "connections": "connections: {d: {api: bedrock, model: m}}"}, "`aws_region` is missing"),
        ({"teams": "teams: {t: {apps: {a: {models: []}}}, u: {apps: {a: {models: []}}}}"}, "stands in `t` too"),
        ({"teams": "teams: {t: {apps: {registered: {models: []}}}}"}, "is also a group of apps"),
        ({"policy": "policy: p\ndata: {a: {found_by: [header]}}", "teams": "teams: {t: {apps: {x: {data: a, models: []}}}}"},
         "`a` may not be set by an app"),
        ({"fx": "rates: [{base: USD, quote: CAD, rate: 1.4, from: 2026-01-01, source: s}]"}, "written in quotes"),
    ],
)  # fmt: skip
def test_errors_between_files(files, said):
    """What one file names, another must have."""
    assert any(said in message for message in _errors(**files))


PRICE = "- {id: p1, deployment: d, currency: USD, meters: {input: '1', output: '2'}, valid: {from: 2026-01-01}, source: s}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("deployment: d", "deployment: x"), "unknown deployment `x`"),
        (("{from: 2026-01-01}", "{from: 2026-01-01, to: 2026-01-01}"), "`to` is not after `from`"),
        (("{input: '1', output: '2'}", "{request: '1'}"), "no price per token"),
        (("'1'", "1.0"), "an amount is written in quotes"),
        (("'1'", "'1e3'"), "`1e3` is no amount"),
        (("2026-01-01", "yesterday"), "`yesterday` is no instant"),
    ],
)
def test_errors_of_prices(change, said):
    """Prices are dated decimal strings of deployments that exist."""
    assert any(said in message for message in _errors(deployments=FACTS, prices=PRICE.replace(*change)))


def test_warnings_of_facts():
    """Stale facts and papers that end are said before and after."""
    far, near, gone = (NOW + days * DAY_NS for days in (0, 60, 80))
    assert not _warnings(deployments=FACTS, now=far)
    assert _warnings(deployments=FACTS, now=near) == [
        "deployments.d.seen: the facts of `d` must be rechecked by 2027-01-31",
        "deployments.d.has.dpa: the document `dpa` of `d` ends on 2027-01-31",
    ]
    assert _warnings(deployments=FACTS, now=gone) == [
        "deployments.d.seen: the facts of `d` went stale on 2027-01-31: it is refused",
        "deployments.d.has.dpa: the document `dpa` of `d` ended on 2027-01-31",
    ]


def test_warnings_of_money():
    """A deployment without a price under a money budget, and a currency without a rate, are said."""
    files = {
        "deployments": FACTS,
        "connections": CONNECTED,
        "teams": 'budget: {per: month, limit: "5"}',
        "routes": ROUTED,
    }
    assert any("`d` has no price" in message for message in _warnings(**files))
    assert any("no rate leads from `USD` to `CAD`" in message for message in _warnings(**files, prices=PRICE))
    rate = "rates: [{base: USD, quote: CAD, rate: '1.4', from: 2026-01-01, source: s}]"
    assert _warnings(**files, prices=PRICE, fx=rate) == []


def test_warnings_of_rules():
    """A rule without a test, a vendor mistyped, an exception that ended or can never apply."""
    said = "\n".join(
        _warnings(deployments=FACTS, policy="policy: p\nrules: [{id: A, says: a, must: {has: [dpe]}}]")
    )
    assert "the rule `A` has no test" in said
    assert "no deployment's facts name `dpe`" in said
    policy = EXCEPTION.format(strength="exception", lets="{vendor: [w]}", by="[x]")
    assert any("ended on 2026-12-01" in m for m in _warnings(policy=policy, now=NOW + 30 * DAY_NS))
    never = policy.replace("data: {a: {}}", "data: {a: {is_also: b}, b: {}}")
    assert any("this never applies: `a` is also `b`" in m for m in _warnings(policy=never))


def test_a_good_bundle_has_no_errors():
    """The bank passes, years later too: time only makes warnings."""
    assert check(bundle("bank"), now=NOW)[0] == []
    assert check(bundle("bank"), now=NOW + 1000 * DAY_NS)[0] == []
