"""Where a process puts what it keeps of calls, beside the deployments: a closed list.

INVARIANT: whatever the gateway writes to, exports to or asks is one :class:`SinkKind` with a
declared place; :func:`sinks` must say for each kind whether this process has it. A new sink is a new
kind, and the type checker asks for its place. Proofs look at all of them, and so does ``log_in``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from gateway.core.alert_plan import NO_ALERTS, AlertPlan
from gateway.settings import UNKNOWN_PLACE, Settings


class SinkKind(StrEnum):
    """Everything but deployments that may keep or see something of a call."""

    JOURNAL = "journal"
    DATABASE = "database"
    TELEMETRY = "telemetry"
    WEBHOOK = "webhook"
    CACHE = "cache"
    CLASSIFIER = "classifier"
    JUDGE = "judge"
    RELEASE = "release"


DOES: dict[SinkKind, frozenset[str]] = {
    SinkKind.JOURNAL: frozenset({"vendor_logs_in"}),
    # Sealed replies for retries and masked comments are at rest there, and records.
    SinkKind.DATABASE: frozenset({"stored_in", "vendor_logs_in"}),
    SinkKind.TELEMETRY: frozenset({"vendor_logs_in"}),
    SinkKind.WEBHOOK: frozenset({"processed_in", "vendor_logs_in"}),
    SinkKind.CACHE: frozenset({"stored_in"}),
    SinkKind.CLASSIFIER: frozenset({"processed_in"}),
    SinkKind.JUDGE: frozenset({"processed_in"}),
    SinkKind.RELEASE: frozenset({"processed_in"}),
}
"""What a sink does, in the words of the facts that sentences are about."""

SAYS: dict[SinkKind, str] = {
    SinkKind.JOURNAL: "the journal of this node",
    SinkKind.DATABASE: "the database",
    SinkKind.TELEMETRY: "the telemetry collector",
    SinkKind.WEBHOOK: "a destination of alerts",
    SinkKind.CACHE: "the cache",
    SinkKind.CLASSIFIER: "the injection classifier",
    SinkKind.JUDGE: "the judge",
    SinkKind.RELEASE: "a release's shadow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """One sink of a process. ``place`` is where it keeps what it gets; ``None`` is unknown."""

    kind: SinkKind
    place: str | None
    at: str  # the setting that declares it

    @property
    def does(self) -> frozenset[str]:
        """What it does with what it gets."""
        return DOES[self.kind]

    @property
    def logs(self) -> bool:
        """Whether something of a call stays there, so that ``log_in`` binds it."""
        return bool(self.does & {"vendor_logs_in", "stored_in"})

    @property
    def says(self) -> str:
        """What it is, for people."""
        return SAYS[self.kind]


def sinks(settings: Settings, alerts: AlertPlan = NO_ALERTS) -> tuple[Sink, ...]:
    """Return every sink that a process with these settings has, under a policy that tells these alerts."""
    return tuple(sink for kind in SinkKind for sink in _of(kind, settings, alerts))


def _of(kind: SinkKind, settings: Settings, alerts: AlertPlan) -> tuple[Sink, ...]:
    match kind:
        case SinkKind.JOURNAL:
            return (Sink(kind=kind, place=_known(settings.place), at="settings: place"),)
        case SinkKind.DATABASE:
            declared = settings.database_place
            at = "settings: place" if declared is None else "settings: database_place"
            return (Sink(kind=kind, place=_known(declared or settings.place), at=at),)
        case SinkKind.TELEMETRY:
            telemetry = settings.telemetry
            if telemetry.otlp_endpoint is None:
                return ()
            return (Sink(kind=kind, place=telemetry.otlp_place, at="settings: telemetry.otlp_place"),)
        case SinkKind.CLASSIFIER:
            detectors = settings.detectors
            if detectors.injection_url is None:
                return ()
            at = "settings: detectors.injection_place"
            return (Sink(kind=kind, place=detectors.injection_place, at=at),)
        case SinkKind.WEBHOOK:
            return tuple(Sink(kind=kind, place=each.place, at=each.at) for each in alerts.receivers.values())
        case SinkKind.CACHE | SinkKind.JUDGE | SinkKind.RELEASE:
            # Not built: none of these leaves or keeps anything. Judges and releases call deployments
            # by routes, so that what they reach is proved with the routes.
            return ()
        case _:
            assert_never(kind)


def _known(place: str) -> str | None:
    return None if place == UNKNOWN_PLACE else place
