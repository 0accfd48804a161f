"""What an app is told when policy refuses its call: one sentence, with aliases only.

:func:`refusal` names every failing rule, alternatives that were decided for that very call, and whom to
ask. INVARIANT: it names no deployment, vendor or address, and nothing of the prompt.
"""

from __future__ import annotations

from gateway.core import must
from gateway.core.decide import Decision
from gateway.core.errors import Code, Refusal
from gateway.core.explain import explain
from gateway.core.explanation import BUILT_IN, Explanation, Reason
from gateway.core.places import Places, inside, spoken
from gateway.core.snapshot import Snapshot
from gateway.core.values import LabelledCall


def refusal(labelled: LabelledCall, decision: Decision, snapshot: Snapshot, *, now: int) -> Refusal:
    """Return the 403 of a call that no deployment may see.

    Every failing rule, aliases only, alternatives decided for this very call, whom to ask; no
    deployment, vendor or address, and nothing of the prompt.
    """
    why = explain(labelled, snapshot, now=now)
    reasons = _most_telling(why)
    rules = list(dict.fromkeys(reason.rule for reason in reasons))
    asked = next((name for name in decision.obligations.ask), None) or _owner(rules, snapshot)
    instead = [alias for alias, _, _ in why.use_instead]
    return Refusal(
        code=Code.POLICY_REFUSED,
        message=_message(labelled, decision, snapshot, reasons=reasons, instead=instead, asked=asked),
        param="model",
        extension={
            "decision": decision.id,
            "rules": rules,
            "labels": [{"name": label.name, "set_by": label.set_by} for label in labelled.labels],
            "use_instead": instead,
            "ask": asked,
        },
        retry=False,
    )


def not_loggable(decision: Decision, places: Places) -> Refusal | None:
    """Return the refusal of a call that this node may not log, or None. ``places`` is where it would.

    A record is written of every call, so a node that may not keep one may not serve the call.
    """
    allowed = decision.obligations.log_in
    if allowed is None or inside(places, allowed):
        return None
    return Refusal(
        code=Code.POLICY_REFUSED,
        message=f"This call may be logged in {', '.join(sorted(allowed)) or 'no place'} only, and this node "
        f"keeps its log in {', '.join(sorted(places))}. Nothing was sent. Ask the platform team for a node "
        f"there, quoting {decision.id}.",
        param="model",
        extension={
            "decision": decision.id,
            "rules": list(decision.rules),
            "labels": [{"name": label.name, "set_by": label.set_by} for label in decision.labels],
        },
        retry=False,
    )


def _most_telling(why: Explanation) -> list[Reason]:
    """Return refusing reasons over all candidates: policy rules first, in the file's order."""
    reasons = [r for c in why.candidates if not c.permitted for r in c.reasons if r.refuses]
    return sorted(reasons, key=lambda reason: (reason.rule in BUILT_IN) - (reason.strength == "hard"))


def _owner(rules: list[str], snapshot: Snapshot) -> str:
    owners = {rule.id: rule.owner for rule in snapshot.rules.rules}
    return next((owners[rule] for rule in rules if owners.get(rule)), snapshot.policy_owner)


def _message(
    labelled: LabelledCall,
    decision: Decision,
    snapshot: Snapshot,
    *,
    reasons: list[Reason],
    instead: list[str],
    asked: str,
) -> str:
    call = labelled.call
    if not reasons:
        return f"Refused: '{call.model}' has no deployment. Nothing was sent. Quote {decision.id}."
    first = reasons[0]
    parts = [f"Refused by {first.rule}: {first.says}"]
    detail = _detail(first, labelled, decision, snapshot)
    if detail:
        parts.append(detail)
    parts.append("Nothing was sent.")
    ask = f"ask {asked}, quoting {decision.id}" if asked else f"quote {decision.id}"
    if instead:
        models = " or ".join(f"'{alias}'" for alias in instead)
        parts.append(f"Use model {models}, or {ask}.")
    else:
        parts.append(f"{ask[0].upper()}{ask[1:]}.")
    return " ".join(parts)


def _detail(first: Reason, labelled: LabelledCall, decision: Decision, snapshot: Snapshot) -> str:
    call = labelled.call
    if first.rule == "features":
        asked = ", ".join(sorted(call.features))
        return f"This request uses {asked}; remove it."
    if first.rule == "labels":
        return "A header names a kind of data that the policy does not know, or that a header may not set."
    if first.rule == "use":
        return f"'{call.model}' does not serve this kind of request."
    if first.rule == "facts":
        return f"The facts behind '{call.model}' are due for a recheck."
    if first.fact.split(" ", 1)[0] not in _PLACE_WORDS:
        return ""
    places: set[str] = set()
    for name in decision.candidates:
        held: Places | None = must.place_fact(snapshot.deployments[name], first.fact.split(" ", 1)[0])
        if held is None:
            return (
                f"'{call.model}' may {_PLACE_WORDS[first.fact.split(' ', 1)[0]]} a place that is not known."
            )
        places |= held
    return f"'{call.model}' may {_PLACE_WORDS[first.fact.split(' ', 1)[0]]} {spoken(frozenset(places))}."


_PLACE_WORDS = {
    "processed_in": "run in",
    "stored_in": "store content in",
    "vendor_logs_in": "log content in",
    "staff_access_from": "be reached by staff in",
    "tls_ends_in": "end TLS in",
}
