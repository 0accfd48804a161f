"""Reading parsed JSON without trusting it.

Bodies are ``object`` trees whose shape an app or a vendor chose. These readers
narrow one step at a time and answer ``None`` or an empty list for what is not
there, so that no code path of the core raises on a wrong type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Say whether a value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[object]]:
    """Say whether a value is a JSON array."""
    return isinstance(value, list)


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether a value is a JSON integer; ``true`` is not one."""
    return isinstance(value, int) and not isinstance(value, bool)


def obj(body: Mapping[str, object], key: str) -> dict[str, object] | None:
    """Return the object under a key, or None."""
    value = body.get(key)
    return value if is_object(value) else None


def arr(body: Mapping[str, object], key: str) -> list[object]:
    """Return the array under a key, or an empty one."""
    value = body.get(key)
    return value if is_array(value) else []


def objs(body: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """Return the objects of the array under a key; other elements are left out."""
    return [item for item in arr(body, key) if is_object(item)]


def text(body: Mapping[str, object], key: str) -> str | None:
    """Return the string under a key, or None."""
    value = body.get(key)
    return value if isinstance(value, str) else None


def whole(body: Mapping[str, object], key: str) -> int | None:
    """Return the integer under a key, or None."""
    value = body.get(key)
    return value if is_whole(value) else None


def deeper_than(value: object, levels: int) -> bool:
    """Say whether a value nests deeper than a number of levels, without recursion."""
    level = [value]
    for _ in range(levels + 1):
        below: list[object] = []
        for node in level:
            if is_object(node):
                below.extend(node.values())
            elif is_array(node):
                below.extend(node)
        if not below:
            return False
        level = below
    return True
