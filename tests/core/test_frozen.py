"""Quick values are the same values: as equal, as locked, as strict about their arguments."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.frozen import quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """As dataclasses make it."""

    name: str
    count: int = 3
    notes: list[str] = field(default_factory=list[str], repr=False)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """The same, made quickly."""

    name: str
    count: int = 3
    notes: list[str] = field(default_factory=list[str], repr=False)


@given(st.text(), st.integers())
def test_it_is_the_same_value(name: str, count: int) -> None:
    """Class, fields, equality, repr, replace, copy and pickle do not tell the two apart."""
    one, other = Quick(name=name, count=count), Plain(name=name, count=count)
    assert type(one) is Quick
    assert (one.name, one.count, one.notes) == (other.name, other.count, other.notes)
    assert repr(one).replace("Quick", "Plain") == repr(other)
    assert one == Quick(name=name, count=count)
    assert replace(one, count=count + 1).count == count + 1
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 (our own bytes)


def test_it_is_locked() -> None:
    """Nothing can be changed, added or taken away once it is made."""
    made = Quick(name="a")
    with pytest.raises(FrozenInstanceError):
        made.name = "b"  # type: ignore[misc]  # that is the point
    with pytest.raises(FrozenInstanceError):
        del made.name
    with pytest.raises((AttributeError, TypeError)):
        made.other = 1  # type: ignore[attr-defined]  # as above


def test_defaults_are_made_anew() -> None:
    """Two values do not share a default list."""
    assert Quick(name="a").notes is not Quick(name="b").notes
    assert Quick(name="a").count == 3


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "more": 1}])
def test_arguments_are_checked(arguments: dict[str, object]) -> None:
    """A missing or an unknown argument is an error that names it."""
    with pytest.raises(TypeError, match=r"name|more"):
        Quick(**arguments)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match="positional"):
        Quick("a")  # type: ignore[call-arg]  # as above


def test_what_it_cannot_do_it_refuses() -> None:
    """A class with work of its own at the start, or with a base, keeps its own way."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Checked:
        name: str

        def __post_init__(self) -> None:
            assert self.name

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Derived(Plain):
        more: int = 0

    @dataclass(frozen=True, slots=True)
    class Positional:
        name: str

    for cls in (Checked, Derived, Positional):
        with pytest.raises(TypeError, match="leave `quick` away"):
            quick(cls)
