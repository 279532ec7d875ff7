"""Every operation of an endpoint is broken at every step, by an exception and by SIGKILL. Afterwards every
engine is somebody's, none was launched twice, the operation has ended well and the books are right."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from apps.core import failpoints
from apps.core.clock import db_now
from apps.core.failpoints import FailpointError
from apps.inference import reconcilers
from apps.inference.models import Endpoint, Replica
from apps.inference.reconcilers.passes import spec_of
from apps.inference.services import endpoints, rollouts
from apps.operations.models import Operation
from tests.factories.inference import Stage, bring_about, make_stage, make_version, moving, steer, work_off
from tests.faults import harness

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.serial, pytest.mark.timeout(280)]

APPS = Path(__file__).resolve().parents[2] / "apps"
ROUNDS = 8


@dataclass(frozen=True)
class Case:
    """What is asked of an endpoint that serves (or of none), and how it must end."""

    name: str
    ask: Callable[[Stage, Endpoint | None], object]
    ends: str = "ready"
    is_new: bool = False


def _update(stage: Stage, endpoint: Endpoint | None) -> None:
    newer = make_version(stage.team, model=stage.version.model)
    recipe = stage.recipe(version=str(newer.pk))
    rollouts.update_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk), recipe=recipe)


def _crash(stage: Stage, endpoint: Endpoint | None) -> None:
    """An engine ends by itself; that is asked of nobody and may be noticed any number of times."""
    for replica in Replica.objects.filter(endpoint=endpoint, state="ready")[:1]:
        if Replica.objects.filter(endpoint=endpoint).count() == 1:
            stage.driver.set_engine(replica.engine_name, exited=1)
            Replica.objects.filter(pk=replica.pk).update(due_at=replica.created_at)
            reconcilers.reconcile_replica(replica_id=str(replica.pk))


def _delete(stage: Stage, endpoint: Endpoint | None) -> None:
    endpoints.delete_endpoint(actor=stage.actor, endpoint_id=str(endpoint.pk))


CASES = {
    case.name: case
    for case in (
        Case("create", lambda stage, _none: stage.launch(), is_new=True),
        Case("update", _update),
        Case("crash", _crash),
        Case("delete", _delete, ends="deleted"),
    )
}


@pytest.fixture
def stage(tmp_path):
    made = make_stage(tmp_path, balance="100000")
    yield made
    failpoints.disarm()
    harness.regions.close_drivers()


def newest(stage: Stage) -> Endpoint:
    return Endpoint.objects.filter(team=stage.team).latest("created_at", "id")


def settle(endpoint: Endpoint) -> None:
    """What workers and time bring about, twelve seconds from one look to the next."""
    for number in range(ROUNDS):
        Endpoint.objects.filter(pk=endpoint.pk).update(retry_at=None)
        for replica in Replica.objects.filter(endpoint=endpoint, released_at=None).order_by("pk"):
            if replica.state != "ready" or replica.desired == "gone":
                bring_about(replica, seconds=12 * number)
        steer(endpoint)
        if endpoint.operation_id is None and endpoint.state in ("ready", "deleted") and not moving(endpoint):
            return


def perform(stage: Stage, case: Case, before: Endpoint | None) -> None:
    case.ask(stage, before)
    settle(before or newest(stage))


def prepared(stage: Stage, case: Case) -> Endpoint | None:
    return None if case.is_new else stage.ready()


def visited(stage: Stage, case: Case) -> list[str]:
    """Every failpoint that an undisturbed run passes, in order, each once."""
    names: dict[str, None] = {}
    before = prepared(stage, case)
    with failpoints.watching(lambda name: names.setdefault(name)):
        perform(stage, case, before)
    check(stage, case, before or newest(stage), "undisturbed")
    return [name for name in names if name.startswith("inference.")]


def finish(stage: Stage, case: Case, before: Endpoint | None, asked: int) -> Endpoint:
    """Ask again if it was never accepted; then another worker goes on."""
    count = Endpoint.objects.count() if before is None else operations_of(before)
    if count == asked:
        case.ask(stage, before)
    endpoint = before or newest(stage)
    settle(endpoint)
    endpoint.refresh_from_db()
    return endpoint


def operations_of(endpoint: Endpoint) -> int:
    return Operation.objects.filter(target_id=str(endpoint.pk)).count()


def check(stage: Stage, case: Case, endpoint: Endpoint, point: str) -> None:
    endpoint.refresh_from_db()
    assert endpoint.state == case.ends, (point, endpoint.state, endpoint.message)
    assert not Operation.objects.open().exists(), point
    last = Operation.objects.filter(target_id=str(endpoint.pk)).latest("created_at", "id")
    assert last.state == "succeeded", (point, last.kind, last.error_message)
    there = sorted(one.engine_name for one in Replica.objects.filter(released_at=None))
    assert sorted(stage.driver.engine_names()) == there, point
    for replica in Replica.objects.filter(endpoint=endpoint):
        assert stage.driver.world.effect_count("launch_engine", replica.engine_name) <= 1, point
    ready = Replica.objects.filter(endpoint=endpoint, state="ready")
    assert ready.count() == (case.ends == "ready"), point
    assert not ready.exclude(revision=endpoint.revision).exists(), point


def tidy(stage: Stage, endpoint: Endpoint) -> None:
    """Make room for the next."""
    if endpoint.state != "deleted":
        _delete(stage, endpoint)
        settle(endpoint)


@pytest.mark.parametrize("name", CASES)
def test_an_exception_at_any_step_is_survived(stage, name):
    case = CASES[name]
    for point in visited(stage, case):
        before = prepared(stage, case)
        asked = Endpoint.objects.count() if before is None else operations_of(before)
        failpoints.arm(point, "raise")
        with pytest.raises(FailpointError):
            perform(stage, case, before)
        endpoint = finish(stage, case, before, asked)
        check(stage, case, endpoint, point)
        tidy(stage, endpoint)
    harness.check_books()


@pytest.mark.parametrize("name", ["create", "update"])
def test_sigkill_at_any_step_is_survived(stage, name):
    case = CASES[name]
    for point in visited(stage, case):
        before = prepared(stage, case)
        asked = Endpoint.objects.count() if before is None else operations_of(before)

        def work(point: str = point, before: Endpoint | None = before) -> None:
            failpoints.arm(point, "kill")
            perform(stage, case, before)

        with harness.child(work) as pid:
            status = harness.wait_for(pid)
        assert os.WIFSIGNALED(status), (point, status)
        assert os.WTERMSIG(status) == signal.SIGKILL, (point, status)
        endpoint = finish(stage, case, before, asked)
        check(stage, case, endpoint, point)
        tidy(stage, endpoint)
    harness.check_books()


def test_every_failpoint_is_visited_by_some_operation(stage):
    seen: set[str] = set()
    for case in CASES.values():
        seen |= set(visited(stage, case))
        tidy(stage, newest(stage))
    unvisited = []
    for pattern in _in_sources() - {"inference.sweep.noted"}:
        shape = re.escape(pattern).replace(r"\*", "[a-z_]+")
        if not any(re.fullmatch(shape, point) for point in seen):
            unvisited.append(pattern)
    assert not unvisited


def _in_sources() -> set[str]:
    """Every name in the sources, with what is filled in later as `*`."""
    names = set()
    for path in [*(APPS / "inference").rglob("*.py"), *(APPS / "regions" / "reconcilers").rglob("*.py")]:
        for found in re.findall(r'failpoint\(\s*f?"([^"]+)"', path.read_text()):
            names.add(re.sub(r"\{[^}]*\}", "*", found))
    assert len(names) > 8
    return names


def test_a_stray_engine_is_removed_when_seen_twice_five_minutes_apart(stage):
    endpoint = stage.ready()
    (kept,) = Replica.objects.filter(endpoint=endpoint)
    stray = replace(spec_of(kept), name="hai-rep_late", resource_id="late")
    stage.driver.launch_engine(stray)
    now = db_now()
    assert reconcilers.sweep_clusters(now=now) == []
    assert reconcilers.sweep_clusters(now=now + timedelta(minutes=4)) == []
    assert reconcilers.sweep_clusters(now=now + timedelta(minutes=6)) == ["hai-rep_late"]
    assert stage.driver.engine_names() == [kept.engine_name]
    work_off(endpoint)
