"""Several telemetries as one: each gets every observation, and none can hurt a call."""

from __future__ import annotations

import logging

from gateway.ports import Observation, Telemetry

# How a member can fail without being wrong in itself: a full disk under shared metrics, a value
# that a library does not take, a library that is shut down already.
_FAILURES = (OSError, ValueError, TypeError, LookupError, RuntimeError)

log = logging.getLogger("gateway.telemetry")


class Telemetries:
    """Implements :class:`gateway.ports.Telemetry` by handing on to others."""

    def __init__(self, *members: Telemetry) -> None:
        """Keep the members, in order."""
        self._members = members
        self._failed: set[int] = set()

    def observe(self, seen: Observation) -> None:
        """Hand on to every member; one that raises is logged once and does not stop the others."""
        for member in self._members:
            try:
                member.observe(seen)
            except _FAILURES as failure:
                self._say_once(member, failure)

    def count(self, name: str, **labels: str) -> None:
        """Hand on to every member, as :meth:`observe` does."""
        for member in self._members:
            try:
                member.count(name, **labels)
            except _FAILURES as failure:
                self._say_once(member, failure)

    def _say_once(self, member: Telemetry, failure: Exception) -> None:
        if id(member) not in self._failed:
            self._failed.add(id(member))
            log.error(
                "telemetry failed", extra={"kind": type(member).__name__, "error": type(failure).__name__}
            )
