"""OpenAI's API and everything that speaks it: OpenAI, Azure OpenAI, Mistral, Together, vLLM,
llama.cpp, Ollama and the like.

Owns the paths and the authentication of ``api: openai`` and ``api: azure_openai``. The
connection's ``url`` is the base that ends where ``/chat/completions`` begins.

Options of a connection: ``organization`` and ``project`` (OpenAI), ``api_version`` (Azure's
dated API), ``max_tokens_field`` (``max_completion_tokens`` for models that take no other).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from gateway.core.snapshot import Connection
from gateway.core.values import Dialect

_PATHS: Mapping[Dialect, str] = {
    Dialect.CHAT: "/chat/completions",
    Dialect.EMBEDDINGS: "/embeddings",
    Dialect.RESPONSES: "/responses",
}


def address(connection: Connection, dialect: Dialect) -> str:
    """Return the URL of a call. Raises KeyError for a dialect that is not OpenAI's."""
    url = connection.url.rstrip("/") + _PATHS[dialect]
    version = connection.options.get("api_version")
    return url if version is None else f"{url}?api-version={quote(version, safe='')}"


def headers(connection: Connection, secret: str | None) -> dict[str, str]:
    """Return the headers of a call."""
    said = {"content-type": "application/json"}
    if secret is not None:
        if connection.api == "azure_openai":
            said["api-key"] = secret
        else:
            said["authorization"] = f"Bearer {secret}"
    for option, name in (("organization", "openai-organization"), ("project", "openai-project")):
        value = connection.options.get(option)
        if value is not None:
            said[name] = value
    return said
