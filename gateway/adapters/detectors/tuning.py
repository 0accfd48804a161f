"""What an organisation adds to detection in YAML: values never reported, values always reported, own forms.

    allow:                                    # never reported, whoever finds it
      - {value: Maple Bank, kinds: [organisation]}
    deny:                                     # always reported, as whole words in any case
      - {kind: person, values: [Project Zenith]}
    recognizers:
      - name: employee number
        kind: national_id
        pattern: "EMP-[0-9]{6}"
        context: [employee, matricule]        # one of these must stand near, or be the key
        finds: ["employee EMP-204816"]        # tests: a file whose tests fail is refused
        leaves: ["TEMP-204816"]

The file is read once, at start; whatever is wrong with it refuses start-up with a sentence. A
pattern must be bounded (no `*`, no `+`, at most 128 characters wide), because it runs on the
event loop on texts that anybody may send.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from re import _constants as tokens  # type: ignore[attr-defined]  # the parser of `re` has no public name
from re import _parser as parser  # type: ignore[attr-defined]

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from gateway.core import patterns
from gateway.core.values import Span
from gateway.ports import Detector, Text

NAME = "tuning/1"
KINDS = patterns.KINDS | {"person", "location", "organisation"}

WIDEST = 128
VARIABLE = 3
BEFORE, AFTER = 60, 30
SCORE = 93


class TuningError(ValueError):
    """The file is not what it should be; the text says what to change."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Allow(_Strict):
    value: str = Field(min_length=2, max_length=200)
    kinds: tuple[str, ...] = ()


class _Deny(_Strict):
    kind: str
    values: tuple[str, ...] = Field(min_length=1, max_length=10_000)


class _Recognizer(_Strict):
    name: str = Field(min_length=1, max_length=80)
    kind: str
    pattern: str = Field(min_length=2, max_length=500)
    context: tuple[str, ...] = ()
    finds: tuple[str, ...] = Field(min_length=1)
    leaves: tuple[str, ...] = ()


class _File(_Strict):
    allow: tuple[_Allow, ...] = ()
    deny: tuple[_Deny, ...] = ()
    recognizers: tuple[_Recognizer, ...] = Field(default=(), max_length=200)


@dataclass(frozen=True, slots=True)
class _Form:
    kind: str
    pattern: re.Pattern[str]
    context: re.Pattern[str] | None


class Tuning:
    """A file's content, compiled."""

    def __init__(self, allowed: dict[str, frozenset[str]], forms: Sequence[_Form]) -> None:
        self._allowed = allowed  # value in small letters → kinds; none means all
        self._forms = tuple(forms)
        self.kinds = frozenset(form.kind for form in forms)

    def allows(self, span: Span, text: str) -> bool:
        """Tell whether a find is one that is never reported."""
        kinds = self._allowed.get(_plain(text[span.start : span.end]))
        return kinds is not None and (not kinds or span.kind in kinds)

    def find(self, text: str, key: str | None, kinds: frozenset[str]) -> list[Span]:
        """Return what the file's own forms and words find in a text."""
        return [
            Span(kind=form.kind, start=match.start(), end=match.end(), score=SCORE, detector=NAME)
            for form in self._forms
            if form.kind in kinds
            for match in form.pattern.finditer(text)
            if match.end() > match.start() and _near(form.context, match, text, key)
        ]


def load_tuning(path: Path) -> Tuning:
    """Read a file and run the tests in it. Raises TuningError."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = _File.model_validate(raw or {})
    except OSError as away:
        raise TuningError(f"`{path}` cannot be read: {away.strerror}") from None
    except yaml.YAMLError as wrong:
        raise TuningError(f"`{path}` is not YAML: {str(wrong).splitlines()[0]}") from None
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TuningError(f"`{path}` {where}: {first['msg'].lower()}") from None
    forms: list[_Form] = []
    for deny in file.deny:
        _kind(deny.kind)
        words = "|".join(re.escape(word) for word in sorted(deny.values, key=len, reverse=True))
        forms.append(_Form(deny.kind, re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE), None))
    for recognizer in file.recognizers:
        form = _form(recognizer)
        _test(recognizer, form)
        forms.append(form)
    allowed: dict[str, frozenset[str]] = {}
    for allow in file.allow:
        for kind in allow.kinds:
            _kind(kind)
        allowed[_plain(allow.value)] = frozenset(allow.kinds)
    return Tuning(allowed, forms)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _kind(kind: str) -> None:
    if kind not in KINDS:
        raise TuningError(f"unknown kind `{kind}`; known are {', '.join(sorted(KINDS))}")


def _form(recognizer: _Recognizer) -> _Form:
    """Compile a recognizer, and refuse a pattern that could take long."""
    _kind(recognizer.kind)
    try:
        tree = parser.parse(recognizer.pattern)
        pattern = re.compile(rf"(?<![^\W_])(?:{recognizer.pattern})(?![^\W_])")
    except re.error as wrong:
        raise TuningError(f"recognizer `{recognizer.name}`: the pattern does not compile: {wrong}") from None
    if tree.getwidth()[1] > WIDEST:
        raise TuningError(
            f"recognizer `{recognizer.name}`: the pattern may match more than {WIDEST} characters; "
            "write `{1,30}` instead of `+` or `*`"
        )
    if _variable(tree, inside=False) > VARIABLE:
        raise TuningError(
            f"recognizer `{recognizer.name}`: more than {VARIABLE} repeats of changing length, or one inside "
            "another; fixed counts such as `{6}` are free"
        )
    context = None
    if recognizer.context:
        words = "|".join(re.escape(word) for word in recognizer.context)
        context = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)
    return _Form(recognizer.kind, pattern, context)


def _variable(tree: object, *, inside: bool) -> int:
    """Count repeats of changing length in a parsed pattern; nested ones count as too many."""
    count = 0
    for operator, argument in tree:  # type: ignore[attr-defined]  # as above
        if operator in {tokens.MAX_REPEAT, tokens.MIN_REPEAT}:
            low, high, below = argument
            changing = low != high and high > 1
            count += (VARIABLE + 1 if inside and changing else int(changing)) + _variable(
                below, inside=inside or changing or high > 1
            )
        elif operator is tokens.SUBPATTERN:
            count += _variable(argument[-1], inside=inside)
        elif operator is tokens.BRANCH:
            count += max(_variable(branch, inside=inside) for branch in argument[1])
        elif operator is tokens.GROUPREF:
            count += VARIABLE + 1
        elif operator in {tokens.ASSERT, tokens.ASSERT_NOT}:
            count += _variable(argument[1], inside=inside)
    return count


def _test(recognizer: _Recognizer, form: _Form) -> None:
    """Run a recognizer's own examples."""
    tuning = Tuning({}, [form])
    for example in recognizer.finds:
        if not tuning.find(example, None, frozenset({form.kind})):
            raise TuningError(f"recognizer `{recognizer.name}` does not find `{example}`, as `finds` says")
    for example in recognizer.leaves:
        if tuning.find(example, None, frozenset({form.kind})):
            raise TuningError(f"recognizer `{recognizer.name}` does not leave `{example}`, as `leaves` says")


def _near(context: re.Pattern[str] | None, match: re.Match[str], text: str, key: str | None) -> bool:
    if context is None:
        return True
    if key and context.search(re.sub(r"[_\-.]", " ", key)) is not None:
        return True
    before = text[max(0, match.start() - BEFORE) : match.start()]
    return (
        context.search(before) is not None
        or context.search(text, match.end(), match.end() + AFTER) is not None
    )


class TunedDetector(Detector):
    """A detector with an organisation's own additions around it."""

    def __init__(self, inner: Detector, tuning: Tuning) -> None:
        self._inner = inner
        self._tuning = tuning

    @property
    @override
    def kinds(self) -> frozenset[str]:
        """The inner detector's kinds and those of the file."""
        return self._inner.kinds | self._tuning.kinds

    @property
    @override
    def name(self) -> str:
        """The inner detector's name, marked as tuned."""
        return f"{self._inner.name}+{NAME}"

    @override
    async def detect(self, texts: Sequence[Text], kinds: frozenset[str]) -> list[list[Span]]:
        """Return the spans of each text. Raises DetectorUnavailable if the inner detector does."""
        found = await self._inner.detect(texts, kinds & self._inner.kinds)
        return [
            sorted(
                [span for span in spans if not self._tuning.allows(span, text.text)]
                + self._tuning.find(text.text, text.context, kinds),
                key=lambda span: (span.start, -span.end),
            )
            for text, spans in zip(texts, found, strict=True)
        ]
