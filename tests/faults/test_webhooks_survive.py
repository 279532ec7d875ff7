"""Webhooks with real connections: workers that die, compete or lag; transactions that commit late."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from apps.core import failpoints
from apps.core.actor import SYSTEM
from apps.operations import reconcilers, selectors, services
from apps.operations.models import Event, Webhook
from apps.operations.specs import HookWish
from apps.teams.models import Team
from tests.apps.billing.test_budgets import budget, make_paying_team, settle_tokens
from tests.factories.receivers import Receiver, receiving
from tests.factories.teams import TeamFactory
from tests.faults.harness import child, wait_for

pytestmark = [pytest.mark.serial, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def team() -> Team:
    made: Team = TeamFactory()
    return made


def make(team: Team, receiver: Receiver) -> Webhook:
    wish = HookWish("Pager", receiver.url, ("budget.*",))
    return services.create_webhook(actor=SYSTEM, team=team, wish=wish).webhook


def tell(team: Team, *numbers: int) -> None:
    for number in numbers:
        services.emit(type="budget.reached", subject="bud_1", team_id=team.pk, data={"number": number})


def numbers(receiver: Receiver) -> list[Any]:
    return [call.event["data"]["number"] for call in receiver.calls]


def until(found: Callable[[], Any]) -> None:
    """Wait for it: a minute at most."""
    for _look in range(6000):
        if found():
            return
        threading.Event().wait(0.01)
    pytest.fail("it never came")


def deliver(receiver: Receiver, wanted: list[int]) -> None:
    """Pass by pass until these have arrived: events wait for older transactions, anywhere on the server."""
    until(lambda: reconcilers.deliver_due() >= 0 and numbers(receiver) == wanted)


def as_after_the_lease() -> None:
    Webhook.objects.update(lease_until=F("created_at"), due_at=F("created_at"))


def apart(work: Any) -> Any:
    """The work with a connection of its own, which ends with it."""

    def run(*given: Any) -> Any:
        try:
            return work(*given)
        finally:
            connection.close()

    return run


@pytest.mark.parametrize("point", ["webhooks.sent", "webhooks.noted"])
def test_killed_around_the_note_the_same_event_comes_again_under_the_same_id(team: Team, point: str) -> None:
    with receiving() as receiver:
        make(team, receiver)
        tell(team, 1, 2)

        def work() -> None:
            failpoints.arm(point, "kill")
            until(lambda: reconcilers.deliver_due() < 0)

        with child(work) as pid:
            status = wait_for(pid)
            assert os.WIFSIGNALED(status)
            assert os.WTERMSIG(status) == signal.SIGKILL
        assert numbers(receiver) == [1]
        assert reconcilers.deliver_due() == 0, "somebody holds it until the lease is over"
        as_after_the_lease()
        deliver(receiver, [1, 1, 2] if point == "webhooks.sent" else [1, 2])
        assert len(receiver.seen) == 2


@contextmanager
def lagging(work: Callable[[threading.Event], None]) -> Iterator[Callable[[], None]]:
    """The work in a transaction that has begun, and commits when the block says so."""
    begun, go_on = threading.Event(), threading.Event()

    def run() -> None:
        with transaction.atomic():
            work(begun)
            assert go_on.wait(60)

    with ThreadPoolExecutor(1) as other:
        running = other.submit(apart(run))

        def commit() -> None:
            go_on.set()
            running.result(60)

        try:
            assert begun.wait(60)
            yield commit
        finally:
            go_on.set()


def test_what_commits_late_is_not_passed_over(team: Team) -> None:
    """A transaction takes its number and its event's first and commits last: what came after it waits."""

    def late(begun: threading.Event) -> None:
        tell(team, 1)
        begun.set()

    with receiving() as receiver:
        tell(team, 0)  # before there was a webhook
        until(lambda: selectors.settled().filter(data__number=0).exists())
        hook = make(team, receiver)
        with lagging(late) as commit:
            tell(team, 2)
            reconcilers.deliver_due()
            assert (numbers(receiver), selectors.count_waiting(hook)) == ([], 0)
            commit()
            tell(team, 3)
            deliver(receiver, [1, 2, 3])


def test_a_smaller_number_that_appears_later_is_delivered(team: Team) -> None:
    """The number of an event taken before its transaction has one: a cursor over numbers would lose it."""
    taken: list[int] = []

    def late(begun: threading.Event) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval(pg_get_serial_sequence('operations_event', 'seq'))")
            taken.append(cursor.fetchone()[0])
            begun.set()
            assert told.wait(60)
            cursor.execute(
                "INSERT INTO operations_event (seq, id, type, subject, team_id, data) SELECT %s,"
                " gen_random_uuid(), 'budget.reached', 'bud_1', id, '{\"number\": 2}' FROM teams_team"
                " WHERE slug = %s",
                [taken[0], team.slug],
            )

    told = threading.Event()
    with receiving() as receiver:
        make(team, receiver)
        with lagging(late) as commit:
            try:
                tell(team, 1)
                deliver(receiver, [1])
            finally:
                told.set()
            commit()
        deliver(receiver, [1, 2])
        assert taken[0] < Event.objects.get(data__number=1).seq


@contextmanager
def polling(count: int = 1) -> Iterator[None]:
    """So many workers that deliver, each with a connection of its own, for as long as the block lasts."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            reconcilers.deliver_due()

    with ThreadPoolExecutor(count) as pool:
        workers = [pool.submit(apart(work)) for _each in range(count)]
        try:
            yield
        finally:
            ended.set()
        for one in workers:
            one.result(60)


def test_64_alerts_at_once_come_once_each_and_in_order_whoever_delivers() -> None:
    team = make_paying_team()
    with receiving() as receiver, polling(2):
        make(team, receiver)
        made = [budget(team, "10", "notify") for _each in range(16)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(apart(lambda amount: settle_tokens(team, amount)), ["2"] * 8))
        until(lambda: len(receiver.seen) >= 80)
    told: dict[str, list[int]] = {}
    seen = {call.id: call.event for call in receiver.calls}  # as a receiver that honours ids has them
    for event in seen.values():
        if event["type"] == "budget.reached":
            told.setdefault(event["subject"], []).append(event["data"]["threshold"])
    assert told == {one.pk: [50, 80, 90, 100] for one in made}
    assert len(seen) == 16 + 64


def test_a_slow_receiver_keeps_nobody_waiting_and_no_transaction_is_open(team: Team) -> None:
    """While one team's receiver holds its answer back, another team's events arrive."""
    held, other = threading.Event(), TeamFactory()
    with receiving(holding=held) as slow, receiving() as quick:
        make(team, slow)
        make(other, quick)
        tell(team, 1)
        with polling():
            until(lambda: slow.calls)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
                )
                assert cursor.fetchone() == (0,)
            tell(other, 1, 2)
            until(lambda: numbers(quick) == [1, 2])
            assert not held.is_set()
            held.set()


def test_a_resumed_one_leaves_out_what_happened_if_so_wished(team: Team) -> None:
    with receiving() as receiver:
        hook = make(team, receiver)
        services.pause_webhook(actor=SYSTEM, webhook_id=hook.pk)
        tell(team, 1)
        until(lambda: selectors.settled().filter(data__number=1).exists())
        services.resume_webhook(actor=SYSTEM, webhook_id=hook.pk, is_from_now=True)
        tell(team, 2)
        deliver(receiver, [2])
