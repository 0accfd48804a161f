"""What ``/status`` says: every control with its mode, and the self-check at start-up.

A room adds what it knows by a :class:`StatusProvider`, a callable that returns one
:class:`Report`. A control is *enforcing*, *degraded* (its declared mode for a failure
applies) or *off*. ``assert_wired`` holds promise 10: a control that the policy or the
settings ask for and that nobody wired refuses start-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.snapshot import Snapshot
from gateway.settings import Settings

NANO_PER_DAY = 86_400 * 10**9

Mode = Literal["enforcing", "degraded", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control: what it does now, and what it is declared to do when it fails."""

    name: str
    mode: Mode
    on_failure: str  # "refuse", or the mode that the policy declares
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one room reports: controls, and facts of its own under one name. No content, no addresses."""

    name: str
    controls: tuple[Control, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


StatusProvider = Callable[[], Report]


def collect(providers: Sequence[StatusProvider]) -> dict[str, object]:
    """Ask every provider, and lay their controls in one list and their facts by name."""
    reports = [provider() for provider in providers]
    controls = [
        {"name": control.name, "mode": control.mode, "on_failure": control.on_failure}
        | ({} if control.why is None else {"why": control.why})
        for report in reports
        for control in report.controls
    ]
    facts = {report.name: dict(report.facts) for report in reports if report.facts}
    return {"controls": controls, **facts}


def policy_report(
    snapshot: Snapshot, *, now: int, soon_days: int = 14, problems: Sequence[object] = ()
) -> Report:
    """Report the active snapshot and the facts that are stale or will be within ``soon_days``.

    ``problems`` are of a newer bundle that could not be taken: the last good one stands in.
    """
    soon = now + soon_days * NANO_PER_DAY
    expiring = [
        {
            "deployment": deployment.id,
            "days": max(0, (deployment.expires - now) // NANO_PER_DAY),
            "stale": deployment.expires <= now,
        }
        for deployment in sorted(snapshot.deployments.values(), key=lambda d: (d.expires, d.id))
        if deployment.expires <= soon
    ]
    single = [
        {
            "deployment": deployment.id,
            "fact": name,
            "days": max(0, (ends - now) // NANO_PER_DAY),
            "stale": ends <= now,
        }
        for deployment in sorted(snapshot.deployments.values(), key=lambda d: d.id)
        for name, ends in sorted(
            {
                **{name: own.ends for name, own in deployment.provenance.items()},
                **{f"has.{paper}": ends for paper, ends in deployment.has.items()},
            }.items()
        )
        if ends <= soon
    ]
    return Report(
        name="policy",
        controls=(
            Control(
                name="policy",
                mode="degraded" if problems else "enforcing",
                on_failure="the last good one stands in for `policy_last_good_s`, then calls are refused",
                why=f"a newer bundle was not taken: {problems[0]}" if problems else None,
            ),
        ),
        facts={
            "name": snapshot.policy_name,
            "version": snapshot.policy_version,
            "snapshot": snapshot.hash,
            "facts": snapshot.facts_hash,
            "prices": snapshot.prices_hash,
            "facts_expiring": expiring,
            "single_facts_expiring": single,
        },
    )


class NotWired(Exception):
    """A control is configured and nobody wired it. The text names each with the fix."""


# What each detector mode of the settings brings, as names for ``wired``.
_INLINE = "detector:inline"
_PRESIDIO = "detector:presidio"


def required_controls(snapshot: Snapshot, settings: Settings) -> dict[str, str]:
    """Return every control that must be wired → who asks for it."""
    needed = {
        "keys": "every surface",
        "policy": "every surface",
        "journal": "every surface",
        "guard": "every upstream call",
    }
    budgeted = any(app.budgets or app.key_budgets or app.user_budgets for app in snapshot.apps.values())
    if budgeted or snapshot.model_budgets or snapshot.data_budgets:
        needed["budgets"] = "`budget` in teams.yaml"
    if any(app.rates or app.key_rates or app.user_rates for app in snapshot.apps.values()):
        needed["rates"] = "`rate` in teams.yaml"
    for app, kinds in sorted(snapshot.detectors_for.items()):
        for kind in sorted(kinds):
            needed.setdefault(f"detector:{kind}", f"the rules that apply to app `{app}`")
    for control, mode in snapshot.degraded_modes.items():
        if control != "detectors" and mode != "refuse":
            needed[f"when_down:{control}:{mode}"] = "`when_down` in policy.yaml"
    if any(rule.do.keep_log_days_at_most is not None for rule in snapshot.rules.rules):
        needed["retention"] = "`keep_log_days` with `at_most` in policy.yaml"
    if settings.detectors.mode != "off":
        needed[_INLINE] = "`detectors.mode` in the settings"
    if settings.detectors.mode == "presidio":
        needed[_PRESIDIO] = "`detectors.mode` in the settings"
    if settings.telemetry.otlp_endpoint is not None:
        needed["otlp"] = "`telemetry.otlp_endpoint` in the settings"
    if settings.admin_token_file is not None:
        needed["admin"] = "`admin_token_file` in the settings"
    return needed


def assert_wired(snapshot: Snapshot, settings: Settings, wired: set[str]) -> None:
    """Refuse to start when a configured control is not wired. Raises NotWired.

    ``wired`` holds the names of :func:`required_controls`; detectors add one
    ``detector:<kind>`` for each kind that they can find.
    """
    missing = {name: by for name, by in required_controls(snapshot, settings).items() if name not in wired}
    if not missing:
        return
    lines = [f"`{name}` is asked for by {by} and is not wired" for name, by in missing.items()]
    if any(name.startswith("detector:") for name in missing):
        lines.append("set `detectors.mode` to one that finds these kinds, or change the rules")
    raise NotWired("; ".join(lines))
