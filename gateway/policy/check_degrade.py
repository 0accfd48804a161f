"""What must agree between ``when_over`` and the routes: a stand-in that nobody has is an error."""

from __future__ import annotations

from gateway.policy.checker import Checker
from gateway.policy.schema_degrade import RungModel
from gateway.policy.source import Key


def degrade(check: Checker) -> None:
    """Look at every ladder of a bundle."""
    teams, routes = check.document("teams"), check.document("routes")
    for alias, route in check.bundle.routes.items():
        for i, names in _named(route.when_over):
            path: Key = ("routes", alias, "when_over", i, "cheaper")
            check.known(routes, path, "model", names, check.bundle.routes)
    for team, value in check.bundle.teams.teams.items():
        ladder = value.when_over if isinstance(value.when_over, list) else []
        for i, names in _named(ladder):
            path = ("teams", team, "when_over", i, "cheaper")
            check.known(teams, path, "model", names, check.bundle.routes)
        for name, app in value.apps.items():
            own = app.when_over if isinstance(app.when_over, list) else []
            for i, names in _named(own):
                path = ("teams", team, "apps", name, "when_over", i, "cheaper")
                check.known(teams, path, "model", names, check.bundle.routes)
                for missing in sorted(set(names) & set(check.bundle.routes) - set(app.models)):
                    message = f"`{missing}` cannot stand in: the app `{name}` may not use it"
                    check.error(teams, path, message, f"add {missing} to the app's models")


def _named(ladder: list[RungModel]) -> list[tuple[int, list[str]]]:
    return [(i, rung.cheaper) for i, rung in enumerate(ladder) if isinstance(rung.cheaper, list)]
