"""OpenAI-compatible connections: addresses and authentication."""

from __future__ import annotations

import pytest

from gateway.adapters.guard import origin_of
from gateway.adapters.upstreams import openai_compatible
from gateway.core.values import Dialect
from tests.fakes.attempts import connection

AZURE = "https://maple-cae.openai.azure.com/openai/v1/"


@pytest.mark.parametrize(
    ("url", "dialect", "address"),
    [
        ("https://api.openai.com/v1", Dialect.CHAT, "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/v1/", Dialect.RESPONSES, "https://api.openai.com/v1/responses"),
        (AZURE, Dialect.EMBEDDINGS, "https://maple-cae.openai.azure.com/openai/v1/embeddings"),
        ("http://127.0.0.1:8000", Dialect.CHAT, "http://127.0.0.1:8000/chat/completions"),
    ],
)
def test_addresses(url, dialect, address):
    """The connection's url is the base; its origin is never left."""
    assert openai_compatible.address(connection(url), dialect) == address
    assert origin_of(address) == origin_of(url)


def test_azures_dated_api():
    """The version is a query, escaped."""
    to = connection(AZURE, options={"api_version": "2026-01-01&x=/"})
    assert openai_compatible.address(to, Dialect.CHAT).endswith("?api-version=2026-01-01%26x%3D%2F")


def test_authentication():
    """A bearer for OpenAI and those like it, a header of its own for Azure, nothing without a secret."""
    plain = {"content-type": "application/json"}
    assert openai_compatible.headers(connection(AZURE), None) == plain
    assert openai_compatible.headers(connection(AZURE), "k")["authorization"] == "Bearer k"
    azure = openai_compatible.headers(connection(AZURE, api="azure_openai"), "k")
    assert azure == {**plain, "api-key": "k"}


def test_organization_and_project():
    """Sent only where the connection names them."""
    to = connection(AZURE, options={"organization": "o", "project": "p", "aws_region": "r"})
    said = openai_compatible.headers(to, None)
    assert said["openai-organization"] == "o"
    assert said["openai-project"] == "p"
    assert len(said) == 3
