"""What a hot surface is: a path, the walker that covers it, and how it ends.

INVARIANT (promise 10): a path is served only if an :class:`Endpoint` names it, and an
endpoint names the surface whose walker, meter and folds cover it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.values import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One POST surface. ``use`` is the word that policies know it by."""

    path: str
    surface: Surface
    summary: str
    streams: bool
