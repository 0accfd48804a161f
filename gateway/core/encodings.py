"""Which of OpenAI's encodings a connection's model counts in, and which texts of a request they count.

An exact count is still an upper bound: only the text of messages is counted; everything else (roles,
punctuation, tools, schemas, keys that we do not know) stays counted by its bytes, which is more than
any chat template adds. A model that is not known for sure has no encoding, and is bounded by bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import orjson

from gateway.core.shape import arr, is_array, is_object
from gateway.core.snapshot import Connection
from gateway.core.values import Surface

O200K = "o200k_base"
CL100K = "cl100k_base"
ENCODINGS = (O200K, CL100K)

OPTION = "tokenizer"
"""Option of a connection: the encoding by name, or ``bytes`` for none."""

_HOSTS = re.compile(r"(.+\.)?api\.openai\.com")
_MODELS = (
    (re.compile(r"(gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|chatgpt-4o|o1|o3|o4-mini)(-.*|$)"), O200K),
    (
        re.compile(r"(gpt-4|gpt-3\.5-turbo|text-embedding-3-(small|large)|text-embedding-ada-002)(-.*|$)"),
        CL100K,
    ),
)


def encoding_of(connection: Connection) -> str | None:
    """Return the encoding of a connection's model; None where it is not declared and not OpenAI's own.

    A model's name means something at OpenAI's own hosts only: elsewhere a name is whatever
    somebody called it, so there it counts in an encoding only if the connection says so.
    """
    return _encoding(connection.api, connection.url, connection.model, connection.options.get(OPTION))


@lru_cache(maxsize=1024)
def _encoding(api: str, url: str, model: str, declared: str | None) -> str | None:
    if declared is not None:
        return declared if declared in ENCODINGS else None
    if api != "openai" or not _HOSTS.fullmatch(urlsplit(url).hostname or ""):
        return None
    return next((encoding for names, encoding in _MODELS if names.fullmatch(model)), None)


def texts(surface: Surface, body: Mapping[str, object]) -> list[str]:
    """Return the texts of a request that an encoding may count: of messages, prompts and inputs."""
    found: list[str] = []
    match surface:
        case Surface.CHAT:
            for message in arr(body, "messages"):
                if is_object(message):
                    _content(message.get("content"), found)
        case Surface.RESPONSES:
            _content(body.get("instructions"), found)
            given = body.get("input")
            if isinstance(given, str):
                found.append(given)
            elif is_array(given):
                for item in given:
                    if is_object(item):
                        _content(item.get("content"), found)
        case Surface.EMBEDDINGS:
            given = body.get("input")
            if isinstance(given, str):
                found.append(given)
            elif is_array(given):
                found += [text for text in given if isinstance(text, str)]
        case Surface.MESSAGES | Surface.COUNT_TOKENS:
            pass  # Anthropic publishes no encoding of its models
    return found


def _content(content: object, found: list[str]) -> None:
    if isinstance(content, str):
        found.append(content)
    elif is_array(content):
        for part in content:
            if is_object(part):
                text = part.get("text")
                if isinstance(text, str) and part.get("type") in {"text", "input_text", "output_text"}:
                    found.append(text)


def written(found: list[str]) -> int:
    """Return how many bytes these texts are of the request's JSON, without their quotes."""
    if not found:
        return 0
    return len(orjson.dumps(found)) - 3 * len(found) - 1


def saved(found: list[str], tokens: int) -> int:
    """Return by how much an exact count of the texts lowers the bound of the whole request."""
    return max(0, written(found) - tokens)
