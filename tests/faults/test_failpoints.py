"""Every operation is broken at every step: by an exception, by SIGKILL, and by a worker that hangs and wakes
up too late. Afterwards nothing is leaked, nothing was done twice, and every operation has ended well."""

import os
import re
import signal
from pathlib import Path

import pytest
from django.db import connections

from apps.core import failpoints
from apps.core.failpoints import FailpointError
from tests.factories.instances import make_stage
from tests.faults import harness
from tests.faults.harness import CASES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.serial, pytest.mark.timeout(280)]

APPS = Path(__file__).resolve().parents[2] / "apps"
# Passed only when something has gone wrong already, or by work that is not an operation of a machine.
ELSEWHERE = {"instances.release", "instances.give_up.*", "instances.sweep.noted"}


@pytest.fixture
def stage(tmp_path):
    made = make_stage(tmp_path, nodes=2, gpus=4, balance="100000")
    yield made
    failpoints.disarm()
    harness.regions.close_drivers()


@pytest.mark.parametrize("name", CASES)
def test_an_exception_at_any_step_is_survived(stage, name):
    case = CASES[name]
    for point in harness.visited(stage, case):
        before = case.prepare(stage)
        rows = harness.count_rows(stage, before)
        failpoints.arm(point, "raise")
        with pytest.raises(FailpointError):
            harness.perform(stage, case, before)
        finish_and_check(stage, case, before, rows, point)
    harness.check_books()


@pytest.mark.parametrize("name", CASES)
def test_sigkill_at_any_step_is_survived(stage, name):
    case = CASES[name]
    for point in harness.visited(stage, case):
        before = case.prepare(stage)
        rows = harness.count_rows(stage, before)
        with harness.child(harness.broken_child(stage, case, before, point, "kill")) as pid:
            status = harness.wait_for(pid)
        assert os.WIFSIGNALED(status), (point, status)
        assert os.WTERMSIG(status) == signal.SIGKILL, (point, status)
        finish_and_check(stage, case, before, rows, point)
    harness.check_books()


@pytest.mark.parametrize("name", CASES)
def test_a_worker_that_hangs_at_any_step_and_wakes_late_changes_nothing(stage, name):
    case = CASES[name]
    for point in harness.visited(stage, case):
        before = case.prepare(stage)
        rows = harness.count_rows(stage, before)
        with harness.child(harness.broken_child(stage, case, before, point, "hang")) as pid:
            status = harness.wait_for(pid, stopped=True)
            assert os.WIFSTOPPED(status), (point, status)
            harness.cut_off_hung_transactions()
            instance = harness.finish(stage, case, before, rows)
            connections.close_all()
            os.kill(pid, signal.SIGCONT)
            harness.wait_for(pid)
        instance.refresh_from_db()
        harness.check(stage, case, harness.work_off(instance), point)
        tidy(stage, instance)
    harness.check_books()


def test_every_failpoint_is_visited_by_some_operation(stage):
    seen = {point for case in CASES.values() for point in harness.visited(stage, case)}
    unvisited = []
    for pattern in failpoints_in_sources() - ELSEWHERE:
        shape = re.escape(pattern).replace(r"\*", "[a-z_]+")
        if not any(re.fullmatch(shape, point) for point in seen):
            unvisited.append(pattern)
    assert not unvisited


def failpoints_in_sources():
    """Every name in the sources, with what is filled in later as `*`."""
    names = set()
    for path in [*(APPS / "instances").rglob("*.py"), *(APPS / "regions" / "reconcilers").rglob("*.py")]:
        for found in re.findall(r'failpoint\(\s*f?"([^"]+)"', path.read_text()):
            names.add(re.sub(r"\{[^}]*\}", "*", found))
    assert len(names) > 10
    return names


def finish_and_check(stage, case, before, rows, point):
    instance = harness.finish(stage, case, before, rows)
    harness.check(stage, case, instance, point)
    tidy(stage, instance)


def tidy(stage, instance):
    """Make room for the next."""
    if instance.state != "deleted":
        harness.services.delete_instance(actor=stage.actor, instance_id=instance.pk)
        harness.work_off(instance)
