"""Finance's approval of what things may cost: asked for when a bundle goes live, and recorded.

Where signing is required, a change of budgets or prices needs a signature that counts by somebody
whom the keyring knows as ``finance``, beside whatever else a bundle needs. Where it is off, the change
comes into force and is recorded with its author, or with none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import orjson
from sqlalchemy import Connection

from gateway.adapters.store_sql import money_changes
from gateway.adapters.store_sql.keys import log_action
from gateway.adapters.store_sql.money_changes import MoneyChange
from gateway.policy.money import Money, changes, money_of
from gateway.policy.sign import Approval, Keyring, Signed, counted
from gateway.policy.sign_statement import FINANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A change of money that was recorded, for the journal and ``/status``."""

    change: MoneyChange
    entry: tuple[str, Mapping[str, object]]


def approvers(given: Approval | None) -> tuple[str, ...]:
    """Return who signed as finance, of the signatures that count."""
    return () if given is None else tuple(person for role, person in given.signed if role == FINANCE)


def missing(keyring: Keyring, given: Approval, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    """Return why a change of money may not go live; empty if it may, or if there is none."""
    said = changes(money_of(old), money_of(new))
    if not said or approvers(given):
        return ""
    what = "; ".join(said[:5]) + (f"; and {len(said) - 5} more" if len(said) > 5 else "")
    if not any(signer.role == FINANCE for signer in keyring.signers):
        fix = f"nobody in the keyring has the role `{FINANCE}`: add a key of finance's"
    else:
        fix = f"sign it with `borderpost policy sign --as {FINANCE}`, by somebody who did not write it"
    return f"budgets or prices change, and {FINANCE} has not approved it: {what}. {fix}"


def missing_alone(keyring: Keyring, bundle: Signed) -> str:
    """Return why a bundle that stands alone may not go live: in a folder no change is told from another.

    Where the keyring knows somebody of finance, each bundle of a folder needs their signature.
    """
    known = any(signer.role == FINANCE for signer in keyring.signers)
    good, _ = counted(bundle, keyring)
    if not known or any(signature.role == FINANCE for signature in good):
        return ""
    return f"a signature as {FINANCE} is missing: what it costs is theirs to approve"


def record(
    connection: Connection,
    *,
    tenant: str,
    bundle: str,
    files: Mapping[str, bytes],
    author: str,
    by: str,
    role: str,
    approved_by: tuple[str, ...],
    now: int,
    stored: Callable[[str], Mapping[str, bytes] | None],
    replaces: str = "",
) -> Changed | None:
    """Record what a bundle that is in force changes of money; None if nothing, or if it is the first.

    ``stored`` gives the files of a stored bundle, ``replaces`` is the one that was in force, where that
    is known. Idempotent: replicas that all see the same bundle record it once.
    """
    new = money_of(files)
    before = money_changes.last(connection, tenant, to_add=True)
    if before is None and replaces and (old := stored(replaces)) is not None:
        before = MoneyChange(
            tenant=tenant,
            bundle=replaces,
            replaces="",
            money=money_of(old).hash,
            at_us=now // 1000,
            author="",
            by="",
            approved_by="[]",
            changes="[]",
        )
        money_changes.add(connection, before)
    if before is not None and before.money == new.hash:
        return None
    change = MoneyChange(
        tenant=tenant,
        bundle=bundle,
        replaces=before.bundle if before is not None else "",
        money=new.hash,
        at_us=now // 1000,
        author=author,
        by=by,
        approved_by=orjson.dumps(approved_by).decode(),
        changes=orjson.dumps(_against(before, new, stored)).decode(),
    )
    money_changes.add(connection, change)
    if before is None:
        return None
    detail: dict[str, object] = {
        "replaces": change.replaces,
        "author": author or "unknown",
        "approved_by": list(approved_by),
        "changes": cast("list[str]", orjson.loads(change.changes)),
    }
    log_action(
        connection,
        at_us=now // 1000,
        tenant=tenant,
        actor=by,
        role=role,
        action="money.changed",
        target=bundle,
        detail=detail,
    )
    entry: Mapping[str, object] = {
        "bundle": bundle,
        "tenant": tenant,
        "by": by,
        "role": role,
        "at": now // 1000,
        **detail,
    }
    return Changed(change=change, entry=("money.changed", entry))


def _against(
    before: MoneyChange | None, new: Money, stored: Callable[[str], Mapping[str, bytes] | None]
) -> list[str]:
    """Return the change in sentences; the earlier bundle is in the store, or its content is not known."""
    if before is None:
        return []
    old = stored(before.bundle)
    return ["what it was before is not known any more"] if old is None else list(changes(money_of(old), new))
