"""Classification: which kinds of data a call is about, and who said so.

Labels come from the app's registration, verified claims, the caller's place, a header and
detectors. Every source can add and none can remove. What counts as unlabelled is lifted only
by registration or by a verified claim: a header or a detector adds to ``treat_as``, it does
not replace it. A header that names a kind of data which no policy knows, or which a header may
not set, is doubt, and doubt denies: the call is labelled ``unknown``, which nothing permits.
"""

from __future__ import annotations

from gateway.core.rules import UNKNOWN, UNLABELLED, CompiledRules
from gateway.core.snapshot import Snapshot
from gateway.core.values import Call, Caller, Finding, Label, LabelledCall

_NONE: frozenset[str] = frozenset()
_MEMO_LIMIT = 8_192


def classify(
    call: Call, findings: tuple[Finding, ...], snapshot: Snapshot, *, detectors_failed: bool
) -> LabelledCall:
    """Label a call. Each label appears once, set by the first source that named it."""
    rules = snapshot.rules
    caller = call.caller
    kinds = frozenset([finding.kind for finding in findings]) if findings else _NONE
    key = (caller.app, caller.place, caller.claims, call.header_labels, kinds, detectors_failed)
    labels = rules.label_memo.get(key)
    if labels is None:
        labels = _labels(call, kinds, snapshot, detectors_failed=detectors_failed)
        if len(rules.label_memo) >= _MEMO_LIMIT:
            rules.label_memo.clear()
        rules.label_memo[key] = labels
    return LabelledCall(call=call, labels=labels, findings=findings)


def _labels(
    call: Call, kinds: frozenset[str], snapshot: Snapshot, *, detectors_failed: bool
) -> tuple[Label, ...]:
    rules = snapshot.rules
    found: dict[str, str] = {}
    app = snapshot.apps.get(call.caller.app)
    if app is not None:
        for name in app.data:
            _add(found, name, f"app {app.id}", rules)
    _claims(found, call.caller, rules)
    if not found:
        _add(found, rules.treat_as or UNLABELLED, UNLABELLED, rules)
    if detectors_failed:
        # What a detector could not read is as good as unlabelled.
        _add(found, rules.treat_as or UNLABELLED, "detector failure", rules)
    for name in call.header_labels:
        known = rules.labels.get(name)
        _add(found, name if known is not None and known.by_header else UNKNOWN, "header", rules)
    for label in rules.labels.values():
        for kind in sorted(label.kinds & kinds):
            _add(found, label.name, f"detector:{kind}", rules)
    return tuple([Label(name=name, set_by=set_by) for name, set_by in found.items()])


def _claims(found: dict[str, str], caller: Caller, rules: CompiledRules) -> None:
    for label in rules.labels.values():
        for key, value in label.claims:
            if _claimed(caller, key, value):
                _add(found, label.name, f"{key}={value}", rules)


def _claimed(caller: Caller, key: str, value: str) -> bool:
    """Return whether the caller's place or a verified claim says so."""
    place = caller.place
    if place is not None:
        country, _, part = place.partition("-")
        if (key == "province" and part == value) or (key == "country" and country == value):
            return True
        if key == "place" and place == value:
            return True
    return (key, value) in caller.claims


def _add(found: dict[str, str], name: str, set_by: str, rules: CompiledRules) -> None:
    found.setdefault(name, set_by)
    label = rules.labels.get(name)
    if label is not None:
        for also in sorted(label.closure):
            found.setdefault(also, set_by)
