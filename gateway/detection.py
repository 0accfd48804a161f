"""Detection: only the detectors that can change this app's verdict or obligations run.

INVARIANT: a detector that is down, slow or garbled never means
"nothing found": the call is refused, or, where the policy declares it, treated as
the strictest unlabelled data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core import injection
from gateway.core.errors import Code, GatewayError, Refusal
from gateway.core.snapshot import Snapshot
from gateway.core.values import Call, Finding
from gateway.core.walk import Leaf, leaves
from gateway.ports import Detector, DetectorUnavailable, Span, Telemetry, Text

CONTROL = "detectors"
REFUSE = "refuse"

UNAVAILABLE = Refusal(
    code=Code.DETECTOR_UNAVAILABLE,
    message="The detector of personal data is not answering, so this call cannot be cleared. "
    "Nothing was sent. Retry shortly.",
    retry_after=2,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """The step *detect*: walk, scan, tie what was found to where it stands."""

    detector: Detector
    telemetry: Telemetry

    async def detect(self, call: Call, snapshot: Snapshot) -> tuple[tuple[Finding, ...], bool]:
        """Return the findings, and whether a detector failed under a declared mode.

        Raises GatewayError(DETECTOR_UNAVAILABLE) when one failed and refusing is the mode.
        """
        wanted = snapshot.detectors_for.get(call.caller.app, frozenset())
        if not wanted:
            return (), False
        found = leaves(call.surface, call.body)
        if not found:
            return (), False
        try:
            spans = await self._scan(found, wanted)
        except DetectorUnavailable:
            self.telemetry.count("detector_failure", app=call.caller.app)
            if snapshot.degraded_modes.get(CONTROL, REFUSE) != REFUSE:
                return (), True
            raise GatewayError(UNAVAILABLE) from None
        findings = as_findings(found, spans)
        if not injection.KINDS.isdisjoint(wanted):
            findings = tuple([each for each in findings if not _apps_own(call, each)])
        return findings, False

    async def _scan(self, found: Sequence[Leaf], wanted: frozenset[str]) -> list[list[Span]]:
        if not wanted <= self.detector.kinds:
            raise DetectorUnavailable  # a reload asked for what this process was not started with
        return await self.detector.detect(
            [Text(text=leaf.text, context=leaf.context) for leaf in found], wanted
        )


def _apps_own(call: Call, finding: Finding) -> bool:
    """Whether a find is the app's own word about injection, in its system prompt or its tools."""
    return finding.kind in injection.KINDS and injection.apps_own(call.body, finding.path)


def as_findings(found: Sequence[Leaf], spans: Sequence[Sequence[Span]]) -> tuple[Finding, ...]:
    """Tie spans to the leaves that they were found in."""
    return tuple(
        [
            Finding(
                kind=span.kind,
                path=leaf.path,
                start=span.start,
                end=span.end,
                score=span.score,
                detector=span.detector,
            )
            for leaf, in_leaf in zip(found, spans, strict=True)
            for span in in_leaf
        ]
    )
