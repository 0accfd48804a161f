"""Server-sent events, written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.upstreams.sse import Decoder
from gateway.api.sse import DONE, encode
from gateway.core.values import Event


def test_untouched_events_go_out_as_they_came() -> None:
    """Raw bytes win over data: not a byte of an unchanged event differs."""
    raw = b'event: x\r\ndata:  {"a":1.0}\r\n\r\n'
    assert encode([Event(name="x", data={"a": 1.0}, raw=raw)]) == raw


def test_the_sentinel_is_written_as_openai_writes_it() -> None:
    """An event without data is ``[DONE]``."""
    assert encode([Event(name=None, data=None)]) == DONE == b"data: [DONE]\n\n"


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.sampled_from(["message_start", "ping"])),
            st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3),
        ),
        max_size=6,
    )
)
def test_what_is_written_reads_back(events: list[tuple[str | None, dict[str, str]]]) -> None:
    """Whatever text stands in an event, line breaks included, our decoder reads the same events."""
    given_events = [Event(name=name, data=dict(data)) for name, data in events]
    read = Decoder().feed(encode(given_events))
    assert [(e.name, e.data) for e in read] == [(e.name, e.data) for e in given_events]
