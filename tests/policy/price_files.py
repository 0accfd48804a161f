"""Small bundles about prices, as text, for tests."""

from __future__ import annotations

from gateway.policy.bundle import Bundle
from gateway.policy.load import bundle_of
from gateway.policy.problems import PolicyErrors
from tests.policy.written import NOW

DEPLOYMENTS = """\
deployments:
  d: {vendor: v, uses: [chat], seen: 2026-11-02, recheck_days: 90}
  e: {vendor: v, uses: [chat], seen: 2026-11-02, recheck_days: 90}
"""
CONNECTIONS = """\
connections:
  d: {api: openai, url: "https://a.example.com/v1", model: m-2026-05-01}
  e: {api: openai, url: "https://a.example.com/v1", model: m}
"""


def entry(name: str = "p1", **fields: str) -> str:
    """One price, a key to a line; a field given as "" is left out."""
    lines = {
        "deployment": "d",
        "currency": "USD",
        "meters": '{input: "1.00", output: "2.00"}',
        "valid": "{from: 2026-01-01}",
        "source": "contract",
        **fields,
    }
    return f"- id: {name}\n" + "".join(f"  {key}: {value}\n" for key, value in lines.items() if value)


def bundle(*entries: str, fx: str = "") -> Bundle:
    """The bundle of these prices."""
    files = {
        "policy.yaml": "policy: p",
        "deployments.yaml": DEPLOYMENTS,
        "connections.yaml": CONNECTIONS,
        "prices/p.yaml": "".join(entries),
        "prices/fx.yaml": fx,
    }
    return bundle_of({name: text.encode() for name, text in files.items()}, now=NOW)


def problems(*entries: str, fx: str = "") -> list[str]:
    """What is wrong with these prices, as a person reads it; [] for nothing."""
    try:
        bundle(*entries, fx=fx)
    except PolicyErrors as errors:
        return [str(problem) for problem in errors.problems]
    return []
