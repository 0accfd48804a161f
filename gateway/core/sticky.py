"""Labels that stay with a conversation: what turn 1 was about, turn 9 is about too.

An app may name its conversation, in a header or in its surface's own metadata. Labels
learned on one call of it are put on every later one, since the vendor's answer, the app's summary
or a pronoun carries on what the first message said. INVARIANT: remembering only adds.

A conversation without a name has no memory here: the history that the app resends is
detected again, every time. When what is remembered cannot be asked, the call is treated as
unlabelled too, the strictest that the policy knows.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace

from gateway.core.rules import UNLABELLED
from gateway.core.shape import is_object
from gateway.core.snapshot import Snapshot
from gateway.core.values import Label, LabelledCall, Surface

SET_BY = "conversation"
SET_BY_DOUBT = "conversation not known"

METADATA = ("conversation_id", "session_id", "thread_id")
"""Keys of ``metadata`` in which apps name a conversation, in the order in which they are looked at."""

_MOST = 256
_NAMED = frozenset({Surface.CHAT, Surface.RESPONSES, Surface.MESSAGES})


def conversation_of(surface: Surface, body: Mapping[str, object]) -> str | None:
    """Return the conversation that a body names in its ``metadata``, bounded, or None."""
    if surface not in _NAMED:
        return None
    metadata = body.get("metadata")
    if not is_object(metadata):
        return None
    for key in METADATA:
        value = metadata.get(key)
        if isinstance(value, str) and value:
            return value[:_MOST]
    return None


def name_of(key: bytes, *, tenant: str, app: str, conversation: str) -> str:
    """Return the name under which a conversation is remembered: it tells nothing without the key.

    Two apps that use the same name have two conversations.
    """
    said = f"{tenant}\0{app}\0{conversation}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, said, "sha256").hex()


def with_remembered(labelled: LabelledCall, names: frozenset[str]) -> LabelledCall:
    """Add the labels that were learned earlier in the conversation."""
    new = sorted(names - labelled.label_names)
    if not new:
        return labelled
    return replace(labelled, labels=(*labelled.labels, *(Label(name=name, set_by=SET_BY) for name in new)))


def with_doubt(labelled: LabelledCall, snapshot: Snapshot) -> LabelledCall:
    """Treat a call as unlabelled too: what its conversation was about is not known."""
    rules = snapshot.rules
    name = rules.treat_as or UNLABELLED
    label = rules.labels.get(name)
    names = {name} if label is None else {name, *label.closure}
    new = sorted(names - labelled.label_names)
    if not new:
        return labelled
    return replace(
        labelled, labels=(*labelled.labels, *(Label(name=each, set_by=SET_BY_DOUBT) for each in new))
    )
