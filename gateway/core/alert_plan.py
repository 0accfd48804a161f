"""Who is told of what: the destinations of alerts and what goes where, as ``alerts.yaml`` says it.

A destination is a network destination like any other: it has a declared place, it is listed by
``borderpost egress``, and the guard lets an alert out to its origin and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AlertKind(StrEnum):
    """What an alert may be about."""

    THRESHOLD = "budget_threshold"
    FORECAST = "budget_forecast"
    OVERRUN = "overrun"
    SUSPENDED = "deployment_suspended"
    PLACE = "place_mismatch"
    PRICE_ENDS = "price_ends"
    FACTS_EXPIRE = "facts_expire"
    JOURNAL = "journal_failure"
    TEST = "test"  # a sample that a person asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An HTTPS endpoint. The secret is a reference; it signs what is sent."""

    url: str
    secret: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail relay and who is written to. The password is a reference."""

    host: str
    port: int
    tls: str  # starttls | tls | none
    user: str | None
    secret: str | None
    sender: str
    to: tuple[str, ...]

    @property
    def url(self) -> str:
        """The relay as a destination."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'smtps' if self.tls == 'tls' else 'smtp'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """One destination, and where it keeps what it gets."""

    name: str
    way: Webhook | Mail
    place: str
    at: str = ""  # file:line


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Which alerts go to which destinations. None: every kind, every team."""

    kinds: frozenset[AlertKind] | None
    teams: frozenset[str] | None
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPlan:
    """All of ``alerts.yaml``."""

    receivers: Mapping[str, Receiver] = field(default_factory=dict[str, Receiver])
    sendings: tuple[Sending, ...] = ()
    soon_days: int = 14

    @property
    def places(self) -> frozenset[str]:
        """Where what is told is kept: it counts for ``log_in``, as every sink does."""
        return frozenset(receiver.place for receiver in self.receivers.values())

    def to(self, kind: AlertKind, teams: frozenset[str]) -> tuple[str, ...]:
        """Return the destinations of an alert that is about these teams (none: about no team)."""
        if not self.sendings:
            return tuple(self.receivers)
        found = [
            name
            for sending in self.sendings
            if (sending.kinds is None or kind in sending.kinds)
            and (sending.teams is None or not sending.teams.isdisjoint(teams))
            for name in sending.to
        ]
        return tuple(dict.fromkeys(found))


NO_ALERTS = AlertPlan()
