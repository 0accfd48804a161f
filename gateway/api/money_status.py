"""What ``/status`` says of who approves budgets and prices. Apart from the routes: it needs no FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import orjson

from gateway.adapters.store_sql.money_changes import MoneyChange
from gateway.api.status import Control, Report
from gateway.policy.sign import Keyring, Unusable
from gateway.policy.sign_statement import FINANCE


def books_report(
    last: MoneyChange | None,
    *,
    signing: Literal["off", "required"],
    source: Literal["folder", "store"],
    keyring: Callable[[], Keyring | None],
) -> Report:
    """Return what ``/status`` shows of who approves budgets and prices, and of their last change."""
    facts: dict[str, object] = {}
    if last is not None and last.replaces:
        facts["last_money_change"] = {
            "at_us": last.at_us,
            "bundle": last.bundle,
            "author": last.author or "unknown",
            "by": last.by,
            "approved_by": orjson.loads(last.approved_by),
            "changes": len(orjson.loads(last.changes)),
        }
    refused = "a bundle that changes budgets or prices without finance's signature is refused"
    if signing == "off":
        said = "changes of budgets and prices are recorded, not approved: signing is off"
        if source == "folder":
            said += ", and a folder does not say who wrote them"
        return _approval("off", "changes are recorded", said, facts)
    try:
        found = keyring()
    except Unusable as wrong:
        return _approval("degraded", refused, str(wrong), facts)
    if found is None or not any(signer.role == FINANCE for signer in found.signers):
        nobody = f"the keyring names nobody as `{FINANCE}`"
        if source == "folder":
            return _approval(
                "degraded", "changes are recorded", f"{nobody}: changes are only recorded", facts
            )
        return _approval("enforcing", refused, f"{nobody}: no change of money can go live", facts)
    return _approval("enforcing", refused, None, facts)


def _approval(
    mode: Literal["enforcing", "degraded", "off"], on_failure: str, why: str | None, facts: dict[str, object]
) -> Report:
    control = Control(name="money_approval", mode=mode, on_failure=on_failure, why=why)
    return Report(name="books", controls=(control,), facts=facts)
