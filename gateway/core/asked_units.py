"""What a call may use beyond tokens, and at which tier it asks to be served.

Searches and the like are billed each, and a hold must cover them too. The request says how
many where the vendor has a field for it (``max_uses``, ``max_tool_calls``,
``max_search_results``); None means that it does not say, and then the price's own
``at_most`` counts, or there is no bound and no call.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.shape import obj, objs, text, whole
from gateway.core.usage import tier_of
from gateway.core.values import Body, Surface

NOTHING: Mapping[str, int | None] = {}
_BILLED = frozenset({"web_search", "code_interpreter", "file_id"})


def asked_units(features: frozenset[str], body: Body, choices: int = 1) -> Mapping[str, int | None]:
    """Return the most that a request may use of each unit. Nearly every request uses none."""
    if _BILLED.isdisjoint(features):
        return NOTHING
    found: dict[str, int | None] = {}
    calls = whole(body, "max_tool_calls")  # responses: over all hosted tools
    for tool in objs(body, "tools"):
        kind = text(tool, "type") or ""
        if kind.startswith("web_search"):
            uses = whole(tool, "max_uses")
            _add(found, "web_search", calls if uses is None else uses)
        elif kind == "file_search":
            _add(found, "file_search", calls)
        elif kind == "code_interpreter":
            _add(found, "code_session", 1)
    search = obj(body, "search_parameters")  # xAI: billed by the source
    if search is not None and text(search, "mode") != "off":
        _add(found, "source", whole(search, "max_search_results"))
    if "web_search" in features and not {"web_search", "source"} & set(found):
        found["web_search"] = calls
    return {unit: None if most is None else max(0, most) * choices for unit, most in found.items()}


_SAYS: Mapping[Surface, tuple[str, ...]] = {
    Surface.CHAT: ("openai", "azure_openai"),
    Surface.RESPONSES: ("openai", "azure_openai"),
    Surface.MESSAGES: ("anthropic",),
}
"""Vendors that read a surface's ``service_tier`` as the app wrote it."""


def asked_tier(surface: Surface, api: str, body: Body) -> str | None:
    """Return the service tier that a request asks for: "" the standard one, None where it leaves it open.

    Left open, a vendor may serve what the account is set to. What a translation would drop is
    left open too, unless it asks for more than standard.
    """
    if body.get("speed") == "fast":
        return "fast"
    said = body.get("service_tier")
    if said is None or said == "auto":
        return None
    tier = tier_of(said)
    return tier if tier or api in _SAYS.get(surface, ()) else None


def _add(found: dict[str, int | None], unit: str, most: int | None) -> None:
    known = found.get(unit, 0)
    found[unit] = None if known is None or most is None else known + most
