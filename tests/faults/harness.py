"""What every fault test needs: operations to break, a worker that can be killed, and the oracle."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.db import connection, connections
from django.db.models import F

from apps.billing.models import Meter, MeterChange
from apps.billing.selectors import proofs
from apps.core import failpoints
from apps.gpupools.models import GpuHold, Reservation
from apps.instances import reconcilers, services
from apps.instances.models import Instance
from apps.instances.states import State
from apps.nodes.models import Node
from apps.operations.models import Operation
from apps.regions import reconcilers as regions
from apps.storage.models import Snapshot
from tests.factories.instances import Stage, expire_lease

PASSES = 12
RESTING = (State.RUNNING, State.STOPPED)
# What the server does by itself to a client that hangs in a transaction, sooner than it would.
CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'
"""


@dataclass(frozen=True)
class Case:
    """An operation to break: how to come to where it begins, how to ask for it, and how it must end."""

    name: str
    prepare: Callable[[Stage], Instance | None]
    ask: Callable[[Stage, Instance | None], object]
    ends: State


def _running(stage: Stage) -> Instance:
    return stage.running(type=stage.supply.gpu_type.slug, disk_gib=100)


def _stopped(stage: Stage) -> Instance:
    instance = stage.running()
    services.stop_instance(actor=stage.actor, instance_id=instance.pk)
    return work_off(instance)


def _with_snapshot(stage: Stage) -> Instance:
    instance = _stopped(stage)
    services.create_snapshot(actor=stage.actor, instance_id=instance.pk, name="before")
    return work_off(instance)


def _snapshot_of(instance: Instance) -> str:
    return Snapshot.objects.live().get(instance_id=instance.pk).pk


def _asking(service: Callable[..., Any]) -> Callable[[Stage, Instance | None], object]:
    return lambda stage, instance: service(actor=stage.actor, instance_id=instance.pk if instance else "")


CASES = {
    case.name: case
    for case in (
        Case("create", lambda s: None, lambda s, i: s.launch(type="h100-1"), State.RUNNING),
        Case(
            "stop",
            _running,
            lambda s, i: services.stop_instance(actor=s.actor, instance_id=i.pk),
            State.STOPPED,
        ),
        Case(
            "start",
            _stopped,
            lambda s, i: services.start_instance(actor=s.actor, instance_id=i.pk),
            State.RUNNING,
        ),
        Case(
            "reboot",
            _running,
            lambda s, i: services.reboot_instance(actor=s.actor, instance_id=i.pk),
            State.RUNNING,
        ),
        Case(
            "resize",
            _stopped,
            lambda s, i: services.resize_instance(
                actor=s.actor, instance_id=i.pk, type_slug="cpu-4", disk_gib=60
            ),
            State.STOPPED,
        ),
        Case(
            "snapshot",
            _running,
            lambda s, i: services.create_snapshot(actor=s.actor, instance_id=i.pk, name="now"),
            State.RUNNING,
        ),
        Case(
            "restore",
            _with_snapshot,
            lambda s, i: services.restore_snapshot(
                actor=s.actor, instance_id=i.pk, snapshot_id=_snapshot_of(i)
            ),
            State.STOPPED,
        ),
        Case(
            "unsnapshot",
            _with_snapshot,
            lambda s, i: services.delete_snapshot(
                actor=s.actor, instance_id=i.pk, snapshot_id=_snapshot_of(i)
            ),
            State.STOPPED,
        ),
        Case(
            "delete",
            _running,
            lambda s, i: services.delete_instance(actor=s.actor, instance_id=i.pk),
            State.DELETED,
        ),
    )
}


def work_off(instance: Instance) -> Instance:
    """Be the worker that finds the row when nobody holds it any more."""
    for _each in range(PASSES):
        expire_lease(instance)
        reconcilers.reconcile_instance(instance_id=str(instance.pk))
        instance.refresh_from_db()
        if instance.operation_id is None and (
            instance.released_at or instance.state in ("running", "stopped")
        ):
            return instance
    raise AssertionError(f"{instance.state} / {instance.work} after {PASSES} passes: {instance.last_error}")


def perform(stage: Stage, case: Case, before: Instance | None) -> None:
    """Ask, then work: what a portal and a worker do one after the other."""
    case.ask(stage, before)
    reconcilers.reconcile_instance(instance_id=str(newest(stage, before).pk))


def newest(stage: Stage, before: Instance | None) -> Instance:
    return before or Instance.objects.filter(team=stage.team).latest("created_at", "id")


def visited(stage: Stage, case: Case) -> list[str]:
    """Every failpoint that an undisturbed run of the operation passes, in order, each once."""
    names: dict[str, None] = {}
    before = case.prepare(stage)
    with failpoints.watching(lambda name: names.setdefault(name)):
        perform(stage, case, before)
    work_off(newest(stage, before))
    return [name for name in names if name.startswith("instances.")]


# ------------------------------------------------------------------ a worker that can be killed


@contextmanager
def child(work: Callable[[], None]) -> Iterator[int]:
    """A process of its own that does `work`: everything is imported, so it costs a fork. It never
    returns into the test; whatever is left of it is killed."""
    connections.close_all()
    regions.close_drivers()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def broken_child(
    stage: Stage, case: Case, before: Instance | None, point: str, how: str
) -> Callable[[], None]:
    def work() -> None:
        failpoints.arm(point, how)
        perform(stage, case, before)

    return work


def cut_off_hung_transactions() -> None:
    with connection.cursor() as cursor:
        cursor.execute(CUT_OFF)


def wait_for(pid: int, *, stopped: bool = False) -> int:
    """The status of the child once it has ended (or stopped)."""
    _pid, status = os.waitpid(pid, os.WUNTRACED if stopped else 0)
    return status


# ------------------------------------------------------------------ the oracle


def finish(stage: Stage, case: Case, before: Instance | None, rows_before: int) -> Instance:
    """Repeat the request if it never was accepted, and let another worker finish."""
    if not _was_accepted(stage, case, before, rows_before):
        case.ask(stage, before)
    return work_off(newest(stage, before))


def _was_accepted(stage: Stage, case: Case, before: Instance | None, rows_before: int) -> bool:
    if before is None:
        return Instance.objects.filter(team=stage.team).count() > rows_before
    return Operation.objects.filter(target_id=before.pk).count() > rows_before


def count_rows(stage: Stage, before: Instance | None) -> int:
    if before is None:
        return Instance.objects.filter(team=stage.team).count()
    return Operation.objects.filter(target_id=before.pk).count()


def check(stage: Stage, case: Case, instance: Instance, point: str) -> None:
    """0 leaked, 0 double, every operation final, and the right end."""
    assert instance.state == case.ends, (point, instance.state, instance.message)
    operation = Operation.objects.filter(target_id=instance.pk).latest("created_at", "id")
    assert operation.state == "succeeded", (point, operation.kind, operation.state, operation.error_message)
    assert not Operation.objects.open().exists(), point
    assert stage.world.effect_count("create", instance.machine_name) == 1, point
    assert stage.world.effect_count("delete", instance.machine_name) == (case.ends == State.DELETED), point
    check_world(stage, point)
    expected = {
        State.RUNNING: instance.rates,
        State.STOPPED: instance.rest_rates,
        State.DELETED: [],
    }[instance.state]
    assert Meter.objects.get(pk=instance.pk).rates == expected, point
    changes = list(MeterChange.objects.filter(resource_id=instance.pk).order_by("seq"))
    assert all(one.rates != two.rates for one, two in pairwise(changes)), point


def check_world(stage: Stage, point: str = "") -> None:
    """What is recorded, what is reserved and what is really there are the same."""
    live = Instance.objects.filter(region=stage.supply.region, released_at=None)
    names = sorted(one.machine_name for one in live)
    assert stage.world.machine_names() == names, point
    held = {row.holder_id: row for row in Reservation.objects.filter(released_at=None)}
    assert set(held) == {str(one.pk) for one in live}, point
    for one in live:
        size = held[str(one.pk)]
        assert (size.vcpus, size.memory_mib, size.disk_gib) == (one.vcpus, one.memory_mib, one.disk_gib), (
            point
        )
    for node in Node.objects.filter(region=stage.supply.region):
        mine = [row for row in held.values() if row.node_id == node.pk]
        used = tuple(sum(getattr(row, name) for row in mine) for name in ("vcpus", "memory_mib", "disk_gib"))
        assert (node.vcpus_used, node.memory_mib_used, node.disk_gib_used) == used, point
    names_of_nodes = dict(Node.objects.values_list("pk", "name"))
    recorded = {
        (names_of_nodes[one.node_id], pci): one.machine_name for one in live for pci in one.pci_addresses
    }
    # The simulator forgets who held a card when it next writes.
    holders = {card: name for card, name in stage.world.gpu_holders().items() if name in names}
    assert holders == recorded, point
    assert GpuHold.objects.filter(released_at=None).count() == len(recorded), point


def check_books() -> None:
    """Every invariant of the books: no second missing, none charged twice."""
    broken = [(one.name, one.examples) for one in proofs.verify() if not one.is_ok]
    assert not broken, broken


def make_due(**which: Any) -> None:
    """As if time had passed: whoever holds a row is long dead, and everything is due."""
    Instance.objects.filter(**which).update(lease_until=F("created_at"), due_at=F("created_at"))
