"""What the twin has of its own; the rest is in ``tests/contract/test_keys.py``."""

from __future__ import annotations

import pytest

from gateway.adapters.memory_keys import MemoryKeys
from gateway.core.values import Caller
from tests.people import NOW, app


def test_keys_stand_beside_one_another():
    """A second key does not push out the first."""
    keys = MemoryKeys(lambda: {"teller": app()}, now=NOW)
    both = [keys.create(app(), now=NOW) for _ in range(2)]
    assert all(isinstance(keys.find(key, NOW), Caller) for key in both)


def test_revoking_what_is_not_there_is_an_error():
    """A test that revokes the wrong key should say so."""
    with pytest.raises(KeyError):
        MemoryKeys(dict, now=NOW).revoke("nobody", at_us=0, now=NOW)
