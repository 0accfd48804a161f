"""What is wrong in a bundle, where, and the nearest right word.

Every mistake that a person can make in a policy file ends up here; no other exception leaves
the loader.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake at ``file:line:column`` (from 1; 0 where a whole file or folder is meant)."""

    file: str
    line: int = 0
    column: int = 0
    message: str  # "rules[2].must: unknown place `Qebec`"
    suggestion: str | None = None  # "did you mean `Quebec`?"

    @override
    def __str__(self) -> str:
        """Return ``policy.yaml:33:5 rules[2].must: unknown place `Qebec`; did you mean `Quebec`?``."""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where} {self.message}" + (f"; {self.suggestion}" if self.suggestion else "")


class PolicyErrors(Exception):
    """A bundle cannot be used. ``problems`` holds every mistake that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems, ordered by place; the text is one line for each."""
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.column, p.message))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the suggestion for a word that is not among the known ones."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower()[:64], by_lower, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{by_lower[near[0]]}`?"
    names = sorted(by_lower.values())
    if names and len(names) <= 12:
        return f"known: {', '.join(f'`{name}`' for name in names)}"
    return None
