"""Alerts by e-mail: SMTP to the declared relay, with TLS, on a thread.

The one home of ``smtplib``. It speaks to the host and port that its permit names; a relay without
a certificate that this machine trusts gets nothing.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate

from gateway.adapters.alert_webhook import NotDelivered
from gateway.adapters.guard import EgressRefused, Permit, check_mail
from gateway.core.alert_plan import Mail

_TIMEOUT_S = 20
_NAME = "[127.0.0.1]"  # what we call ourselves: no name of this machine is told, and none looked up


def letter(
    mail: Mail, *, title: str, lines: Mapping[str, object], message_id: str, seconds: int
) -> EmailMessage:
    """Return the message: a sentence and the facts, in plain text."""
    made = EmailMessage()
    made["Subject"] = f"[Borderpost] {title}"[:200]
    made["From"] = mail.sender
    made["To"] = ", ".join(mail.to)
    made["Date"] = formatdate(seconds)
    made["Message-ID"] = f"<{message_id}@borderpost>"
    made["Auto-Submitted"] = "auto-generated"
    width = max((len(name) for name in lines), default=0)
    facts = "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines.items())
    made.set_content(f"{title}.\n\n{facts}\n\nSent once by Borderpost, alert {message_id}.\n")
    return made


async def send(
    permit: Permit, mail: Mail, secret: str | None, message: EmailMessage, *, ca: str | None
) -> None:
    """Hand a message to the relay. Raises NotDelivered."""
    try:
        check_mail(permit, mail)
    except EgressRefused as refused:
        raise NotDelivered(refused.reason) from None
    await asyncio.to_thread(_hand_over, mail, secret, message, ca)


def _hand_over(mail: Mail, secret: str | None, message: EmailMessage, ca: str | None) -> None:
    context = ssl.create_default_context(cafile=ca)
    try:
        with _opened(mail, context) as relay:
            if mail.tls == "starttls":
                relay.starttls(context=context)
            if mail.user is not None and secret is not None:
                relay.login(mail.user, secret)
            refused = relay.send_message(message)
    except ssl.SSLError:
        raise NotDelivered("tls") from None
    except smtplib.SMTPAuthenticationError:
        raise NotDelivered("login") from None
    except smtplib.SMTPResponseException as answer:
        raise NotDelivered(f"smtp_{answer.smtp_code}") from None
    except smtplib.SMTPException:
        raise NotDelivered("smtp") from None
    except TimeoutError:
        raise NotDelivered("timeout") from None
    except OSError:
        raise NotDelivered("connect") from None
    if refused:  # the others got it: sent again it would reach them twice
        raise NotDelivered("some_refused")


def _opened(mail: Mail, context: ssl.SSLContext) -> smtplib.SMTP:
    if mail.tls == "tls":
        return smtplib.SMTP_SSL(
            mail.host, mail.port, local_hostname=_NAME, timeout=_TIMEOUT_S, context=context
        )
    return smtplib.SMTP(mail.host, mail.port, local_hostname=_NAME, timeout=_TIMEOUT_S)
