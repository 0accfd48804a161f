"""Immutable values that cost as little to make as mutable ones.

A frozen dataclass sets each field through ``object.__setattr__``, which costs three times
what an assignment does, and a call makes thirty values of ten fields. :func:`quick` gives a
frozen dataclass another ``__init__``: while it runs, the new object is of a twin class
with the same slots and no lock, so that fields are plain assignments. Everything else,
the lock first of all, stays the dataclass's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import TypeVar, cast

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Make a ``@dataclass(frozen=True, slots=True, kw_only=True)`` cheap to make.

    Raises TypeError for a class that has ``__post_init__`` or fields that are not arguments.
    """
    slots = cast("tuple[str, ...]", cls.__dict__["__slots__"])
    if hasattr(cls, "__post_init__") or cls.__base__ is not object:
        raise TypeError(f"`{cls.__name__}` needs its own `__init__`: leave `quick` away")
    # INVARIANT: the twin has the same slots in the same order; Python checks that it has.
    twin = type(f"_{cls.__name__}", (), {"__slots__": slots})
    names: dict[str, object] = {"_become": object.__setattr__, "_twin": twin, "_own": cls}
    arguments: list[str] = []
    body = ["_become(self, '__class__', _twin)"]
    for field in fields(cls):  # type: ignore[arg-type]  # a dataclass, or fields() says that it is none
        name = field.name
        if not field.init or not field.kw_only:
            raise TypeError(f"`{cls.__name__}.{name}` is no keyword argument: leave `quick` away")
        value = name
        if field.default is not MISSING:
            names[f"_default_{name}"] = field.default
            arguments.append(f"{name}=_default_{name}")
        elif field.default_factory is not MISSING:
            names[f"_make_{name}"] = field.default_factory
            names["_missing"] = MISSING
            arguments.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        else:
            arguments.append(name)
        body.append(f"self.{name} = {value}")
    body.append("self.__class__ = _own")
    # As dataclasses themselves do: the source is field names, which Python has parsed as names before.
    source = f"def __init__(self, *, {', '.join(arguments)}):\n  " + "\n  ".join(body)
    exec(source, names)  # noqa: S102
    made = cast("Callable[..., None]", names["__init__"])
    made.__qualname__ = f"{cls.__name__}.__init__"
    cls.__init__ = made  # type: ignore[method-assign]  # it takes what the dataclass's own took
    return cls
