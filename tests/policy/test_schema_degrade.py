"""``when_over`` as people write it: what it means, and what is wrong with it, where."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.core.ladder import Cap, Cheaper, Queue
from gateway.policy.schema_degrade import WhenOver, allowed, ladder

READ: TypeAdapter[Any] = TypeAdapter(WhenOver)


def test_each_rung_says_one_thing() -> None:
    """In order, as written."""
    rungs = READ.validate_python(
        [
            {"cheaper": True},
            {"cheaper": "chat-mini"},
            {"cap_answer_tokens": 256},
            {"queue": "10s"},
            {"queue": "500ms"},
        ]
    )
    assert ladder(rungs) == (
        Cheaper(), Cheaper(aliases=("chat-mini",)), Cap(tokens=256), Queue(most=10 * 10**9),
        Queue(most=500 * 10**6),
    )  # fmt: skip


def test_whose_word_counts() -> None:
    """The app's, else the team's; nothing said is no."""
    rungs = READ.validate_python([{"cheaper": True}])
    assert allowed(None, None) == ()
    assert allowed(None, rungs) == (Cheaper(),)
    assert allowed([], rungs) == ()
    assert allowed("by_route", rungs) is None
    assert allowed(rungs, "by_route") == (Cheaper(),)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([{}], "a rung says one thing"),
        ([{"cheaper": True, "queue": "1s"}], "a rung says one thing"),
        ([{"cheaper": False}], "cheaper"),
        ([{"cheaper": []}], "cheaper"),
        ([{"cap_answer_tokens": 15}], "cap_answer_tokens"),
        ([{"queue": "10"}], "is no time to wait"),
        ([{"queue": 10}], "is no time to wait"),
        ([{"queue": "0s"}], "waits at most 120 s"),
        ([{"queue": "121s"}], "waits at most 120 s"),
        ([{"queu": "1s"}], "unknown key"),
        ("yes", "by_route"),
        ([{"cap_answer_tokens": 16}] * 9, "at most 8"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong: object, says: str) -> None:
    """At load, with the word that is wrong."""
    with pytest.raises(ValidationError, match=says):
        READ.validate_python(wrong)
