"""The policy bundle of the acceptance suites: Maple Bank, with fake vendors in several places.

Files are written as JSON, which is YAML too. ``bundle(...)`` returns the parts, so that a
test can change one thing and say what it changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from tests.fakes.vendor import FakeVendor

PLACES = {"ca": "CA-QC", "ca_on": "CA-ON", "us": "US", "eu": "DE"}
Bundle = dict[str, Any]


def facts(place: str, vendor: str = "self", **changes: object) -> dict[str, object]:
    """Return the facts of one deployment that keeps everything in one place."""
    return {
        "vendor": vendor,
        "operator": vendor,
        "parent_home": "CA",
        "processed_in": [place],
        "stored_in": [place],
        "vendor_logs_in": [place],
        "staff_access_from": ["CA"],
        "tls_ends_in": [place],
        "keeps_content_days": 0,
        "trains_on_data": "never",
        "uses": ["chat", "embeddings"],
        "has": {"dpa": "2030-01-31", "soc2": "2030-01-31"},
        "seen": "2026-11-01",
        "recheck_days": 3000,
        "source": "made for the tests",
        "max_output_tokens": 1000,
        "media_caps": {"image": 1000},
        **changes,
    }


def connection(vendor: FakeVendor, api: str = "openai", **changes: object) -> dict[str, object]:
    """Return the connection to a fake vendor."""
    return {
        "api": api,
        "url": vendor.url,
        "model": "fake-1",
        "secret": "env:VENDOR_KEY",
        "connect_timeout_ms": 1000,
        "first_byte_timeout_ms": 4000,
        "idle_timeout_ms": 3000,
        **changes,
    }


def api_of(vendor: FakeVendor) -> str:
    """Return the ``api`` of a connection to a vendor: Anthropic's where it speaks that alone."""
    return "anthropic" if vendor.speaks == frozenset({"messages", "count_tokens"}) else "openai"


def price(deployment: str, *, inputs: str = "1.00", outputs: str = "4.00") -> dict[str, object]:
    """Return a price in USD per million tokens."""
    return {
        "id": f"{deployment}-2026",
        "deployment": deployment,
        "currency": "USD",
        "per": 1_000_000,
        "unit": "tokens",
        "meters": {"input": inputs, "cache_read": "0.25", "output": outputs},
        "valid": {"from": "2026-01-01T00:00:00Z"},
        "source": "made for the tests",
    }


def bundle(vendors: dict[str, FakeVendor]) -> Bundle:
    """Return the whole bundle over vendors by deployment id (``ca``, ``ca_on``, ``us``, ``eu``)."""
    api = {name: api_of(vendor) for name, vendor in vendors.items()}
    return {
        "policy.yaml": {
            "policy": "maple-bank",
            "version": 1,
            "owner": "privacy-office",
            "places": {"Canada": ["CA"], "Quebec": ["CA-QC"]},
            "data": {
                "public": {},
                "client": {"found_by": ["app", "header", "detector:sin", "detector:card"]},
                "quebec_client": {"is_also": "client", "found_by": ["app", "header"]},
                "card_number": {"is_also": "client", "found_by": ["detector:card"]},
                "unlabelled": {"treat_as": "client"},
            },
            "rules": [
                {
                    "id": "CA-1",
                    "says": "Client data is processed, stored and logged only in Canada.",
                    "for": {"data": "client"},
                    "must": {
                        "processed_in": "Canada",
                        "stored_in": "Canada",
                        "vendor_logs_in": "Canada",
                    },
                    "strength": "hard",
                },
                {
                    "id": "QC-1",
                    "says": "Quebec clients' data leaves Quebec only under a signed assessment.",
                    "for": {"data": "quebec_client"},
                    "must": {"processed_in": "Quebec", "or_has": "pia_quebec"},
                    "strength": "exception",
                },
                {
                    "id": "SIN-1",
                    "says": "Social insurance numbers are masked.",
                    "for": {"data": ["client", "public"]},
                    "do": [{"mask": ["sin"]}],
                    "strength": "hard",
                },
                {
                    "id": "PCI-1",
                    "says": "Card numbers become tokens before anything is sent or stored.",
                    "for": {"data": "card_number"},
                    "do": [{"tokenise": ["card"]}],
                    "strength": "hard",
                },
                {
                    "id": "MAIL-1",
                    "says": "E-mail addresses become tokens.",
                    "for": {"data": ["client", "public"]},
                    "do": [{"tokenise": ["email"]}],
                    "strength": "hard",
                },
                {
                    "id": "OK-1",
                    "says": "Registered apps may chat and embed.",
                    "for": {"app": "registered", "use": ["chat", "embeddings"]},
                    "allow": True,
                    "do": [{"answer_tokens": {"at_most": 4000}}],
                },
            ],
            "tests": [],
        },
        "deployments.yaml": {
            "deployments": {name: facts(PLACES[name], f"vendor-{name}") for name in vendors}
        },
        "connections.yaml": {
            "connections": {name: connection(vendor, api[name]) for name, vendor in vendors.items()}
        },
        "routes.yaml": {
            "routes": {
                "chat": {
                    "also_called": ["gpt-4.1-mini"],
                    "try": [name for name in ("ca", "ca_on") if name in vendors],
                },
                "chat-pro": {"try": ["us"]} if "us" in vendors else {"try": ["ca"]},
                "everywhere": {"try": sorted(vendors, key=lambda name: name.startswith("ca"))},
                **{f"only-{name.replace('_', '-')}": {"try": [name]} for name in vendors},
            }
        },
        "teams.yaml": {
            "org": "maple-bank",
            "timezone": "America/Toronto",
            "currency": "CAD",
            "budget": {"per": "month", "limit": "100000.00"},
            "teams": {
                "branch": {
                    "cost_centre": [{"code": "4410", "from": "2026-01-01"}],
                    "budget": [
                        {"per": "month", "limit": "2500.00"},
                        {"per": "month", "tokens": 500_000_000},
                    ],
                    "apps": {
                        "teller": {
                            "data": ["client"],
                            "models": ["chat", "chat-pro", "everywhere", *_only(vendors)],
                        }
                    },
                },
                "lab": {
                    "cost_centre": [{"code": "4900", "from": "2026-01-01"}],
                    "budget": {"per": "month", "limit": "300.00"},
                    "apps": {
                        "hackathon": {
                            "data": ["public"],
                            "models": ["chat", "everywhere", *_only(vendors)],
                        }
                    },
                },
            },
        },
        "prices/all.yaml": [price(name) for name in vendors],
        "prices/fx.yaml": {
            "rates": [
                {
                    "base": "USD",
                    "quote": "CAD",
                    "rate": "1.3925",
                    "from": "2026-01-01T00:00:00Z",
                    "source": "Bank of Canada",
                }
            ]
        },
    }


def _only(vendors: dict[str, FakeVendor]) -> list[str]:
    return [f"only-{name.replace('_', '-')}" for name in vendors]


def write(folder: Path, files: Bundle) -> None:
    """Write a bundle, each file whole, so that a running gateway never reads half of one."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        fresh.rename(path)
