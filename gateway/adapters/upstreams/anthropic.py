"""Anthropic's API: messages and count_tokens.

Owns the paths, the authentication and the beta flags of ``api: anthropic``. The
connection's ``url`` is Anthropic's base URL, with or without ``/v1``.

Options of a connection: ``anthropic_version``; ``inference_geo``, which is sent with each
message, so that the vendor is told where to process and not only trusted to.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.snapshot import Connection
from gateway.core.values import Dialect

VERSION = "2023-06-01"

BETAS = frozenset({
    "claude-code-20250219",
    "context-management-2025-06-27",
    "effort-2025-11-24",
    "extended-cache-ttl-2025-04-11",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19",
    "prompt-caching-2024-07-31",
    "prompt-caching-scope-2026-01-05",
    "structured-outputs-2025-11-13",
    "token-counting-2024-11-01",
    "token-efficient-tools-2025-02-19",
})  # fmt: skip
"""Beta flags of the caller that may go on: they change how an answer is made. One that is not
here is dropped, since it may fetch, store, run or price something that no policy covers."""

_PATHS: Mapping[Dialect, str] = {
    Dialect.MESSAGES: "/messages",
    Dialect.COUNT_TOKENS: "/messages/count_tokens",
}


def address(connection: Connection, dialect: Dialect) -> str:
    """Return the URL of a call. Raises KeyError for a dialect that is not Anthropic's."""
    base = connection.url.rstrip("/")
    return base + ("" if base.endswith("/v1") else "/v1") + _PATHS[dialect]


def headers(connection: Connection, secret: str | None, forwarded: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a call; of ``forwarded`` only known beta flags go on."""
    said = {
        "content-type": "application/json",
        "anthropic-version": connection.options.get("anthropic_version", VERSION),
    }
    if secret is not None:
        said["x-api-key"] = secret
    asked = forwarded.get("anthropic-beta")
    if asked is not None:
        known = [flag for flag in (f.strip() for f in asked.split(",")) if flag in BETAS]
        if known:
            said["anthropic-beta"] = ",".join(known)
    return said


def with_geography(connection: Connection, dialect: Dialect, body: dict[str, object]) -> dict[str, object]:
    """Return the body with the connection's declared geography, whatever the app asked for."""
    geography = connection.options.get("inference_geo")
    if geography is None or dialect is not Dialect.MESSAGES:
        return body
    return {**body, "inference_geo": geography}
