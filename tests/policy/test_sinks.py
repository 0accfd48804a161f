"""Sinks: a closed list, each with a place, and proofs and `log_in` look at all of them."""

from __future__ import annotations

from gateway.chosen import log_places
from gateway.policy.prove import prove_sentence
from gateway.policy.sinks import DOES, SAYS, Sink, SinkKind, sinks
from gateway.settings import Settings
from tests.policy.written import NOW, bundle, compiled, snapshot, written


def _settings(**more):
    return Settings.load(None, {f"BORDERPOST_{name.upper()}": value for name, value in more.items()})


def _prove(text, kept):
    return prove_sentence(text, "here", bundle("bank"), snapshot("bank"), now=NOW, sinks=kept)


def test_every_kind_says_what_it_does():
    """A kind without a meaning would be proved to be harmless."""
    assert set(DOES) == set(SAYS) == set(SinkKind)
    assert all(DOES.values())


def test_the_sinks_of_a_process():
    """Journal and database always; a collector and a classifier where they are declared; `ZZ` is unknown."""
    plain = {sink.kind: sink.place for sink in sinks(_settings(place="CA-QC"))}
    assert plain == {SinkKind.JOURNAL: "CA-QC", SinkKind.DATABASE: "CA-QC"}
    assert {sink.place for sink in sinks(_settings())} == {None}
    more = _settings(
        place="CA-QC",
        database_place="US",
        telemetry_otlp_endpoint="http://127.0.0.1:4318",
        telemetry_otlp_place="CA",
    )
    assert {sink.kind: sink.place for sink in sinks(more)} == {
        SinkKind.JOURNAL: "CA-QC",
        SinkKind.DATABASE: "US",
        SinkKind.TELEMETRY: "CA",
    }
    assert log_places(more) == {"CA-QC", "US", "CA"}


POLICY = """policy: p
places: {Canada: [CA]}
data: {a: {}}
rules: [{id: OK, says: s, for: {use: chat}, allow: true, do: [DUTY]}]
"""
REST = {
    "deployments": "deployments: {d: {vendor: v, stored_in: [CA], vendor_logs_in: [CA], processed_in: [CA], "
    "uses: chat, seen: 2026-11-02, recheck_days: 90}}",
    "connections": 'connections: {d: {api: openai, url: "https://a.example.com/v1", model: m}}',
    "routes": "routes: {m: {try: [d]}}",
    "teams": "teams: {t: {apps: {one: {data: a, models: [m]}}}}",
}


def _small(duty):
    files = {**REST, "policy": POLICY.replace("DUTY", duty)}
    return written(**files), compiled(**files)


def test_a_sink_outside_breaks_the_sentence_that_is_about_it():
    """With the setting that declares it; a sentence about something else still holds."""
    abroad = (Sink(kind=SinkKind.DATABASE, place="US", at="settings: database_place"),)
    loaded, small = _small("disclose_ai")
    broken = prove_sentence(
        "A data is never stored outside Canada.", "x", loaded, small, now=NOW, sinks=abroad
    )
    assert broken.broken == (
        "a data, app one → the database: database must be inside Canada; is US (settings: database_place)",
    )
    other = "A data never reaches a deployment outside Canada."
    assert prove_sentence(other, "x", loaded, small, now=NOW, sinks=abroad).holds
    home = (Sink(kind=SinkKind.DATABASE, place="CA-QC", at="settings: place"),)
    assert prove_sentence(
        "A data is never stored outside Canada.", "x", loaded, small, now=NOW, sinks=home
    ).holds


def test_the_banks_log_in_keeps_calls_from_a_sink_abroad():
    """OK-1 has every call logged in Canada: with a database abroad each one is refused, so none leaks."""
    abroad = (Sink(kind=SinkKind.DATABASE, place="US", at="settings: database_place"),)
    assert _prove("Client data is never stored outside Canada.", abroad).holds


def test_unknown_and_foreign_sinks_break_what_is_said_of_logs():
    """Unless `log_in` refuses every such call before it gets there."""
    for place in (None, "US"):
        for kind in (SinkKind.JOURNAL, SinkKind.TELEMETRY, SinkKind.DATABASE):
            sink = Sink(kind=kind, place=place, at="settings: x")
            for duty, holds in (("disclose_ai", False), ("{log_in: Canada}", True)):
                files = {**REST, "policy": POLICY.replace("DUTY", duty)}
                proof = prove_sentence(
                    "A data is never logged outside Canada.",
                    "here",
                    written(**files),
                    compiled(**files),
                    now=NOW,
                    sinks=(sink,),
                )
                assert proof.holds is holds, proof
                assert proof.paths > 0


def test_what_reads_prompts_is_a_place_where_they_are_processed():
    """A classifier abroad breaks the sentence about what is reached."""
    files = {**REST, "policy": POLICY.replace("DUTY", "disclose_ai")}
    sink = Sink(kind=SinkKind.CLASSIFIER, place="US", at="settings: detectors.injection_place")
    proof = prove_sentence(
        "A data never reaches a deployment outside Canada.",
        "here",
        written(**files),
        compiled(**files),
        now=NOW,
        sinks=(sink,),
    )
    assert "→ the injection classifier: classifier must be inside Canada; is US" in proof.broken[0]


def test_where_alerts_go_is_a_sink():
    """Each destination by its place; a proof breaks on one abroad, with the line where it is declared."""
    from gateway.core.alert_plan import AlertPlan, Receiver, Webhook

    hook = Webhook(url="https://hooks.example/x", secret=None)
    plan = AlertPlan(receivers={"ops": Receiver(name="ops", way=hook, place="US", at="alerts.yaml:3")})
    kept = sinks(_settings(place="CA-QC"), plan)
    assert [(sink.kind, sink.place) for sink in kept if sink.kind is SinkKind.WEBHOOK] == [
        (SinkKind.WEBHOOK, "US")
    ]
    loaded, small = _small("disclose_ai")
    sentence = "A data is never logged outside Canada."
    broken = prove_sentence(sentence, "x", loaded, small, now=NOW, sinks=kept)
    assert broken.broken == (
        "a data, app one → a destination of alerts: webhook must be inside Canada; is US (alerts.yaml:3)",
    )
    here = AlertPlan(receivers={"ops": Receiver(name="ops", way=hook, place="CA-QC", at="alerts.yaml:3")})
    kept = sinks(_settings(place="CA-QC"), here)
    assert prove_sentence(sentence, "x", loaded, small, now=NOW, sinks=kept).holds
