"""The blind test set of detection is the one that was sealed before the first score."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bench.privacy_data import blind

SEAL = Path(__file__).parents[2] / "bench" / "privacy_data" / "BLIND.sha256"


def test_the_seal_holds() -> None:
    """Made again from its seed, the set has the hash that was written down; marks stand in their texts."""
    lines = blind.documents()
    whole = ("\n".join(lines) + "\n").encode()
    assert hashlib.sha256(whole).hexdigest() == SEAL.read_text(encoding="ascii").split()[0]
    for line in lines:
        document = json.loads(line)
        assert all(0 <= span["start"] < span["end"] <= len(document["text"]) for span in document["spans"])
