"""Sending events to webhooks: each team's in order, at least once, with an id that stays the same.

A webhook's place in the outbox moves only after its receiver has accepted an event. Whoever dies between
sending and noting has it sent again under the same id, so that a receiver which honours ids sees it once.
Only settled events are read, transaction by transaction: none can appear before the place any more. No
transaction is open while a receiver is spoken to.
"""

import json
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import NamedTuple

import structlog
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.db.models.functions import Now

from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost, take
from apps.drivers import hooks
from apps.drivers.egress import networks_of
from apps.drivers.errors import DriverError
from apps.operations import services
from apps.operations.models import Event, Webhook
from apps.operations.models.webhooks import TEST
from apps.operations.selectors import behind, webhooks_with_news
from apps.operations.services import deliveries
from apps.operations.services.deliveries import Attempt
from apps.operations.states import HookState, Pause

log = structlog.get_logger(__name__)

THREADS, SLOW_THREADS = 16, 8  # those whose last attempt was slow or failed never take them all
BATCH = 100  # events of a webhook that are read at a time
TURN = 20.0  # seconds that a webhook is served before it is another's turn
LOOK_EVERY, BUSY = 1.0, 45.0  # seconds: how often one looks for more, and for how long
GONE = 410
_UNLESS = f"t.state <> '{HookState.ACTIVE}'"


class Turn(NamedTuple):
    """A webhook that is being served."""

    future: Future[None]
    is_slow: bool


def deliver(*, webhook_id: str) -> bool:
    """Send a webhook what it has not had; False when it may not be tried now, or somebody is at it."""
    webhook = take(Webhook, webhook_id, ttl=deliveries.LEASE, unless=_UNLESS)
    if webhook is None:
        return False
    with suppress(LeaseLost):
        _serve(webhook)
    return True


def deliver_due() -> int:
    """Serve every webhook that has news, several at a time, until none has; how many turns that were.

    Webhooks that answer at once never wait for those that do not: these are given half of the threads.
    """
    until, turns = time.monotonic() + BUSY, 0
    running: dict[str, Turn] = {}
    with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="webhooks") as threads:
        while True:
            chosen = _chosen(running) if time.monotonic() < until else []
            running |= {pk: Turn(threads.submit(_deliver_apart, pk), is_slow) for pk, is_slow in chosen}
            turns += len(chosen)
            if not running:
                return turns
            wait([one.future for one in running.values()], LOOK_EVERY, FIRST_COMPLETED)
            running = {pk: one for pk, one in running.items() if not one.future.done()}


def _chosen(running: Mapping[str, Turn]) -> list[tuple[str, bool]]:
    """Whose turn it is now, as threads are free, and which are slow: those that waited longest first."""
    free = THREADS - len(running)
    slow = SLOW_THREADS - sum(one.is_slow for one in running.values())
    news = webhooks_with_news().exclude(pk__in=list(running))
    quick = [(one.pk, False) for one in news.filter(is_slow=False).only("pk")[: max(free, 0)]]
    most = min(slow, free - len(quick))
    return quick + [(one.pk, True) for one in news.filter(is_slow=True).only("pk")[: max(most, 0)]]


def _deliver_apart(pk: str) -> None:
    try:
        deliver(webhook_id=pk)
    except Exception:
        log.exception("webhook_failed", webhook=pk)
    finally:
        connection.close()


def _serve(webhook: Webhook) -> None:
    """Event by event, until there is none, one is not accepted, or it is another's turn."""
    began, position = time.monotonic(), webhook.position
    for event in list(behind(position).visible_to(webhook.reader)[:BATCH]):
        if webhook.wants(event):
            if time.monotonic() - began > TURN or _is_changed(webhook):
                break
            attempt = _send(webhook, event)
            failpoint("webhooks.sent")
            _tell_tested(webhook, event, attempt)
            if not attempt.is_delivered:
                deliveries.note_failed(webhook, attempt)
                deliveries.let_go(webhook, position)
                _consider(webhook, attempt)
                return
            deliveries.note_delivered(webhook, attempt, event.position)
            failpoint("webhooks.noted")
        position = event.position
    deliveries.let_go(webhook, position, due_at=Now())  # behind the others that wait


def _tell_tested(webhook: Webhook, event: Event, attempt: Attempt) -> None:
    """Who looks at the page sees by this what came of the test."""
    if event.type == TEST and attempt.number == 1:
        data = {"name": webhook.name, "status": attempt.status, "problem": attempt.problem}
        services.emit(type="webhook.tested", subject=webhook.pk, team_id=webhook.team_id, data=data)


def _is_changed(webhook: Webhook) -> bool:
    """Whether somebody has paused or changed it meanwhile."""
    return not Webhook.objects.filter(pk=webhook.pk, generation=webhook.generation).exists()


def _consider(webhook: Webhook, attempt: Attempt) -> None:
    """Pause it when its receiver says that it is gone, or nothing has arrived for days."""
    if attempt.status == GONE:
        services.give_up(actor=SYSTEM, webhook_id=webhook.pk, why=Pause.GONE)
    elif webhook.deadline_at is not None and webhook.deadline_at <= webhook.taken_at:
        services.give_up(actor=SYSTEM, webhook_id=webhook.pk, why=Pause.FAILING)


def _send(webhook: Webhook, event: Event) -> Attempt:
    """One attempt, whatever comes of it."""
    now, began = db_now(), time.monotonic()
    body = json.dumps(event.envelope, cls=DjangoJSONEncoder).encode()
    keys = [webhook.opened(webhook.secret)]
    if webhook.old_until is not None and webhook.old_until > now:
        keys.append(webhook.opened(webhook.old_secret))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "hostedai-webhooks/1",
        **hooks.sign(keys, event.id, int(now.timestamp()), body),
    }
    status, problem = None, ""
    try:
        status = hooks.send(webhook.url, body, headers, networks_of(settings.WEBHOOK_NETWORKS)).status
    except DriverError as error:
        problem = str(error)
        log.info("webhook_not_delivered", webhook=webhook.pk, told=event.id, detail=error.detail)
    seconds = round(time.monotonic() - began, 3)
    at = now.isoformat()
    return Attempt(event.id, event.type, at, webhook.attempts + 1, status, seconds, problem)
