"""What providers send: kept once, believed only as a hint to go and look."""

import json
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.ids import encode, new_uuid
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers.stripe.mapping import subject_of
from apps.drivers.stripe.signature import is_signed
from apps.payments.errors import BadSignature, ProviderMissing
from apps.payments.states import Provider

_KEEP = """
INSERT INTO payments_webhookevent
       (id, provider, event_id, type, object_id, body, deliveries, attempts, problem)
VALUES (%s, %s, %s, %s, %s, %s, 1, 0, '')
ON CONFLICT (provider, event_id) DO UPDATE SET deliveries = payments_webhookevent.deliveries + 1
RETURNING id, deliveries
"""


def receive_message(*, actor: Actor, payload: bytes, signature: str) -> bool:
    """Keep a message of Stripe's; False when it was known. Its signature is the permission to send it."""
    actor.require(Permission.BILLING_MANAGE)
    if not settings.STRIPE_WEBHOOK_SECRET:
        raise ProviderMissing(_("The payment provider is not set up."))
    if not is_signed(payload, signature, settings.STRIPE_WEBHOOK_SECRET, db_now()):
        raise BadSignature(_("The signature does not fit."))
    event, kind, subject = _read(payload)
    about = json.dumps({"kind": kind, "created": event.get("created")})
    values = [new_uuid(), Provider.STRIPE, event["id"][:120], event["type"][:80], subject[:120], about]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, values)
        row = cursor.fetchone()
    if row[1] == 1:
        enqueue("payments.message", message_id=encode("whe", row[0]))
    return bool(row[1] == 1)


def _read(payload: bytes) -> tuple[dict[str, Any], str, str]:
    try:
        event = json.loads(payload)
        subject = subject_of(event)
        if not isinstance(event["id"], str) or not isinstance(event["type"], str):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Invalid(_("This is not a message we can read.")) from error
    return event, subject.kind, subject.id
