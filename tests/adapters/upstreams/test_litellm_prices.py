"""litellm's map is read as a file: exactly, without importing litellm, and a spoilt one is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.adapters.upstreams import litellm_prices
from gateway.adapters.upstreams.litellm_prices import PriceMapMissing, price_map, read


def test_the_installed_map_is_read_without_importing_litellm() -> None:
    """In a process of its own, where nobody else imported it; numbers are whole or decimals."""
    program = (
        "import sys\n"
        "from decimal import Decimal\n"
        "from gateway.adapters.upstreams.litellm_prices import price_map\n"
        "found = price_map()\n"
        "assert 'litellm' not in sys.modules\n"
        "assert len(found.models) > 1000, len(found.models)\n"
        "numbers = [v for e in found.models.values() for k, v in e.items() if 'cost' in k]\n"
        "assert not any(isinstance(v, float) for v in numbers)\n"
        "print(found.version, found.sha256)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    version, digest = done.stdout.split()
    installed = price_map()
    assert (installed.version, installed.sha256) == (version, digest)
    assert "sample_spec" not in installed.models


def test_numbers_keep_their_text(tmp_path: Path) -> None:
    """3e-07 is 0.0000003 exactly, which no float is."""
    path = tmp_path / "map.json"
    path.write_text('{"m": {"input_cost_per_token": 3e-07, "n": 2}, "sample_spec": {}, "note": "x"}')
    found = read(path, version="1")
    assert found.models == {"m": {"input_cost_per_token": Decimal("3E-7"), "n": 2}}
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"m": ', '{"m": {"input_cost_per_token": NaN}}', '{"m": {"c": Infinity}}']
)
def test_a_spoilt_map_is_refused(tmp_path: Path, text: str) -> None:
    """Nothing of it is used."""
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(PriceMapMissing):
        read(path, version="1")


def test_an_installation_without_litellm_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings it, or the prices by hand."""

    def absent(name: str) -> object:
        raise litellm_prices.PackageNotFoundError(name)

    monkeypatch.setattr(litellm_prices, "distribution", absent)
    with pytest.raises(PriceMapMissing, match="litellm is not installed"):
        price_map()
