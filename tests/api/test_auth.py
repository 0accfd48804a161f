"""Who asks is established by one key in one of three headers, or by an admin token with a role."""

from __future__ import annotations

import pytest

from gateway.adapters.memory_keys import MemoryKeys
from gateway.api.auth import AMBIGUOUS, MISSING, AdminTokens, Role, authenticate, presented_key
from gateway.core.errors import Code, Refusal
from gateway.core.values import Caller
from tests.api.desk_under_test import ADMIN, TOKENS
from tests.people import NOW, app

KEYS = MemoryKeys(lambda: {"teller": app()}, now=NOW)
KEY = KEYS.create(app(), now=NOW)
OTHER = KEYS.create(app(), now=NOW)


def headers(**sent):
    return {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in sent.items()}


@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"x_api_key": KEY},
        {"api_key": KEY},
        {"authorization": f"Bearer {KEY}", "x_api_key": KEY},
        {"authorization": "Basic", "x_api_key": KEY},
    ],
)
def test_a_key_is_taken_from_where_sdks_put_it(sent):
    """OpenAI's, Anthropic's and Azure's headers; the same key twice is one key."""
    if sent.get("authorization") == "Basic":
        # Another scheme beside a key: two credentials that differ.
        assert authenticate(headers(**sent), KEYS, NOW) is AMBIGUOUS
        return
    assert isinstance(authenticate(headers(**sent), KEYS, NOW), Caller)
    assert presented_key(headers(**sent)) == KEY


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Token {KEY}"},
        {"x_api_key": " "},
    ],
)
def test_no_key_is_said_with_how_to_send_one(sent):
    """401, and the header to use."""
    assert authenticate(headers(**sent), KEYS, NOW) is MISSING
    assert presented_key(headers(**sent)) is None


@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": f"Bearer {KEY}", "x_api_key": OTHER},
        {"x_api_key": KEY, "api_key": OTHER},
        {"authorization": f"Bearer {KEY}", "api_key": "junk"},
    ],
)
def test_two_different_keys_are_refused(sent):
    """Which of two apps pays is not ours to guess."""
    assert authenticate(headers(**sent), KEYS, NOW) is AMBIGUOUS
    assert presented_key(headers(**sent)) is None


def test_a_wrong_key_is_refused_and_not_repeated():
    """The answer does not hold what was sent."""
    refusal = authenticate(headers(authorization=f"Bearer {KEY}x"), KEYS, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.code is Code.INVALID_API_KEY
    assert KEY not in refusal.message


def test_a_key_of_any_length_and_bytes_is_survived():
    """A header may hold anything."""
    for value in ("a" * 100_000, "é\xff", "_" * 50):
        assert isinstance(authenticate(headers(authorization=f"Bearer {value}"), KEYS, NOW), Refusal)


@pytest.mark.parametrize(
    ("role", "allowed", "good"),
    [
        ("admin", (), True),
        ("admin", (Role.FINANCE,), True),
        ("finance", (Role.FINANCE,), True),
        ("finance", (), False),
        ("auditor", (Role.FINANCE,), False),
        ("auditor", (Role.FINANCE, Role.AUDITOR), True),
    ],
)
def test_a_role_opens_what_is_its_own(role, allowed, good):
    """An admin opens all."""
    found = ADMIN.authorise(headers(authorization=f"Bearer {TOKENS[role]}"), *allowed)
    if good:
        assert (found.role, found.name) == (role, f"a-{role}")
    else:
        assert isinstance(found, Refusal)
        assert found.code is Code.PERMISSION_DENIED


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer nobody"}, {"authorization": f"Bearer {KEY}"}])
def test_without_a_known_token_nothing_opens(sent):
    """An app's key is no admin token, and an installation without tokens lets nobody in."""
    for tokens in (ADMIN, AdminTokens(())):
        found = tokens.authorise(headers(**sent), Role.FINANCE)
        assert isinstance(found, Refusal)
        assert found.code is Code.INVALID_API_KEY
