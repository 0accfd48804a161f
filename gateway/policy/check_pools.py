"""What must agree between ``pools.yaml`` and the other files, and what deserves a warning."""

from __future__ import annotations

from gateway.policy.checker import Checker
from gateway.policy.schema_pools import PoolModel
from gateway.policy.source import Key


def pools(check: Checker) -> None:
    """Check every pool: its deployments and their prices, its teams, its replicas, its rates."""
    bundle, document = check.bundle, check.document("pools")
    owner: dict[str, str] = {}
    for name, pool in bundle.pools.items():
        path: Key = ("pools", name)
        check.known(document, (*path, "deployments"), "deployment", pool.deployments, bundle.deployments)
        for i, deployment in enumerate(pool.deployments):
            if deployment in owner:
                message = f"`{deployment}` is served by the pool `{owner[deployment]}` too"
                check.error(
                    document, (*path, "deployments", i), message, "its time can be split in one pool only"
                )
            owner[deployment] = name
            _priced(check, (*path, "deployments", i), deployment)
        _replicas(check, path, pool)
        for i, rate in enumerate(pool.rate):
            if rate.from_ in {other.from_ for other in pool.rate[:i]}:
                check.error(document, (*path, "rate", i), "two rates begin at the same instant", "keep one")
            _convertible(check, (*path, "rate", i), rate.currency)
        check.known(document, (*path, "idle", "shares"), "team", pool.idle.shares, bundle.teams.teams)
        if pool.calibration == "default":
            message = f"`{name}` is not calibrated: its rows are marked as estimated"
            check.warn(document, path, message, f"run borderpost gpu calibrate {name} under your own load")


def _replicas(check: Checker, path: Key, pool: PoolModel) -> None:
    document = check.document("pools")
    names: set[str] = set()
    for i, replica in enumerate(pool.replicas):
        at = (*path, "replicas", i)
        if replica.name in names:
            check.error(document, at, f"the replica `{replica.name}` stands twice", "give it another name")
        names.add(replica.name)
        if replica.deployment is not None:
            check.known(
                document,
                (*at, "deployment"),
                "deployment of this pool",
                [replica.deployment],
                pool.deployments,
            )
        if replica.from_ is not None and replica.to is not None and replica.to <= replica.from_:
            check.error(document, (*at, "to"), "`to` is not after `from`")
    served = {replica.deployment for replica in pool.replicas}
    for i, deployment in enumerate(pool.deployments):
        if None not in served and deployment not in served:
            message = f"no replica serves `{deployment}`: every one names another deployment"
            check.error(
                document,
                (*path, "deployments", i),
                message,
                "leave `deployment` out of a replica, or name it",
            )


def _priced(check: Checker, path: Key, deployment: str) -> None:
    """Own capacity is paid by time; a price per token beside it would be paid twice."""
    prices = [placed for placed in check.bundle.prices if placed.value.deployment == deployment]
    document = check.document("pools")
    for placed in prices:
        if not placed.value.free:
            message = (
                f"`{deployment}` also has a price per token ({placed.at}): its calls would be paid twice"
            )
            check.error(document, path, message, "give it a price with free: true and no meters")
    if not prices and deployment in check.bundle.deployments:
        message = f"`{deployment}` has no price, so calls under a money budget are refused there"
        check.warn(
            document, path, message, "add one with free: true under prices/; its money is split by time"
        )


def _convertible(check: Checker, path: Key, currency: str) -> None:
    home = check.bundle.teams.currency
    pairs = {(rate.value.base, rate.value.quote) for rate in check.bundle.rates}
    if currency != home and (currency, home) not in pairs and (home, currency) not in pairs:
        message = f"no rate leads from `{currency}` to `{home}`, so this pool's hours cannot be booked"
        check.error(check.document("pools"), path, message, "add it to prices/fx.yaml")
