"""litellm's own price map, read as the data file that it is: litellm is not imported, nothing is fetched.

The map is a JSON file inside the installed wheel. Numbers are read as decimals from their text,
so that no amount passes through a float.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_FILE = "litellm/model_prices_and_context_window_backup.json"


class PriceMapMissing(Exception):
    """There is no price map to read; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceMap:
    """The map of an installed litellm. ``sha256`` is of the file."""

    version: str
    sha256: str
    models: Mapping[str, Mapping[str, object]]


def price_map() -> PriceMap:
    """Return the installed map. Raises PriceMapMissing."""
    try:
        found = distribution("litellm")
    except PackageNotFoundError:
        raise PriceMapMissing(
            "litellm is not installed, and its price map is in its wheel; install the extra "
            "`litellm`, or write the prices by hand"
        ) from None
    return read(Path(str(found.locate_file(_FILE))), version=found.version)


def read(path: Path, *, version: str) -> PriceMap:
    """Return the map of a file. Raises PriceMapMissing when it is none."""
    try:
        raw = path.read_bytes()
        parsed = json.loads(raw, parse_float=Decimal, parse_constant=_no_number)
    except (OSError, ValueError):
        raise PriceMapMissing(f"the price map of litellm {version} cannot be read") from None
    if not isinstance(parsed, dict):
        raise PriceMapMissing(f"the price map of litellm {version} is no list of models")
    models = {
        str(name): entry
        for name, entry in parsed.items()
        if isinstance(entry, dict) and name != "sample_spec"
    }
    return PriceMap(version=version, sha256=hashlib.sha256(raw).hexdigest(), models=models)


def _no_number(word: str) -> object:
    raise ValueError(f"`{word}` is no amount")
