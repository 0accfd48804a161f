"""What every check of a bundle needs: problems with their places, and words against known names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from gateway.core.places import valid
from gateway.policy.bundle import Bundle
from gateway.policy.problems import Problem, did_you_mean
from gateway.policy.source import Document, Key


class Checker:
    """Collects problems. ``errors`` stop a bundle; ``warnings`` are what its authors want to know."""

    def __init__(self, bundle: Bundle, today: date) -> None:
        self.bundle = bundle
        self.today = today
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self.policy = bundle.policy

    def document(self, kind: str) -> Document:
        """Return the file of a kind."""
        return self.bundle.documents[kind]

    def error(self, document: Document, path: Key, message: str, suggestion: str | None = None) -> None:
        """Note what stops the bundle."""
        self.errors.append(document.problem(path, message, suggestion))

    def warn(self, document: Document, path: Key, message: str, suggestion: str | None = None) -> None:
        """Note what does not."""
        self.warnings.append(document.problem(path, message, suggestion))

    def known(
        self, document: Document, path: Key, what: str, words: Iterable[str] | None, names: Iterable[str]
    ) -> None:
        """Check each word of a list against known names."""
        known: set[str] | None = None
        for i, word in enumerate(words or ()):
            known = set(names) if known is None else known
            if word not in known:
                at = (*path, i) if (*path, i) in document.marks else path
                self.error(document, at, f"unknown {what} `{word[:60]}`", did_you_mean(word, known))

    def places(self, document: Document, path: Key, words: list[str] | None) -> None:
        """Check places by the names that the policy gives, and by code."""
        for i, word in enumerate(words or ()):
            if word not in self.policy.places and not valid(word):
                at = (*path, i) if (*path, i) in document.marks else path
                near = did_you_mean(word, self.policy.places)
                self.error(document, at, f"unknown place `{word[:60]}`", near)
