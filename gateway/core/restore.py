"""The reply's way back: masks what it must not show, then turns tokens into originals.

:class:`ReplyFold` consumes the events of a streamed reply (already in the app's surface)
and emits events of the same surface. Text is held back only while it could still become a
token or an identifier, so that a token split over any number of events is restored, and
the concatenated text is the same however the vendor cut it. A plain reply takes the same
path in one piece. Without anything to restore or inspect the fold is the identity, and
raw bytes stay as they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.inspect import JsonInspector, TextInspector, mask_value
from gateway.core.redact import reply_kinds
from gateway.core.reply_slots import (
    Channel,
    Mode,
    Slot,
    choice_index,
    event_slots,
    plain_slots,
    responses_channel,
)
from gateway.core.shape import arr, is_array, is_object, obj
from gateway.core.shape import text as text_of
from gateway.core.surrogates import Restorer, ends_quoted
from gateway.core.values import Body, ClearedCall, Event, Path, Surface
from gateway.core.walk import replace


@dataclass(slots=True)
class _Text:
    """One text of a reply on its way: inspected first, restored after.

    INVARIANT: originals are put back after inspection, so that a restored value is never
    masked, and a masked value never restored.
    """

    restorer: Restorer | None
    inspector: TextInspector | JsonInspector | None
    json: bool = False
    held: str = field(default="", repr=False)
    before: str = field(default="", repr=False)  # the last character that was shown, as it came
    quoted: bool = False  # JSON text: within a string
    template: Event | None = None  # the last event that carried this text, to flush into
    path: Path = ()

    @property
    def idle(self) -> bool:
        """Tell whether nothing is held back."""
        return not self.held and (self.inspector is None or not self.inspector.held)

    def feed(self, text: str) -> str:
        """Take a piece; return what may be shown now."""
        if self.inspector is not None:
            text = self.inspector.feed(text)
        return self._pass(text)

    def settle(self) -> str:
        """Return what is held but whose verdict no further text can change."""
        if isinstance(self.inspector, TextInspector):
            return self._pass(self.inspector.settle())
        return ""

    def end(self) -> str:
        """Return the rest."""
        rest = self.held + (self.inspector.end() if self.inspector is not None else "")
        self.held = ""
        return self._restored(rest) if rest else ""

    def _pass(self, text: str) -> str:
        """Take inspected text; return it restored, but for an end that may yet become a token."""
        if self.held:
            text = self.held + text
            self.held = ""
        if not text or self.restorer is None or not self.restorer.may_hold(text):
            return text
        cut = self.restorer.open_tail(text)
        self.held = text[cut:]
        return self._restored(text[:cut])

    def _restored(self, text: str) -> str:
        restorer = self.restorer
        if restorer is None or not text:
            return text
        shown = restorer.restore(
            text, escaped=self.json, before=self.before, after=self.held, quoted=self.quoted
        )
        if restorer.surrogates is not None:
            self.before = text[-1]
            if self.json:
                self.quoted = ends_quoted(text, quoted=self.quoted)
        return shown


class ReplyFold:
    """Folds the events of one reply, or one plain reply body, back for the app.

    ``masked`` counts by kind what was masked in the reply.
    """

    def __init__(self, surface: Surface, cleared: ClearedCall) -> None:
        """Prepare for one reply to a cleared call."""
        self.surface = surface
        self.masked: Counter[str] = Counter()
        self._kinds = reply_kinds(cleared.decision.obligations)
        self._restorer = Restorer(dict(cleared.originals)) if cleared.originals else None
        self._spared = None if self._restorer is None else self._restorer.surrogates
        self._json_mode = asks_json(surface, cleared.body)
        self._texts: dict[Channel, _Text] = {}
        self._number = -1  # the last sequence number sent
        self._renumber = False  # whether an event was inserted or dropped before
        self._streamed = False
        self.identity = not self._kinds and self._restorer is None

    # ------------------------------------------------------------------- plain

    def plain(self, body: Body) -> Body:
        """Return a plain reply with findings masked and originals restored."""
        if self.identity or self.surface in {Surface.EMBEDDINGS, Surface.COUNT_TOKENS}:
            return body  # vectors and counts
        return self._whole(body, plain_slots(self.surface, body, json_mode=self._json_mode), self.masked)

    def _whole(self, body: Body, slots: list[Slot], masked: Counter[str]) -> Body:
        edits: dict[Path, str] = {}
        for slot in slots:
            if not self._may_change(slot.text):
                continue
            shown = self._complete(slot, masked)
            if shown != slot.text:
                edits[slot.path] = shown
        return replace(body, edits)

    def _complete(self, slot: Slot, masked: Counter[str]) -> str:
        if slot.mode == "value":
            shown = slot.text
            if self._kinds:
                shown = mask_value(shown, self._kinds, slot.context, masked, self._spared)
            return shown if self._restorer is None else self._restorer.restore(shown)
        text = self._text(slot.mode, masked)
        return text.feed(slot.text) + text.end()

    def _text(self, mode: Mode, masked: Counter[str]) -> _Text:
        inspector: TextInspector | JsonInspector | None = None
        if self._kinds:
            made = JsonInspector if mode == "json" else TextInspector
            inspector = made(kinds=self._kinds, masked=masked, spared=self._spared)
        return _Text(restorer=self._restorer, inspector=inspector, json=mode == "json")

    def _may_change(self, text: str) -> bool:
        return bool(self._kinds) or (self._restorer is not None and self._restorer.may_hold(text))

    # ------------------------------------------------------------------ stream

    def step(self, event: Event) -> list[Event]:
        """Take one event; return the events to send now, often the same one."""
        if self.identity:
            return [event]
        data = event.data
        if data is None:
            return [*self.end(), event]
        slots = event_slots(self.surface, data, json_mode=self._json_mode)
        ended = _ended_choices(data) if self.surface is Surface.CHAT else ()
        edits: dict[Path, str] = {}
        for slot in slots:
            if slot.channel is None:
                shown = self._repeated(slot)
            else:
                shown = self._piece(slot, slot.channel, event)
                if slot.channel[0] in ended:
                    shown += self._texts.pop(slot.channel).end()
            if shown != slot.text:
                edits[slot.path] = shown
        events = [made for channel in self._due(data, ended) for made in self._flush(channel)]
        if edits:
            if self._is_hollow(data, slots, edits):
                self._renumber = True
                return events
            event = Event(name=event.name, data=dict(replace(data, edits)), raw=None)
        events.append(self._numbered(event))
        return events

    def end(self) -> list[Event]:
        """Return what is still held back, as events; call it once after the last event."""
        events: list[Event] = []
        for channel in list(self._texts):
            events += self._flush(channel)
        return events

    @property
    def holding(self) -> bool:
        """Tell whether any text is held back."""
        return any(not text.idle for text in self._texts.values())

    def settle(self) -> list[Event]:
        """Return, as events, what is held back but is safe to show whatever follows.

        For a stream that stalls. INVARIANT: the verdict does not depend on when this is called;
        what could still become a token or an identifier stays held.
        """
        events: list[Event] = []
        for text in self._texts.values():
            if text.idle or text.template is None or text.template.data is None:
                continue
            shown = text.settle()
            if shown:
                self._renumber = True
                data = self._carrier(text.template.data, text.path, shown)
                events.append(self._numbered(Event(name=text.template.name, data=data, raw=None)))
        return events

    def _piece(self, slot: Slot, channel: Channel, event: Event) -> str:
        text = self._texts.get(channel)
        if text is None:
            text = self._texts[channel] = self._text(slot.mode, self.masked)
        text.template, text.path = event, slot.path
        self._streamed = True
        return text.feed(slot.text)

    def _repeated(self, slot: Slot) -> str:
        """Return a whole text of a stream; what its pieces counted is not counted again."""
        if not self._may_change(slot.text):
            return slot.text
        return self._complete(slot, Counter() if self._streamed else self.masked)

    def _due(self, data: Mapping[str, object], ended: tuple[int, ...]) -> list[Channel]:
        """Return the texts that this event says are finished."""
        if not self._texts:
            return []
        kind = text_of(data, "type")
        match self.surface:
            case Surface.CHAT:
                if data.get("error"):  # SDKs stop reading here: what was said comes before it
                    return list(self._texts)
                return [channel for channel in self._texts if channel[0] in ended]
            case Surface.MESSAGES:
                if kind == "content_block_stop":
                    return [channel for channel in self._texts if channel[0] == data.get("index")]
                return list(self._texts) if kind in {"message_delta", "message_stop", "error"} else []
            case Surface.RESPONSES:
                if kind is not None and kind.endswith(".done"):
                    done = responses_channel(data, kind)
                    return [
                        channel for channel in self._texts if channel == done or _within(channel, data, kind)
                    ]
                last = {"response.completed", "response.incomplete", "response.failed", "error"}
                return list(self._texts) if kind in last else []
            case Surface.EMBEDDINGS | Surface.COUNT_TOKENS:
                return []

    def _flush(self, channel: Channel) -> list[Event]:
        """Emit what one text still holds back, in an event like the last one that carried it."""
        text = self._texts.pop(channel)
        rest = text.end()
        if not rest or text.template is None or text.template.data is None:
            return []
        data = self._carrier(text.template.data, text.path, rest)
        self._renumber = True
        return [self._numbered(Event(name=text.template.name, data=data, raw=None))]

    def _carrier(self, data: Mapping[str, object], path: Path, rest: str) -> dict[str, object]:
        """Return an event that carries only ``rest``, at the place where the text came from."""
        match self.surface:
            case Surface.CHAT:
                return _chat_carrier(data, path, rest)
            case Surface.MESSAGES if path[0] == "content_block":
                delta = {"type": "text_delta", "text": rest}
                return {"type": "content_block_delta", "index": data.get("index"), "delta": delta}
            case _:
                return dict(replace(data, {path: rest}))

    def _is_hollow(self, data: Mapping[str, object], slots: list[Slot], edits: Mapping[Path, str]) -> bool:
        """Tell whether an event says nothing once its text is held back."""
        if any(slot.channel is None or edits.get(slot.path) != "" for slot in slots):
            return False
        match self.surface:
            case Surface.CHAT:
                choices = data.get("choices")
                return not data.get("usage") and is_array(choices) and all(map(_only_text, choices))
            case Surface.MESSAGES:
                return data.get("type") == "content_block_delta"
            case _:
                return True

    def _numbered(self, event: Event) -> Event:
        """Number a Responses event anew once an event was inserted or dropped before it."""
        if self.surface is not Surface.RESPONSES or event.data is None:
            return event
        number = event.data.get("sequence_number")
        if not isinstance(number, int):
            return event
        if not self._renumber:
            self._number = number
            return event
        self._number += 1
        return Event(name=event.name, data={**event.data, "sequence_number": self._number}, raw=None)


def _ended_choices(data: Mapping[str, object]) -> tuple[int, ...]:
    """Return the numbers of the chat choices that this chunk ends."""
    return tuple(
        choice_index(choice, place)
        for place, choice in enumerate(arr(data, "choices"))
        if is_object(choice) and choice.get("finish_reason") is not None
    )


def _within(channel: Channel, data: Mapping[str, object], kind: str) -> bool:
    """Tell whether a part's or an item's end also ends this channel."""
    output, content = data.get("output_index"), data.get("content_index")
    if kind == "response.output_item.done":
        return channel[1] == output
    if kind == "response.content_part.done":
        return channel[1] == output and channel[2] == content
    return False


def _only_text(choice: object) -> bool:
    """Tell whether a chat choice carries nothing but text: no role, reason, id or name."""
    if not is_object(choice) or choice.get("finish_reason") is not None or choice.get("logprobs"):
        return False
    delta = obj(choice, "delta")
    if delta is None:
        return False
    for key, value in delta.items():
        if isinstance(value, str) and key != "role":
            continue
        if key == "tool_calls" and is_array(value) and all(map(_only_arguments, value)):
            continue
        if value:
            return False
    return True


def _only_arguments(call: object) -> bool:
    if not is_object(call) or call.get("id"):
        return False
    function = obj(call, "function")
    return function is not None and not function.get("name")


def _chat_carrier(data: Mapping[str, object], path: Path, rest: str) -> dict[str, object]:
    """Return a chunk of the same reply that carries one text of one choice only."""
    place, key = path[1], str(path[3])
    choices = arr(data, "choices")
    choice = choices[place] if isinstance(place, int) else None
    delta = obj(choice, "delta") if is_object(choice) else None
    value = _piece_of(None if delta is None else delta.get(key), path[4:], rest)
    chunk = {name: entry for name, entry in data.items() if name not in {"choices", "usage"}}
    index = choice_index(choice, 0) if is_object(choice) else 0
    chunk["choices"] = [{"index": index, "delta": {key: value}, "finish_reason": None}]
    return chunk


def _piece_of(node: object, path: Path, rest: str) -> object:
    """Return what holds ``rest`` at a path below a node: arrays with one element, and its ``index``."""
    if not path:
        return rest
    part, below = path[0], path[1:]
    if isinstance(part, int):
        return [_piece_of(node[part] if is_array(node) else None, below, rest)]
    piece: dict[str, object] = {}
    if is_object(node) and "index" in node:
        piece["index"] = node["index"]
    piece[part] = _piece_of(node.get(part) if is_object(node) else None, below, rest)
    return piece


def asks_json(surface: Surface, body: Body) -> bool:
    """Tell whether the answer's text itself is to be JSON (structured outputs)."""
    match surface:
        case Surface.CHAT:
            return _kind(body.get("response_format")).startswith("json")
        case Surface.RESPONSES:
            text = obj(body, "text")
            return text is not None and _kind(text.get("format")).startswith("json")
        case Surface.MESSAGES:
            config = obj(body, "output_config")
            inner = None if config is None else config.get("format")
            return _kind(inner).startswith("json") or _kind(body.get("output_format")).startswith("json")
        case Surface.EMBEDDINGS | Surface.COUNT_TOKENS:
            return False


def _kind(node: object) -> str:
    return str(node.get("type", "")) if is_object(node) else ""
