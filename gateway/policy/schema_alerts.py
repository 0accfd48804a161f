"""What may stand in ``alerts.yaml``: who is told when budgets run out, vendors overrun, or facts end.

Kept by finance and the platform. Every destination is an egress destination with a declared place.
"""

# ruff: noqa: RUF012 (pydantic copies defaults; across files ruff cannot see that these are models)

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from gateway.core.alert_plan import AlertKind, AlertPlan, Mail, Receiver, Sending, Webhook
from gateway.policy.schema_words import Code, Name, Names, Strict, Text, as_list, wrong
from gateway.policy.source import Document

Secret = Annotated[str, StringConstraints(pattern=r"^(file:/.+|env:[A-Za-z_][A-Za-z0-9_]*)$")]
Told = Literal[
    "budget_threshold",
    "budget_forecast",
    "overrun",
    "deployment_suspended",
    "place_mismatch",
    "price_ends",
    "facts_expire",
    "journal_failure",
]
_HOST = r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)"


def _url(value: str) -> str:
    match = re.fullmatch(rf"(https?)://{_HOST}(:\d{{1,5}})?(/[A-Za-z0-9._~/?=&-]*)?", value)
    if match is None:
        raise wrong("this is no URL of a webhook", "write for example https://hooks.example.com/borderpost")
    if match[1] == "http" and not _here(match[2]):
        raise wrong("plain http leaves this machine unprotected", "write https")
    return value


def _address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", value) or len(value) > 254:
        raise wrong(f"`{value[:60]}` is no mail address", "write for example finance@example.com")
    return value


def _here(host: str) -> bool:
    return host in {"127.0.0.1", "localhost", "[::1]", "::1"}


def is_private(host: str) -> bool:
    """Return whether a host is written as an address that is no public one, or is this machine."""
    if host == "localhost":
        return True
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[
    list[Address],
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
    Field(min_length=1, max_length=20),
]


class WebhookModel(Strict):
    """An HTTPS endpoint that takes JSON, signed where a secret is named."""

    url: Annotated[str, AfterValidator(_url)]
    secret: Secret | None = None
    private: bool = False

    @model_validator(mode="after")
    def _declared(self) -> WebhookModel:
        host = re.sub(r"^https?://", "", self.url).partition("/")[0]
        host = host if host.endswith("]") else host.rpartition(":")[0] or host
        _is_declared(host, private=self.private)
        return self


class EmailModel(Strict):
    """A mail relay, spoken to by SMTP with TLS, and who is written to."""

    host: Annotated[str, StringConstraints(pattern=rf"^{_HOST}$", max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: Text | None = None
    secret: Secret | None = None
    from_: Address = Field(alias="from")
    to: Addresses
    private: bool = False

    @model_validator(mode="after")
    def _protected(self) -> EmailModel:
        _is_declared(self.host, private=self.private)
        if self.tls == "none" and not _here(self.host):
            raise wrong("mail without TLS leaves this machine unprotected", "write tls: starttls")
        if (self.user is None) != (self.secret is None):
            raise wrong("a user has a secret, and a secret a user", "write user and secret, or neither")
        return self


def _is_declared(host: str, *, private: bool) -> None:
    if is_private(host) and not private:
        raise wrong(f"`{host}` is a private address", "write private: true if it is meant")


class ReceiverModel(Strict):
    """One destination: a webhook or e-mail, and the place where it keeps what it gets."""

    webhook: WebhookModel | None = None
    email: EmailModel | None = None
    place: Code

    @model_validator(mode="after")
    def _one(self) -> ReceiverModel:
        if (self.webhook is None) == (self.email is None):
            raise wrong(
                "a destination is a webhook or e-mail, one of them", "write webhook: {url: https://…}"
            )
        return self


class SendModel(Strict):
    """Which alerts go where; what is left out is any."""

    on: (
        Annotated[
            list[Told],
            BeforeValidator(as_list, json_schema_input_type=Told | list[Told]),
            Field(min_length=1),
        ]
        | None
    ) = None
    team: Names | None = None
    to: Annotated[Names, Field(min_length=1)]


class AlertsFile(Strict):
    """``alerts.yaml``: destinations, and what goes where. Without ``send`` everything goes everywhere."""

    soon_days: Annotated[int, Field(ge=1, le=180)] = 14
    destinations: dict[Name, ReceiverModel] = {}
    send: list[SendModel] = []


def plan(file: AlertsFile, document: Document) -> AlertPlan:
    """Return the file as the core reads it."""
    return AlertPlan(
        receivers={
            name: Receiver(
                name=name,
                way=_way(receiver),
                place=receiver.place,
                at=document.at(("destinations", name)),
            )
            for name, receiver in file.destinations.items()
        },
        sendings=tuple(
            Sending(
                kinds=None if send.on is None else frozenset(AlertKind(kind) for kind in send.on),
                teams=None if send.team is None else frozenset(send.team),
                to=tuple(send.to),
            )
            for send in file.send
        ),
        soon_days=file.soon_days,
    )


def _way(receiver: ReceiverModel) -> Webhook | Mail:
    if receiver.webhook is not None:
        return Webhook(url=receiver.webhook.url, secret=receiver.webhook.secret)
    mail = receiver.email
    if mail is None:  # one of the two, as the model says
        raise TypeError("a destination without a way")
    return Mail(
        host=mail.host.strip("[]"),
        port=mail.port,
        tls=mail.tls,
        user=mail.user,
        secret=mail.secret,
        sender=mail.from_,
        to=tuple(mail.to),
    )
