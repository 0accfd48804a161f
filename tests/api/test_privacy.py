"""``POST /v1/privacy/scan``: with an app's key; positions and kinds, never the text."""

from __future__ import annotations

import pytest

from gateway.adapters.detectors.memory import ScriptedDetector
from gateway.adapters.memory_keys import MemoryKeys
from gateway.api.privacy import MOST_TEXTS, PrivacyDeps, router
from tests.api.desk_under_test import CLOCK, client_of, issue_id
from tests.people import NOW, app


@pytest.fixture
async def desk():
    keys = MemoryKeys(lambda: {"teller": app()}, now=NOW)
    detector = ScriptedDetector({"Jane": "person", "Jane Doe": "person"})
    routes = router(PrivacyDeps(keys=keys, detector=detector, clock=CLOCK, issue_id=issue_id))
    async with client_of(routes) as client:
        key = keys.create(app(), now=NOW)

        async def ask(body, *, bearer=key):
            return await client.post(
                "/v1/privacy/scan", json=body, headers={"authorization": f"Bearer {bearer}"}
            )

        yield ask, detector


async def test_one_text(desk):
    """Overlapping finds are shown as one, as redaction would replace them."""
    ask, _ = desk
    answer = await ask({"text": "hello Jane Doe"})
    assert answer.status_code == 200
    assert answer.json()["results"] == [
        {"id": "0", "spans": [{"start": 6, "end": 14, "label": "person", "score": 90}]}
    ]
    assert "Jane" not in answer.text


async def test_many_texts_with_ids_and_keys(desk):
    """Each answer has its text's id; the key reaches the detector."""
    ask, _ = desk
    answer = await ask({"texts": [{"id": "a", "text": "Jane", "key": "name"}, {"text": "nobody"}]})
    assert [(one["id"], len(one["spans"])) for one in answer.json()["results"]] == [("a", 1), ("1", 0)]


@pytest.mark.parametrize(
    "body",
    [[], {}, {"text": 1}, {"texts": []}, {"texts": ["x"]}, {"texts": [{"text": "x"}] * (MOST_TEXTS + 1)}],
)
async def test_wrong_bodies(desk, body):
    """400 with a sentence."""
    ask, _ = desk
    assert (await ask(body)).status_code == 400


async def test_strangers_and_outages(desk):
    """Without a key nothing is scanned; a detector that is down is 503, never an empty answer."""
    ask, detector = desk
    assert (await ask({"text": "Jane"}, bearer="bp_live_nobody")).status_code == 401
    assert detector.seen == []
    detector.down = True
    answer = await ask({"text": "Jane"})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "detector_unavailable"
