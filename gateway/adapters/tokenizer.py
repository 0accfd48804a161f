"""Exact counts by OpenAI's encodings, which litellm's wheel carries: read from disk, never downloaded.

Where that extra is not installed there are none, and holds are bounded by bytes. A count of a few
kilobytes takes less time than a task switch and is made at once; a longer one is made on a thread; a
very long one is not made. Files are checked against the hashes that OpenAI publishes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from gateway.core.encodings import CL100K, O200K

log = logging.getLogger("gateway.tokenizer")

AT_ONCE: Final = 8 * 1024
MOST: Final = 1024 * 1024

_FOLDER: Final = ("litellm_core_utils", "tokenizers")
_WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"\s+(?!\S)|\s+"
_LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CL100K = _WORD + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + _REST
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS}*{_SMALL}+{_WORD}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_LETTERS}+{_SMALL}*{_WORD}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|" + _REST
)
_FILES: Final = {
    CL100K: (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        _CL100K,
    ),
    O200K: (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        _O200K,
    ),
}
"""Encoding → its file in the wheel, that file's SHA-256, and the pattern that cuts text into words."""


class BundledTokenizer:
    """Implements :class:`gateway.ports.Tokenizer`. Loads an encoding at its first use, on a thread."""

    def __init__(self, folder: Path | None = None) -> None:
        """Look for the files; ``folder`` is theirs, for a test."""
        self._folder = folder if folder is not None else _bundled()
        self._loaded: dict[str, Any] = {}  # Any: tiktoken's class, where it is installed
        self._loading: dict[str, asyncio.Future[None]] = {}

    @property
    def there(self) -> bool:
        """Whether any count can be made here."""
        return self._folder is not None

    async def count(self, encoding: str, texts: Sequence[str]) -> int | None:
        """Return the tokens of texts, each by itself; None where they cannot be, or need not be, counted."""
        size = sum(map(len, texts))
        if self._folder is None or encoding not in _FILES or not 0 < size <= MOST:
            return None
        known = self._loaded.get(encoding)
        if known is None:
            _ = self._begin(encoding)  # no call waits for it: until it is there, bytes are the bound
            return None
        if size <= AT_ONCE:
            return _counted(known, texts)
        return await asyncio.to_thread(_counted, known, texts)

    async def load(self, encoding: str) -> bool:
        """Wait until an encoding is loaded; return whether it can be counted in."""
        await self._begin(encoding)
        return self._loaded.get(encoding) is not None

    def _begin(self, encoding: str) -> asyncio.Future[None]:
        """Load once, whoever asks; what cannot be loaded is not asked for again."""
        loading = self._loading.get(encoding)
        if loading is None:
            loading = self._loading[encoding] = asyncio.ensure_future(self._read(encoding))
        return loading

    async def _read(self, encoding: str) -> None:
        folder = self._folder
        self._loaded[encoding] = None if folder is None else await asyncio.to_thread(_read, folder, encoding)


def _bundled() -> Path | None:
    """Return the folder of the files in litellm's wheel, without importing any of it."""
    if importlib.util.find_spec("tiktoken") is None:
        return None
    found = importlib.util.find_spec("litellm")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent.joinpath(*_FOLDER)
    return folder if folder.is_dir() else None


def _read(folder: Path, encoding: str) -> Any:
    """Return an encoding from its file, or None: no file, or not the one that we know."""
    name, digest, pattern = _FILES[encoding]
    try:
        raw = (folder / name).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(raw).hexdigest() != digest:
        log.warning("a tokenizer's file is not the known one", extra={"encoding": encoding})
        return None
    import tiktoken  # noqa: PLC0415 (of an extra, and only where its files are)

    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, raw.splitlines())}
    return tiktoken.Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def _counted(known: Any, texts: Sequence[str]) -> int:
    return sum(len(known.encode_ordinary(text)) for text in texts)
