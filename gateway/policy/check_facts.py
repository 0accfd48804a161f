"""What must agree in the facts: their days, their packs, and the documents of the vendor file."""

from __future__ import annotations

from datetime import timedelta

from gateway.policy.bundle import Bundle
from gateway.policy.checker import Checker
from gateway.policy.problems import did_you_mean
from gateway.policy.schema import PROVEN_FACTS, DeploymentModel, Fact
from gateway.policy.shared_facts import overreaching
from gateway.policy.source import Key

SOON_DAYS = 14


def facts(check: Checker) -> None:
    """Check every deployment's facts."""
    for name, one in check.bundle.deployments.items():
        path: Key = ("deployments", name)
        _days(check, path, name, one)
        _single(check, path, name, one)
        _papers(check, path, name, one)
        if one.like is not None:
            _like(check, path, one)


def _days(check: Checker, path: Key, name: str, one: DeploymentModel) -> None:
    document = check.document("deployments")
    if one.seen > check.today + timedelta(days=1):
        check.error(document, (*path, "seen"), f"`{one.seen}` lies in the future", "write the day of reading")
    last = one.seen + timedelta(days=one.recheck_days)
    if last < check.today:
        message = f"the facts of `{name}` went stale on {last}: it is refused"
        check.warn(document, (*path, "seen"), message)
    elif last < check.today + timedelta(days=SOON_DAYS):
        check.warn(document, (*path, "seen"), f"the facts of `{name}` must be rechecked by {last}")


def _single(check: Checker, path: Key, name: str, one: DeploymentModel) -> None:
    """Check the days of single facts. A pack's are said at the line that takes them."""
    document = check.document("deployments")
    for fact in PROVEN_FACTS:
        stated = getattr(one, fact)
        if not isinstance(stated, Fact):
            continue
        seen = stated.seen or one.seen
        if seen > check.today + timedelta(days=1):
            check.error(document, (*path, fact), f"`{seen}` lies in the future", "write the day of reading")
        last = seen + timedelta(days=stated.good_for_days or one.recheck_days)
        if last < check.today:
            message = f"`{fact}` of `{name}` went stale on {last}: it is unknown now"
            check.warn(document, (*path, fact), message)
        elif last < check.today + timedelta(days=SOON_DAYS):
            check.warn(document, (*path, fact), f"`{fact}` of `{name}` must be rechecked by {last}")


def _papers(check: Checker, path: Key, name: str, one: DeploymentModel) -> None:
    document, bundle = check.document("deployments"), check.bundle
    for paper in one.has:
        at = (*path, "has", paper)
        until = bundle.until(one, paper)
        if until is None:
            vendor = bundle.vendors.get(one.vendor)
            message = f"vendors.yaml has no document `{paper}` of `{one.vendor}`"
            near = did_you_mean(paper, vendor.documents) if vendor else None
            check.error(document, at, message, near or "add it there, or write its last day here")
            continue
        if one.has[paper] != "on_file" and until < check.today + timedelta(days=SOON_DAYS):
            state = "ended" if until < check.today else "ends"
            check.warn(document, at, f"the document `{paper}` of `{name}` {state} on {until}")
    _baa(check, path, one)


def _baa(check: Checker, path: Key, one: DeploymentModel) -> None:
    """Check that an agreement per feature covers what the facts say it covers."""
    vendor = check.bundle.vendors.get(one.vendor)
    paper = vendor.documents.get("baa") if vendor is not None and one.has.get("baa") == "on_file" else None
    if paper is None or paper.uses is None:
        return
    covered = one.baa_covers.value if isinstance(one.baa_covers, Fact) else one.baa_covers
    beyond = sorted(set(covered) - set(paper.uses))
    if beyond:
        message = f"the document `baa` of `{one.vendor}` does not cover {', '.join(beyond)}"
        check.error(check.document("deployments"), (*path, "baa_covers"), message)


def _like(check: Checker, path: Key, one: DeploymentModel) -> None:
    document, pack = check.document("deployments"), check.bundle.packs[one.like or ""]
    stated = [key for key in document.keys(path) if key != "like"]
    for fact in overreaching(one, pack.value, stated):
        message = f"this claims more than {pack.document.at((*pack.path, fact))} says"
        fix = "give the evidence: {value: …, rung: contract, source: …}; or claim less"
        check.error(document, (*path, fact), message, fix)


def vendors(check: Checker) -> None:
    """Check the vendor file: what ended, what ends soon, and what nothing uses."""
    document, bundle = check.document("vendors"), check.bundle
    used = {one.vendor for one in bundle.deployments.values()}
    for name, vendor in bundle.vendors.items():
        if name not in used:
            near = did_you_mean(name, used) or ""
            hint = near if near.startswith("did") else None
            check.warn(document, ("vendors", name), f"no deployment is of the vendor `{name}`", hint)
        for paper, one in vendor.documents.items():
            path: Key = ("vendors", name, "documents", paper)
            if one.until < check.today:
                message = f"the document `{paper}` of `{name}` ended on {one.until}"
                check.warn(document, path, message, _affected(bundle, name, paper))
            elif one.until < check.today + timedelta(days=one.notice_days):
                message = f"the document `{paper}` of `{name}` ends on {one.until}"
                check.warn(document, path, message, _affected(bundle, name, paper))
            if one.evidence is None:
                check.warn(document, path, f"the document `{paper}` of `{name}` has no evidence on file")


def _affected(bundle: Bundle, vendor: str, paper: str) -> str | None:
    names = sorted(
        name
        for name, one in bundle.deployments.items()
        if one.vendor == vendor and one.has.get(paper) == "on_file"
    )
    return f"it stands behind {', '.join(names[:5])}" if names else None
