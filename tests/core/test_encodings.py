"""Which models count in which encoding, and what an exact count may lower: never below the vendor's count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bound import input_bound
from gateway.core.encodings import CL100K, O200K, encoding_of, saved, texts, written
from gateway.core.snapshot import Connection
from gateway.core.values import Surface

OURS = Connection(
    deployment="d", api="openai", url="https://api.openai.com/v1", model="gpt-4o", secret=None, options={},
    surfaces=frozenset({"chat"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o", O200K), ("gpt-4o-mini-2024-07-18", O200K), ("gpt-4.1-mini", O200K), ("o3", O200K),
        ("gpt-5", O200K), ("gpt-4", CL100K), ("gpt-4-0613", CL100K), ("gpt-3.5-turbo", CL100K),
        ("text-embedding-3-small", CL100K), ("gpt-oss-120b", None), ("gpt-6", None), ("gpt-4omega", None),
        ("llama-3", None),
    ],
)  # fmt: skip
def test_openais_own_models_at_its_own_hosts(model: str, encoding: str | None) -> None:
    """A name that is not known for sure has none."""
    assert encoding_of(replace(OURS, model=model)) == encoding


@pytest.mark.parametrize(
    "url",
    ["https://eu.api.openai.com/v1", "https://api.openai.com.evil.example/v1", "https://vllm.example/v1"],
)
def test_elsewhere_a_name_proves_nothing(url: str) -> None:
    """A self-hosted server may call anything `gpt-4o`; a connection may say it for sure, or say bytes."""
    there = replace(OURS, url=url)
    assert encoding_of(there) == (O200K if ".openai.com/" in url else None)
    assert encoding_of(replace(there, options={"tokenizer": CL100K})) == CL100K
    assert encoding_of(replace(there, options={"tokenizer": "bytes"})) is None
    assert encoding_of(replace(OURS, api="azure_openai")) is None


def test_only_the_text_of_messages_is_counted() -> None:
    """Roles, names, tools, images and keys that we do not know stay bounded by their bytes."""
    chat: dict[str, Any] = {
        "messages": [
            {"role": "system", "name": "n", "content": "one"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "two"}, {"type": "image_url", "text": "no"}],
            },
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "{}"}}]},
            "garbage",
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "no"}}],
    }
    assert texts(Surface.CHAT, chat) == ["one", "two"]
    answer = {
        "instructions": "a",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "b"}]}],
    }
    assert texts(Surface.RESPONSES, answer) == ["a", "b"]
    assert texts(Surface.RESPONSES, {"input": "c"}) == ["c"]
    assert texts(Surface.EMBEDDINGS, {"input": ["d", 5, "e"]}) == ["d", "e"]
    assert texts(Surface.MESSAGES, chat) == []


@given(st.lists(st.text(), max_size=6))
def test_what_is_written_is_what_the_json_holds(found: list[str]) -> None:
    """The bytes that an exact count replaces are those that the bound counted: never more."""
    whole = orjson.dumps({"messages": [{"role": "user", "content": text} for text in found]})
    empty = orjson.dumps({"messages": [{"role": "user", "content": ""} for _ in found]})
    assert written(found) == len(whole) - len(empty)


@given(st.lists(st.text(), min_size=1, max_size=6), st.integers(0, 2_000))
def test_a_lower_bound_stays_above_the_count(found: list[str], tokens: int) -> None:
    """However the texts count, the bound keeps their tokens and everything else of the request."""
    body = {"model": "m", "messages": [{"role": "user", "content": text} for text in found]}
    by_bytes = input_bound(Surface.CHAT, body, 0, {})
    exact = input_bound(Surface.CHAT, body, 0, {}, saved=saved(found, tokens))
    assert isinstance(by_bytes, int)
    assert isinstance(exact, int)
    assert min(tokens, written(found)) < exact <= by_bytes
