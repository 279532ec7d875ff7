"""Operations, the outbox, idempotency and periodic work on PostgreSQL."""

import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from apps.core.actor import SYSTEM
from apps.core.ids import new_id, new_uuid
from apps.operations import schedule, selectors, services
from apps.operations.errors import BadKey, KeyReused, NotCancellable, TargetBusy
from apps.operations.models import Event, IdempotencyKey, Operation, Schedule
from apps.operations.specs import Answer, OperationPlan, StepPlan, Target
from apps.operations.states import Plane

pytestmark = pytest.mark.django_db

STEPS = (
    StepPlan("accepted", Plane.USER, is_done=True),
    StepPlan("placed", Plane.ADMIN, is_done=True),
    StepPlan("provision", Plane.CLUSTER),
    StepPlan("boot", Plane.MACHINE),
)


def open_one(target_id="ins_1", **options):
    target = Target("instance", target_id, "web-1", team_id=new_id("team"), region_id=new_id("reg"))
    plan = OperationPlan("instance.create", STEPS, timedelta(minutes=5), **options)
    return services.open_operation(actor=SYSTEM, target=target, plan=plan)


def states(operation):
    return list(operation.steps.order_by("position").values_list("name", "state"))


def test_an_operation_tells_its_way_step_by_step():
    operation = open_one()
    assert operation.progress == 50
    assert services.advance(operation_id=operation.pk, step="provision", detail="on node a")
    assert states(operation)[2:] == [("provision", "running"), ("boot", "pending")]
    assert services.advance(operation_id=operation.pk, step="boot")
    assert states(operation)[2:] == [("provision", "done"), ("boot", "running")]
    assert services.finish(operation_id=operation.pk)
    operation.refresh_from_db()
    assert (operation.state, operation.progress) == ("succeeded", 100)
    assert {state for _name, state in states(operation)} == {"done"}
    assert all(step.started_at <= step.finished_at for step in operation.steps.all())
    types = list(Event.objects.filter(subject=operation.pk).values_list("type", flat=True))
    assert types == ["operation.opened", "operation.advanced", "operation.advanced", "operation.succeeded"]


def test_a_failure_names_the_step_and_what_was_undone():
    operation = open_one()
    services.advance(operation_id=operation.pk, step="provision")
    assert services.fail(operation_id=operation.pk, code="no_host", message="No host.", undone="Released.")
    operation.refresh_from_db()
    assert (operation.state, operation.error_code, operation.undone) == ("failed", "no_host", "Released.")
    assert states(operation)[2:] == [("provision", "failed"), ("boot", "skipped")]


def test_what_has_ended_stays_ended():
    operation = open_one()
    assert services.finish(operation_id=operation.pk)
    assert not services.fail(operation_id=operation.pk, code="late", message="Too late.")
    assert not services.advance(operation_id=operation.pk, step="boot")
    with pytest.raises(DatabaseError, match="Invalid transition"), transaction.atomic():
        Operation.objects.filter(pk=operation.pk).update(state="running")


def test_a_target_has_one_open_operation():
    first = open_one("ins_a")
    with pytest.raises(TargetBusy), transaction.atomic():
        open_one("ins_a")
    services.finish(operation_id=first.pk)
    open_one("ins_a")


def test_only_what_can_be_cancelled_is():
    operation = open_one()
    with pytest.raises(NotCancellable):
        services.cancel_operation(actor=SYSTEM, operation_id=operation.pk)


def test_forgotten_operations_end():
    operation = open_one()
    late = operation.created_at - timedelta(hours=1)
    Operation.objects.filter(pk=operation.pk).update(deadline_at=late)
    assert services.expire_forgotten() == 1
    operation.refresh_from_db()
    assert operation.error_code == "deadline_exceeded"


def test_events_come_in_order_after_a_position():
    team = new_id("team")
    start = selectors.here()
    for number in range(3):
        services.emit(type="thing.moved", subject="x", team_id=team, data={"n": number})
    events = list(selectors.behind(start).filter(team_id=team))
    assert [event.data["n"] for event in events] == [0, 1, 2]
    assert list(selectors.behind(events[1].position)) == [events[2]]


def test_an_event_is_not_changed():
    services.emit(type="thing.moved", subject="x")
    with pytest.raises(Exception, match=r"(?i)cannot update"), transaction.atomic():
        Event.objects.update(subject="y")


def test_a_repeated_key_gets_the_first_answer():
    calls = []

    def act():
        calls.append(1)
        return Answer(202, {"id": "ins_1"})

    first = services.once(owner="key_1", key="abc", fingerprint="f" * 64, act=act)
    again = services.once(owner="key_1", key="abc", fingerprint="f" * 64, act=act)
    assert (first.body, first.is_replay) == ({"id": "ins_1"}, False)
    assert (again.status, again.body, again.is_replay) == (202, {"id": "ins_1"}, True)
    assert len(calls) == 1
    services.once(owner="key_2", key="abc", fingerprint="f" * 64, act=act)
    assert len(calls) == 2


def test_a_key_is_not_lent_to_another_request():
    services.once(owner="o", key="abc", fingerprint="a" * 64, act=lambda: Answer(200, {}))
    with pytest.raises(KeyReused):
        services.once(owner="o", key="abc", fingerprint="b" * 64, act=lambda: Answer(200, {}))


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb"])
def test_a_malformed_key_is_refused(key):
    with pytest.raises(BadKey):
        services.once(owner="o", key=key, fingerprint="a" * 64, act=lambda: Answer(200, {}))


def test_a_refusal_leaves_the_key_unused():
    def refuse():
        raise BadKey("no")

    with pytest.raises(BadKey):
        services.once(owner="o", key="abc", fingerprint="a" * 64, act=refuse)
    assert not IdempotencyKey.objects.filter(owner="o").exists()


@pytest.mark.django_db(transaction=True)
def test_twins_at_the_same_moment_are_done_once():
    calls, answers = [], []

    def act():
        calls.append(1)
        return Answer(202, {"n": len(calls)})

    def ask():
        try:
            answers.append(services.once(owner="o", key="twin", fingerprint="a" * 64, act=act))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert [answer.body for answer in answers] == [{"n": 1}] * 8


def test_periodic_work_runs_when_due_and_its_failure_is_noted(monkeypatch):
    runs = []

    def work():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("first time")

    monkeypatch.setattr(schedule, "registry", {})
    schedule.periodic("test.work", every=timedelta(hours=1))(work)
    assert schedule.run_due() == 1
    row = Schedule.objects.get(pk="test.work")
    assert "first time" in row.last_error
    assert schedule.run_due() == 0
    Schedule.objects.update(due_at=row.due_at - timedelta(hours=2))
    assert schedule.run_due() == 1
    assert Schedule.objects.get(pk="test.work").last_error == ""
    assert len(runs) == 2


def test_what_a_dead_poller_held_is_free_again_when_its_lease_has_run_out(monkeypatch):
    runs = []
    monkeypatch.setattr(schedule, "registry", {})
    schedule.periodic("test.work", every=timedelta(hours=1))(lambda: runs.append(1))
    assert schedule.due_names() == ["test.work"]
    row = Schedule.objects.get()
    Schedule.objects.update(lease_until=row.due_at + timedelta(hours=1), lease_token=new_uuid())
    assert schedule.due_names() == []
    assert schedule.run_due() == 0
    Schedule.objects.update(lease_until=row.due_at - timedelta(hours=1))
    assert schedule.run_due() == 1
    assert runs == [1]
