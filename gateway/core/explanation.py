"""An explanation as a value, and as the text that the command line prints.

:mod:`gateway.core.explain` makes it; nothing here decides anything, and no text here holds
content of a prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.rules import RUNGS, Obligations
from gateway.core.values import Label

BUILT_IN = {
    "labels": "Every kind of data on a call is one that the policy knows.",
    "default": "What no rule allows is refused.",
    "facts": "Facts about a deployment are fresh.",
    "use": "A deployment's facts name the use that is made of it.",
    "features": "What makes a vendor fetch, store or forward is covered by the facts.",
}
"""The rules that no policy needs to write, and none can take away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One test that a deployment fails. ``fact`` is the test in words, ``at`` the fact's file:line."""

    rule: str
    strength: str  # hard | exception | warn | shadow
    says: str
    fact: str
    at: str
    rule_at: str
    source: str = ""
    seen: str = ""
    recheck_by: str = ""
    note: str = ""

    @property
    def refuses(self) -> bool:
        """Whether it refuses, and does not only warn."""
        return self.strength in {"hard", "exception"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One deployment of the route, and why it may or may not see this call."""

    deployment: str
    permitted: bool
    reasons: tuple[Reason, ...]
    passed: tuple[str, ...]  # rules with a ``must`` that it passes
    by_exception: tuple[str, ...]  # those of them that it passes by an exception only
    not_established: tuple[tuple[str, str], ...]  # residency facts that no matching rule tests
    known_by: tuple[tuple[str, str], ...] = ()  # facts that rules test, with the rung by which they are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The whole answer to "why?" for one call under one snapshot."""

    policy: str
    version: int
    snapshot_hash: str
    facts_hash: str
    facts_seen: str  # the oldest among the candidates
    alias: str
    labels: tuple[Label, ...]
    app_at: str
    candidates: tuple[Candidate, ...]
    allowed_by: tuple[str, ...]
    matched: tuple[str, ...]
    obligations: Obligations
    use_instead: tuple[tuple[str, str, tuple[str, ...]], ...]  # alias, deployment, rules passed
    when_over: str = ""  # what may be done before a refusal for want of budget, in words; "" nothing

    @property
    def permitted(self) -> bool:
        """Whether any candidate may see the call."""
        return any(candidate.permitted for candidate in self.candidates)


# ----------------------------------------------------------------------- text


def text(explanation: Explanation) -> str:
    """Return an explanation as the command line prints it; ends without a newline."""
    why = explanation
    lines = [
        _headline(why),
        "Labels: " + (", ".join(_label(label, why) for label in why.labels) or "none"),
    ]
    width = max((len(c.deployment) for c in why.candidates), default=0)
    for candidate in why.candidates:
        state = "permitted" if candidate.permitted else "refused"
        lines.append(f"{candidate.deployment.ljust(width)}   {state}")
        lines += _reason_lines(candidate)
        if candidate.permitted:
            lines.append(f"  {_passed(candidate.passed, why, candidate.by_exception)}")
    if not why.candidates:
        lines.append(f"no route is called {why.alias}")
    for alias, deployment, passed in why.use_instead[:3]:
        lines.append(f"Use instead: {alias} → {deployment}")
        lines.append(f"  {_passed(passed, why, ())}")
    lines += _duties(why)
    if why.when_over:
        lines.append(f"When a budget has no room: {why.when_over}")
    untested: dict[str, list[str]] = {}
    for candidate in why.candidates:
        for fact, value in candidate.not_established:
            values = untested.setdefault(fact, [])
            if value not in values:
                values.append(value)
    missing = "; ".join(f"{fact} ({' / '.join(values)}; no rule)" for fact, values in untested.items())
    missing = missing or "no fact is left untested"
    lines.append(f"Not established: {missing}. {_known_by(why)}")
    return "\n".join(lines)


def _known_by(why: Explanation) -> str:
    """Return how well the facts are known that rules test; nothing that we proved is among them."""
    facts: dict[str, list[str]] = {}
    for candidate in why.candidates:
        for fact, rung in candidate.known_by:
            named = facts.setdefault(rung, [])
            if fact not in named:
                named.append(fact)
    if set(facts) <= {"declared"}:
        return "Facts are declared, not proven by us."
    known = "; ".join(f"{rung}: {', '.join(facts[rung])}" for rung in RUNGS if rung in facts)
    return f"Facts are known by {known}; none is proven by us."


def _headline(why: Explanation) -> str:
    state = "ALLOWED" if why.permitted else "REFUSED"
    policy = f"policy {why.policy} v{why.version} ({why.snapshot_hash[:4]}…)"
    return f"{state}   {policy}, facts {why.facts_seen or 'none'} ({why.facts_hash[:4]}…)"


def _label(label: Label, why: Explanation) -> str:
    at = f", {why.app_at}" if label.set_by.startswith("app ") and why.app_at else ""
    return f"{label.name} (set by {label.set_by}{at})"


def _reason_lines(candidate: Candidate) -> list[str]:
    lines: list[str] = []
    width = max((len(reason.rule) for reason in candidate.reasons), default=0)
    for reason in candidate.reasons:
        lines.append(f"  {reason.rule.ljust(width)} {reason.strength.ljust(9)}  {reason.fact}")
        where = [reason.at] if reason.at else []
        if reason.source:
            where.append(f"source {reason.source}")
        if reason.seen:
            where.append(f"seen {reason.seen}")
        if reason.recheck_by:
            where.append(f"recheck by {reason.recheck_by}")
        pad = " " * (width + 14)
        if where:
            lines.append(pad + ", ".join(where))
        if reason.note:
            lines.append(pad + reason.note)
    return lines


def _passed(passed: tuple[str, ...], why: Explanation, by_exception: tuple[str, ...]) -> str:
    parts: list[str] = []
    if passed:
        parts.append(f"{', '.join(passed)} pass{'es' if len(passed) == 1 else ''}")
    if by_exception:
        parts.append(f"{', '.join(by_exception)} by exception")
    parts.append(f"allowed by {', '.join(why.allowed_by)}" if why.allowed_by else "allowed by no rule")
    return "; ".join(parts)


def duties(do: Obligations) -> list[str]:
    """Return obligations in words, the strictest first."""
    words: list[str] = [f"ask {who}" for who in do.ask]
    typed = do.tokenise - do.preserving
    for verb, kinds in (
        ("block", do.block),
        ("tokenise", typed),
        ("tokenise in its format", do.preserving),
        ("mask", do.mask),
        ("hash", do.hash),
        ("report", do.report),
    ):
        if kinds:
            words.append(f"{verb} {', '.join(sorted(kinds))}")
    if do.answer_tokens is not None:
        words.append(f"answer ≤ {do.answer_tokens:,} tokens")
    if do.log_in is not None:
        words.append(f"log in {', '.join(sorted(do.log_in)) or 'no place'}")
    if do.forbid_tools:
        words.append(f"no {', '.join(sorted(do.forbid_tools))}")
    if do.no_store:
        words.append("store nothing")
    if do.keep_log_days_at_least is not None:
        words.append(f"keep logs ≥ {do.keep_log_days_at_least} days")
    if do.keep_log_days_at_most is not None:
        words.append(f"keep logs ≤ {do.keep_log_days_at_most} days")
    if do.cache_scope is not None:
        words.append(f"share caches within {do.cache_scope} only")
    words += [f"mark {mark}" for mark in sorted(do.marks)]
    if do.disclose_ai:
        words.append("say that it is AI")
    return words


def _duties(why: Explanation) -> list[str]:
    words = duties(why.obligations)
    return [f"Duties: {'; '.join(words)}"] if words else []
