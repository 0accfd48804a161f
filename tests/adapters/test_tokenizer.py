"""OpenAI's encodings from litellm's wheel: the counts that OpenAI published, no download, bounded work."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import tokenizer as module
from gateway.adapters.tokenizer import AT_ONCE, MOST, BundledTokenizer
from gateway.core.bound import input_bound
from gateway.core.encodings import CL100K, O200K, saved, texts
from gateway.core.values import Surface

there = pytest.mark.skipif(
    importlib.util.find_spec("tiktoken") is None, reason="the extra `litellm` is not installed"
)

# OpenAI's cookbook, "How to count tokens with tiktoken": what its API said these messages were.
EXAMPLE: list[dict[str, str]] = [
    {"role": "system", "content": "You are a helpful, pattern-following assistant that translates corporate "
     "jargon into plain English."},
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {"role": "system", "name": "example_assistant", "content": "Things working well together will increase "
     "revenue."},
    {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to "
     "touch base on opportunities for increased leverage."},
    {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about "
     "how to do better."},
    {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client "
     "deliverable."},
]  # fmt: skip


@pytest.fixture
async def tokenizer() -> BundledTokenizer:
    """The bundled encodings, loaded."""
    made = BundledTokenizer()
    assert await made.load(CL100K)
    assert await made.load(O200K)
    return made


@there
@pytest.mark.parametrize(("encoding", "billed"), [(CL100K, 129), (O200K, 124)])
async def test_what_openai_billed_is_what_we_count_and_less_than_we_hold(
    tokenizer: BundledTokenizer, encoding: str, billed: int
) -> None:
    """By the documented template (3 a message, 1 a name, 3 for the reply) to the token; the bound is more."""
    words = [value for message in EXAMPLE for value in message.values()]
    counted = await tokenizer.count(encoding, words)
    assert counted is not None
    names = sum("name" in message for message in EXAMPLE)
    assert counted + 3 * len(EXAMPLE) + names + 3 == billed
    body: dict[str, Any] = {"model": "gpt-4o", "messages": EXAMPLE}
    found = texts(Surface.CHAT, body)
    tokens = await tokenizer.count(encoding, found)
    assert tokens is not None
    exact = input_bound(Surface.CHAT, body, 0, {}, saved=saved(found, tokens))
    by_bytes = input_bound(Surface.CHAT, body, 0, {})
    assert isinstance(exact, int)
    assert isinstance(by_bytes, int)
    assert billed < exact < by_bytes


@there
@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [
        ("hello world", 2, 2),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
        ("<|endoftext|>", 7, 7),
    ],
)
async def test_known_counts(tokenizer: BundledTokenizer, text: str, cl100k: int, o200k: int) -> None:
    """The cookbook's own table; what looks like a control token is text like any other."""
    assert await tokenizer.count(CL100K, [text]) == cl100k
    assert await tokenizer.count(O200K, [text]) == o200k


@there
async def test_a_count_is_never_above_the_bytes(tokenizer: BundledTokenizer) -> None:
    """Byte-level encodings make at most one token of a byte, so an exact count only ever lowers a hold."""
    for text in ("a" * 5_000, "é" * 2_000, "東京" * 500, " \n\t" * 900, "\x00\x01" * 300, "🙂" * 400):
        for encoding in (CL100K, O200K):
            counted = await tokenizer.count(encoding, [text])
            assert counted is not None
            assert 0 < counted <= len(text.encode())


@there
async def test_what_is_long_is_counted_elsewhere_and_what_is_very_long_not_at_all(
    tokenizer: BundledTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop counts a few kilobytes at most; beyond a mebibyte bytes are the bound."""
    import threading

    seen: list[bool] = []
    plain = module._counted

    def watched(known: Any, found: Any) -> int:
        seen.append(threading.current_thread() is threading.main_thread())
        return plain(known, found)

    monkeypatch.setattr(module, "_counted", watched)
    assert await tokenizer.count(O200K, ["word " * (AT_ONCE // 5)])
    assert await tokenizer.count(O200K, ["word " * (AT_ONCE // 2)])
    assert await tokenizer.count(O200K, ["x" * (MOST + 1)]) is None
    assert await tokenizer.count(O200K, []) is None
    assert await tokenizer.count("no_such", ["text"]) is None
    assert seen == [True, False]


@there
async def test_no_call_waits_for_an_encoding_to_load() -> None:
    """The first ones are bounded by bytes; a moment later counts are exact."""
    made = BundledTokenizer()
    assert await made.count(O200K, ["hello world"]) is None
    assert await made.load(O200K)
    assert await made.count(O200K, ["hello world"]) == 2


async def test_without_the_extra_or_with_another_file_nothing_is_counted(tmp_path: Path) -> None:
    """No folder, no file, or one that is not the published one: None, so bytes are the bound."""
    assert not await BundledTokenizer(tmp_path).load(O200K)
    name, _, _ = module._FILES[O200K]
    (tmp_path / name).write_bytes(b"aGk= 0\n")
    changed = BundledTokenizer(tmp_path)
    assert not await changed.load(O200K)
    assert await changed.count(O200K, ["text"]) is None
    await asyncio.sleep(0)


@there
def test_nothing_of_litellm_is_imported() -> None:
    """Its folder is found by name: a million lines are not read for two files."""
    import subprocess
    import sys

    code = (
        "import sys, asyncio\n"
        "from gateway.adapters.tokenizer import BundledTokenizer\n"
        "made = BundledTokenizer()\n"
        "assert asyncio.run(made.load('o200k_base'))\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'litellm']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
