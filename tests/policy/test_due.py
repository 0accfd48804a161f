"""What is due: rules, exceptions, facts and documents, soonest first, each once."""

from __future__ import annotations

from gateway.policy.due import due, sentence
from tests.policy.written import NOW, written

BUNDLE = written(
    policy="""policy: p
owner: privacy-office
rules:
  - {id: R, says: Something., must: {vendor: v}, strength: exception, review_by: 2026-11-30}
  - {id: S, says: Later., must: {vendor: v}, review_by: 2027-11-30, owner: o}
exceptions:
  - {rule: R, for: {}, lets: {vendor: [w]}, owner: j.roy, approved_by: [legal], until: 2026-12-15}
""",
    deployments="""deployments:
  d:
    vendor: v
    processed_in: {value: [CA], seen: 2026-11-20, good_for_days: 14}
    stored_in: {value: [CA], rung: page}
    uses: chat
    has: {dpa: 2026-12-01, soc2: on_file}
    seen: 2026-10-01
    recheck_days: 52
""",
    vendors="vendors: {v: {owner: risk, documents: {soc2: {until: 2026-11-23}}}}",
)


def test_everything_once_and_in_order():
    """A fact that lapses with its deployment's facts is not said twice; a year ahead is not said at all."""
    found = [sentence(one, now=NOW) for one in due(BUNDLE, now=NOW, within_days=60)]
    assert found == [
        "2026-11-22  1 day ago      recheck the facts of d  deployments.yaml:2",
        "2026-11-23  today          the document soc2 of v ends  vendors.yaml:1  (risk)",
        "2026-11-30  in 7 days      review the rule R: Something.  policy.yaml:4  (privacy-office)",
        "2026-12-01  in 8 days      the document dpa of d ends  deployments.yaml:7",
        "2026-12-04  in 11 days     recheck processed_in of d  deployments.yaml:4",
        "2026-12-15  in 22 days     the exception to R ends  policy.yaml:7  (j.roy)",
    ]


def test_the_window():
    """Only what lapsed, or lapses within so many days."""
    assert len(due(BUNDLE, now=NOW, within_days=0)) == 2
    assert len(due(BUNDLE, now=NOW, within_days=400)) == 7
