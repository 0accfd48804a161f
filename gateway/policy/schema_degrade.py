"""``when_over``: what may be done before a call is refused for want of budget, as people write it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.core.ladder import Cap, Cheaper, Ladder, Queue
from gateway.policy.schema_words import Name, Strict, as_list, wrong

LEAST_TOKENS = 16
LONGEST_S = 120
BY_ROUTE = "by_route"


def _wait(value: object) -> object:
    found = re.fullmatch(r"(\d{1,6})(ms|s)", value) if isinstance(value, str) else None
    if found is None:
        raise wrong(f"`{str(value)[:40]}` is no time to wait", "write it as 10s or 500ms")
    most = int(found[1]) * (1_000_000 if found[2] == "ms" else 1_000_000_000)
    if not 0 < most <= LONGEST_S * 1_000_000_000:
        raise wrong(f"a call waits at most {LONGEST_S} s", "write for example queue: 10s")
    return value


class RungModel(Strict):
    """One rung: a cheaper model, a shorter answer, or a wait in line."""

    cheaper: (
        Literal[True]
        | Annotated[
            list[Name],
            BeforeValidator(as_list, json_schema_input_type=str | list[str]),
            Field(min_length=1),
        ]
        | None
    ) = None
    cap_answer_tokens: Annotated[int, Field(ge=LEAST_TOKENS, le=10_000_000)] | None = None
    queue: Annotated[str, BeforeValidator(_wait)] | None = None

    @model_validator(mode="after")
    def _one(self) -> RungModel:
        said = (self.cheaper, self.cap_answer_tokens, self.queue)
        if sum(each is not None for each in said) != 1:
            raise wrong(
                "a rung says one thing",
                "write {cheaper: true}, {cap_answer_tokens: 256} or {queue: 10s}",
            )
        return self


Rungs = Annotated[list[RungModel], Field(max_length=8)]
WhenOver = Rungs | Literal["by_route"]


def ladder(rungs: list[RungModel]) -> Ladder:
    """Return a ladder as the core reads it."""
    return tuple(_rung(rung) for rung in rungs)


def allowed(own: WhenOver | None, team: WhenOver | None) -> Ladder | None:
    """Return what an app allows: its own word, else its team's; None leaves it to the route."""
    said = own if own is not None else team
    if said is None:
        return ()
    return None if isinstance(said, str) else ladder(said)


def _rung(rung: RungModel) -> Cheaper | Cap | Queue:
    if rung.cap_answer_tokens is not None:
        return Cap(tokens=rung.cap_answer_tokens)
    if rung.queue is not None:
        number = int(rung.queue.rstrip("ms"))
        return Queue(most=number * (1_000_000 if rung.queue.endswith("ms") else 1_000_000_000))
    return Cheaper(aliases=None if rung.cheaper is True else tuple(rung.cheaper or ()))
