"""Root keys: one per place, made once, rotated by renaming, and no key opens another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.adapters.keyring import FileKeyRing
from gateway.ports import ContentUnavailable

KEY = bytes(range(32))


def test_what_is_wrapped_opens_again_in_another_process(tmp_path: Path) -> None:
    """The file is made once; what is wrapped shows nothing of the key."""
    wrapped = FileKeyRing(tmp_path).wrap("CA-QC", KEY, b"bound")
    assert KEY not in wrapped
    assert FileKeyRing(tmp_path).unwrap("CA-QC", wrapped, b"bound") == KEY
    assert (tmp_path / "vault" / "content-CA-QC.key").stat().st_mode & 0o077 == 0


def test_places_and_bindings_do_not_meet(tmp_path: Path) -> None:
    """Another place's root key, another subject, a changed byte: none opens it."""
    ring = FileKeyRing(tmp_path)
    wrapped = ring.wrap("CA-QC", KEY, b"bound")
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for place, sealed, bound in (
        ("CA-ON", wrapped, b"bound"),
        ("CA-QC", wrapped, b"other"),
        ("CA-QC", changed, b"bound"),
    ):
        with pytest.raises(ContentUnavailable):
            ring.unwrap(place, sealed, bound)


def test_a_renamed_key_still_opens_and_wraps_no_more(tmp_path: Path) -> None:
    """Rotation: rename the file, restart."""
    old = FileKeyRing(tmp_path).wrap("CA", KEY, b"")
    folder = tmp_path / "vault"
    (folder / "content-CA.key").rename(folder / "content-CA.2026-11.key")
    ring = FileKeyRing(tmp_path)
    assert ring.unwrap("CA", old, b"") == KEY
    new = ring.wrap("CA", KEY, b"")
    assert new[:8] != old[:8]
    (folder / "content-CA.2026-11.key").unlink()
    with pytest.raises(ContentUnavailable, match="backup"):
        FileKeyRing(tmp_path).unwrap("CA", old, b"")


@pytest.mark.parametrize("place", ["", "../x", "ca", "CA-QC/../../x"])
def test_a_place_is_a_code_and_never_a_path(tmp_path: Path, place: str) -> None:
    """Nothing is read or made elsewhere."""
    with pytest.raises(ContentUnavailable):
        FileKeyRing(tmp_path).wrap(place, KEY, b"")
    assert list(tmp_path.rglob("*.key")) == []


def test_a_root_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """It may be known."""
    FileKeyRing(tmp_path).wrap("CA", KEY, b"")
    (tmp_path / "vault" / "content-CA.key").chmod(0o644)
    with pytest.raises(ContentUnavailable, match="0600"):
        FileKeyRing(tmp_path).wrap("CA", KEY, b"")
