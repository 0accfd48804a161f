"""The root secret is made once, shared, and nobody else's to read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.adapters.vault import root_secret


def test_it_is_made_once_and_stays(tmp_path):
    """Ids of yesterday must be recognised today."""
    first = root_secret(tmp_path)
    assert len(first) == 32
    assert root_secret(tmp_path) == first


def test_workers_that_start_at_once_agree(tmp_path):
    """Sixteen makers, one secret, no leftovers."""
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(root_secret, [tmp_path] * 16))
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "vault").iterdir()] == ["root.key"]


def test_installations_differ(tmp_path):
    """Chance, not a constant."""
    assert root_secret(tmp_path / "a") != root_secret(tmp_path / "b")


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    """Doubt denies: it may be known."""
    root_secret(tmp_path)
    path = tmp_path / "vault" / "root.key"
    assert path.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="0600"):
        root_secret(tmp_path)


def test_a_short_secret_is_refused(tmp_path):
    """A torn file must not become a weak key."""
    root_secret(tmp_path)
    (tmp_path / "vault" / "root.key").write_bytes(b"short")
    with pytest.raises(ValueError, match="fewer than 32"):
        root_secret(tmp_path)
