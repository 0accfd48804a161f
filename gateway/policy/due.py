"""What somebody must look at again: rules, exceptions, facts and documents, with their days.

A bundle only ever gets older. This is the notice beforehand; that what lapsed refuses is the
snapshot's doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gateway.policy.bundle import Bundle
from gateway.policy.schema import PROVEN_FACTS, Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One thing to look at: ``by`` is the last day on which it still counts."""

    by: date
    what: str
    at: str  # file:line
    who: str = ""


def due(bundle: Bundle, *, now: int, within_days: int) -> list[Due]:
    """Return what lapsed already and what lapses within so many days of ``now`` (ns), soonest first."""
    last = today(now) + timedelta(days=within_days)
    found = [*_rules(bundle), *_exceptions(bundle), *_facts(bundle), *_papers(bundle)]
    return sorted((one for one in found if one.by <= last), key=lambda one: (one.by, one.at, one.what))


def sentence(one: Due, *, now: int) -> str:
    """Return a line such as ``2026-12-15  in 22 days  …``."""
    days = (one.by - today(now)).days
    when = "today" if days == 0 else f"in {_days(days)}" if days > 0 else f"{_days(-days)} ago"
    who = f"  ({one.who})" if one.who else ""
    return f"{one.by}  {when:<13}  {one.what}  {one.at}{who}"


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"


def today(now: int) -> date:
    """Return the day of an instant (ns), UTC."""
    return datetime.fromtimestamp(now // 1_000_000_000, UTC).date()


def _rules(bundle: Bundle) -> list[Due]:
    return [
        Due(
            by=rule.review_by,
            what=f"review the rule {rule.id}: {rule.says}",
            at=placed.at,
            who=rule.owner or bundle.policy.owner,
        )
        for placed in bundle.rules
        if (rule := placed.value).review_by is not None
    ]


def _exceptions(bundle: Bundle) -> list[Due]:
    return [
        Due(
            by=exception.until,
            what=f"the exception to {exception.rule} ends",
            at=bundle.at("policy", "exceptions", i),
            who=exception.owner,
        )
        for i, exception in enumerate(bundle.policy.exceptions)
    ]


def _facts(bundle: Bundle) -> list[Due]:
    found: list[Due] = []
    for name, facts in bundle.deployments.items():
        whole = facts.seen + timedelta(days=facts.recheck_days)
        found.append(
            Due(
                by=whole,
                what=f"recheck the facts of {name}",
                at=bundle.at("deployments", "deployments", name),
            )
        )
        for fact in PROVEN_FACTS:
            stated = getattr(facts, fact)
            if not isinstance(stated, Fact):
                continue
            by = (stated.seen or facts.seen) + timedelta(days=stated.good_for_days or facts.recheck_days)
            # What lapses with the deployment's facts is said once, for all of them.
            if by != whole:
                found.append(Due(by=by, what=f"recheck {fact} of {name}", at=bundle.fact_at(name, fact)))
        for paper in facts.has:
            until = bundle.until(facts, paper)
            if until is not None and facts.has[paper] != "on_file":
                at = bundle.at("deployments", "deployments", name, "has", paper)
                found.append(Due(by=until, what=f"the document {paper} of {name} ends", at=at))
    return found


def _papers(bundle: Bundle) -> list[Due]:
    return [
        Due(
            by=one.until,
            what=f"the document {paper} of {name} ends",
            at=bundle.at("vendors", "vendors", name, "documents", paper),
            who=vendor.owner or "",
        )
        for name, vendor in bundle.vendors.items()
        for paper, one in vendor.documents.items()
    ]
