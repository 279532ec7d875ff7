"""Mailing what rows have to say, each once.

A letter has an id of its own: should the process die between sending and noting it, the repeat carries the
same id and mail systems show it once. Whoever mails has the letter to himself, and not the row that it is
about, which can change meanwhile. One that cannot be sent holds up no other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from django.core.mail import EmailMessage
from django.db import models, transaction

from apps.core import statements

log = structlog.get_logger(__name__)

Row = TypeVar("Row", bound=models.Model)

# What is told is mailed while it is news; who can be reached only later finds it in the panel.
MAIL_WITHIN = timedelta(days=7)
AT_ONCE = 50

_ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended('hostedai.mail.' || %s || '.' || %s, 0))"


@dataclass(frozen=True, slots=True)
class Letter:
    """`name` tells it from every other letter and stays the same when it is sent again."""

    name: str
    to: Sequence[str]
    subject: str
    body: str
    attachments: Sequence[tuple[str, bytes, str]] = ()  # name, content, media type


def mail_each(
    waiting: "models.QuerySet[Row]",
    *,
    write: Callable[[Row], Letter],
    note: Callable[[Row, Letter], object],
) -> int:
    """Send the letters of some of the rows that wait for it; how many went out. Which ones is left to chance:
    those that are refused again and again do not take the others' turns.

    `note` takes a row out of those that wait. A letter to nobody is noted without being sent.
    """
    lot = waiting.order_by("?").values_list("pk", flat=True)[:AT_ONCE]
    keys = waiting.filter(pk__in=list(lot)).values_list("pk", flat=True)
    return sum(_mail(waiting.filter(pk=key), key, write, note) for key in keys)


@transaction.atomic
def _mail(
    waiting: "models.QuerySet[Row]",
    key: Any,
    write: Callable[[Row], Letter],
    note: Callable[[Row, Letter], object],
) -> bool:
    is_mine = statements.fetch_one(_ALONE, [waiting.model._meta.label_lower, str(key)])[0]
    row = waiting.first() if is_mine else None
    if row is None:
        return False
    letter = write(row)
    if letter.to and not _send(letter):
        return False
    note(row, letter)
    return bool(letter.to)


def _send(letter: Letter) -> bool:
    headers = {"Message-ID": f"<{letter.name}@hostedai>"}
    subject = " ".join(letter.subject.split())  # names may have lines
    mail = EmailMessage(subject, letter.body, None, letter.to, headers=headers)
    for attachment in letter.attachments:
        mail.attach(*attachment)
    try:
        mail.send()
    except (
        OSError,
        ValueError,
    ) as error:  # SMTPException is an OSError; an address that is none a ValueError
        log.warning("not_mailed", message=letter.name, error=str(error))
        return False
    return True
