"""The store as the origin of the policy in force, and the check of signatures at every load.

Every worker of every replica asks one number each second, reads the active bundle when it moved, and
judges its signatures by its own keyring: what is in the database is taken for nothing more than what
its signatures say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from gateway.adapters.store_sql import Store, StoreUnavailable, money_changes
from gateway.adapters.store_sql import bundles as rows
from gateway.adapters.store_sql.bundles import BundleRow
from gateway.adapters.store_sql.money_changes import MoneyChange
from gateway.core.snapshot import Snapshot
from gateway.policy import money_approval
from gateway.policy.bundle import Bundle
from gateway.policy.money_approval import Changed
from gateway.policy.problems import PolicyErrors, Problem
from gateway.policy.publish import NotPublished, Opened, Package, approve, files_of, find, pack, signed_of
from gateway.policy.sign import Keyring, Signed, Unusable, counted, read_keyring
from gateway.policy.sign_statement import FINANCE
from gateway.policy.watch import NotAccepted, Offered, OriginAway, PolicySource, StoreOrigin
from gateway.settings import Settings

T = TypeVar("T")
AWAY = "the database does not answer, so that it is not known which policy should be in force"


def store_origin(store: Store) -> StoreOrigin:
    """Return the active bundle of a store as an origin. It blocks; ask it off the event loop."""

    def active() -> Offered | None:
        last, package = _asked(store, _active)
        if last is None or package is None:
            return None
        return Offered(
            files=package.files,
            hash=package.hash,
            author=package.author,
            signatures=package.signatures,
            revoke=last.revoke,
        )

    return StoreOrigin(lambda: _asked(store, rows.version), active)


def _active(connection: Connection) -> tuple[rows.Activation | None, Package | None]:
    last = rows.last_activation(connection)
    return last, find(connection, last.hash) if last is not None else None


def _asked(store: Store, work: Callable[[Connection], T]) -> T:
    try:
        with store.read() as connection:
            return work(connection)
    except StoreUnavailable:
        raise OriginAway(AWAY) from None
    except NotPublished as wrong:
        problem = Problem(file="policy.yaml", message=str(wrong))
        raise PolicyErrors([problem]) from None


def approver(
    keyring: Path, store: Store | None, clock: Callable[[], int]
) -> Callable[[Offered, Bundle, Snapshot], None]:
    """Return the check that refuses what is not signed. The keyring is read at each load.

    ``store`` knows the bundles that a narrowing change may name; a folder alone knows none, so that
    every change of it needs every signature.
    """

    def check(offered: Offered, bundle: Bundle, snapshot: Snapshot) -> None:
        package = Package(
            hash=bundle.hash, files=offered.files, author=offered.author, signatures=offered.signatures
        )
        opened = Opened(package=package, bundle=bundle, snapshot=snapshot)
        try:
            judges: Keyring = read_keyring(keyring)
        except Unusable as wrong:
            raise NotAccepted(str(wrong)) from None

        def known(hash_: str) -> Package | None:
            return None if store is None else _asked(store, lambda connection: find(connection, hash_))

        given = approve(opened, judges, known, now=clock())
        lacks = "" if given.given else str(given)
        if store is None:
            lacks = lacks or money_approval.missing_alone(judges, signed_of(opened))
        elif (before := _asked(store, _before)) is not None:
            lacks = lacks or money_approval.missing(judges, given, before, offered.files)
        if lacks:
            raise NotAccepted(f"bundle `{bundle.hash[:12]}` is not approved: {lacks}")

    return check


def _before(connection: Connection) -> Mapping[str, bytes] | None:
    """Return the files of the bundle that was in force before the active one."""
    name = rows.before_active(connection)
    return None if name is None else files_of(connection, name)


def keep(
    connection: Connection, bundle: Bundle, offered: Offered, *, now: int, approved_by: tuple[str, ...] = ()
) -> Changed | None:
    """Store a bundle in force, so that its decisions can be explained later; record what it may cost.

    Returns the change of budgets and prices, if it makes one that is not recorded yet.
    """
    rows.add(
        connection,
        BundleRow(
            hash=bundle.hash,
            tenant=bundle.tenant,
            content=pack(offered.files),
            published_us=now // 1000,
            published_by="folder",
            author=offered.author,
            active=False,
        ),
    )
    return money_approval.record(
        connection,
        tenant=bundle.tenant,
        bundle=bundle.hash,
        files=offered.files,
        author=offered.author,
        by="folder",
        role="platform",
        approved_by=approved_by,
        now=now,
        stored=lambda name: files_of(connection, name),
    )


def source_of(settings: Settings, store: Store, clock: Callable[[], int]) -> PolicySource:
    """Return the source of policies that the settings name, with its check of signatures."""
    from_store = settings.policy_source == "store"
    source = PolicySource(store_origin(store) if from_store else settings.policies)
    if settings.policy_signing == "required" and settings.policy_keyring is not None:
        source.approve = approver(settings.policy_keyring, store if from_store else None, clock)
    return source


def judges(settings: Settings) -> Keyring | None:
    """Return whose signatures count, or None where signing is off. Raises Unusable."""
    if settings.policy_signing != "required" or settings.policy_keyring is None:
        return None
    return read_keyring(settings.policy_keyring)


class Keeper:
    """Stores each bundle that came into force, once, and records what it changes of budgets and prices."""

    def __init__(
        self, store: Store, source: PolicySource, judges: Callable[[], Keyring | None] = lambda: None
    ) -> None:
        """Start with none kept. ``judges`` returns whose signatures count, or None where signing is off."""
        self._store = store
        self._source = source
        self._judges = judges
        self._kept = ""
        self.last: MoneyChange | None = None
        """The newest change of budgets or prices that is recorded."""

    async def keep(self, *, now: int) -> Changed | None:
        """Store the bundle in force if it is not stored; return its change of money, if that is news.

        Raises StoreUnavailable.
        """
        source = self._source
        bundle, offered = source.bundle, source.offered
        if bundle.hash == self._kept or offered is None:
            return None
        approved = self._approvers(bundle, offered)

        def work(connection: Connection) -> tuple[Changed | None, MoneyChange | None]:
            changed = keep(connection, bundle, offered, now=now, approved_by=approved)
            return changed, money_changes.last(connection, bundle.tenant)

        changed, self.last = await self._store.run(work)
        self._kept = bundle.hash
        return changed

    def _approvers(self, bundle: Bundle, offered: Offered) -> tuple[str, ...]:
        try:
            keyring = self._judges()
        except Unusable:
            return ()
        if keyring is None:
            return ()
        signed = Signed(
            hash=bundle.hash,
            author=offered.author,
            changes_need=(),
            signatures=offered.signatures,
        )
        good, _ = counted(signed, keyring)
        return tuple(one.signer for one in good if one.role == FINANCE)
