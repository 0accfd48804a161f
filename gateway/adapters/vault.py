"""The installation's root secret: from it the keys for ids and rater pseudonyms are derived.

One file of 32 random bytes in ``data_dir/vault``, readable by its owner alone. Replicas
that share a database share this file (a mounted secret): an id that one replica issued is then
recognised by all. It is not in the database, so that a copy of the database does not
let anyone find out who a pseudonym is.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_SIZE = 32


def root_secret(data_dir: Path) -> bytes:
    """Return the root secret, made at the first call. Safe when several workers start at once.

    Raises ValueError if the file is too short, PermissionError if others can read it.
    """
    return secret_file(data_dir / "vault" / "root.key")


def secret_file(path: Path) -> bytes:
    """Return the secret of a file, made if it is not there. Safe when several workers start at once.

    Raises ValueError if the file is too short, PermissionError if others can read it.
    """
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"`{path}` can be read by others; make it 0600, like any secret")
    secret = path.read_bytes()
    if len(secret) < _SIZE:
        raise ValueError(f"`{path}` holds fewer than {_SIZE} bytes; restore it from your backup")
    return secret


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{secrets.token_hex(8)}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_SIZE))
        os.fsync(handle)
    finally:
        os.close(handle)
    # INVARIANT: a link appears whole or not at all, and the first one wins.
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
