"""Many at once, a broker that dies, a database that is cut off in the middle."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import DatabaseError, connection, connections
from psycopg.conninfo import conninfo_to_dict

from apps.core import queue
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.models import GpuHold
from apps.instances import reconcilers, services
from apps.instances.models import Instance
from apps.operations import services as operations
from apps.operations.models import Operation
from apps.operations.specs import Answer
from celery_worker.app import app
from celery_worker.queues import QUEUES, ROUTES
from runner import postgres, valkey
from runner.account import service_account
from runner.paths import scratch
from runner.processes import end
from tests import database
from tests.factories.instances import make_stage
from tests.faults import harness

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.serial, pytest.mark.timeout(280)]


OPTIONS = settings.CELERY_BROKER_TRANSPORT_OPTIONS


@pytest.fixture
def stage(tmp_path):
    yield make_stage(tmp_path, nodes=2, gpus=4, balance="100000")
    harness.regions.close_drivers()


def at_once(count, work):
    """Run `work(number)` in as many threads, let go together; what each returned or raised."""
    gate = threading.Barrier(count)

    def one(number):
        gate.wait()
        try:
            return work(number)
        except PoolExhausted as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=count) as pool:
        return list(pool.map(one, range(count)))


def work_off_all():
    """Be the poller until nothing is under way."""
    deadline = time.monotonic() + 120
    while Instance.objects.exclude(operation_id=None).exists():
        assert time.monotonic() < deadline, list(Instance.objects.values_list("state", "last_error"))
        harness.make_due()
        reconcilers.reconcile_due()


def insist(stage, name):
    """Ask again when the database says that too many wait; only an answer counts."""
    for _again in range(20):
        try:
            return stage.launch(name=name, type="h100-1")
        except DatabaseError:
            connections.close_all()
    raise AssertionError("the database never answered")


def test_of_64_that_want_the_last_8_gpus_exactly_8_get_one(stage):
    answers = at_once(64, lambda number: insist(stage, f"wants-{number}"))
    won = [one for one in answers if isinstance(one, Instance)]
    assert len(won) == 8
    assert {type(one) for one in answers} == {Instance, PoolExhausted}
    assert all("explanation" in one.context for one in answers if isinstance(one, PoolExhausted))
    assert GpuHold.objects.filter(released_at=None).count() == 8
    work_off_all()
    assert set(Instance.objects.values_list("state", flat=True)) == {"running"}
    assert len(stage.world.gpu_holders()) == 8
    harness.check_world(stage)
    harness.check_books()


def test_a_launch_repeated_with_its_key_is_one_launch(stage):
    def ask(_number):
        def act():
            return Answer(202, {"id": stage.launch(name="only-one").pk})

        return operations.once(owner=stage.team.pk, key="k1", fingerprint="f" * 64, act=act)

    answers = at_once(12, ask)
    assert len({answer.body["id"] for answer in answers}) == 1
    assert Instance.objects.count() == 1
    work_off_all()
    harness.check_world(stage)


@pytest.fixture
def broker(tmp_path):
    """A Valkey of our own, to which hints are sent."""
    server = valkey.Valkey(tmp_path / "valkey", password="secret", dies_by_us=True)
    identity = server.start()
    sender = Celery("faults", broker=server.url(), set_as_current=True)
    sender.conf.update(task_queues=QUEUES, task_routes=ROUTES, broker_transport_options=OPTIONS)
    queue._quiet_until = 0.0
    yield server, identity
    queue._quiet_until = 0.0
    sender.close()
    app.set_current()
    end(identity)


def test_a_flushed_broker_costs_time_and_no_work(stage, broker):
    server, _identity = broker
    stage.launch(name="hinted")
    with redis.Redis.from_url(server.url()) as client:
        assert client.llen("provision") == 1
        client.flushall()
    work_off_all()
    assert Instance.objects.get().state == "running"
    harness.check_world(stage)


def test_a_killed_broker_refuses_nobody_and_costs_no_work(stage, broker):
    _server, identity = broker
    stage.launch(name="before")
    end(identity)
    instance = stage.launch(name="after")
    services.delete_instance(actor=stage.actor, instance_id=instance.pk)
    work_off_all()
    assert set(Instance.objects.values_list("name", "state")) == {("before", "running"), ("after", "deleted")}
    harness.check_world(stage)
    harness.check_books()


def point_at(**where):
    """Where every connection of this process goes from now on."""
    for about in (connection.settings_dict, settings.DATABASES["default"]):
        about.update(where)


@pytest.fixture
def own_postgres():
    """A database server of our own, that may be cut off without hurting anybody."""
    folder = Path(scratch()) / f"faults-{time.time_ns()}"
    server = postgres.Postgres(folder, passwords=("super", "app"), quick=False, dies_by_us=True)
    state = {"server": server, "identity": server.start()}
    before = dict(connection.settings_dict)
    about = conninfo_to_dict(server.url())
    connections.close_all()
    named = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
    point_at(**{name: about[key] for name, key in named.items()})
    try:
        database.copy_to(server.super_url(postgres.OWNER), postgres.binaries(service_account()))
        yield state
    finally:
        connections.close_all()
        point_at(**{name: before[name] for name in named})
        postgres.stop(state["identity"], immediate=True)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_database_cut_off_in_the_middle_loses_nothing_it_had_promised(own_postgres, tmp_path):
    stage = make_stage(tmp_path, nodes=2, gpus=0, balance="100000")
    promised: list[str] = []
    enough, stop = threading.Event(), threading.Event()

    def ask(number):
        """Launch and work, until told to stop; only what was answered counts as promised."""
        count = 0
        while not stop.is_set() and count < 40:
            count += 1
            try:
                promised.append(stage.launch(name=f"vm-{number}-{count}").pk)
                reconcilers.reconcile_due(threads=1)
            except DatabaseError:
                connections.close_all()
                stop.wait(0.05)
            if len(promised) >= 6:
                enough.set()
        connections.close_all()

    with ThreadPoolExecutor(max_workers=3) as pool:
        runs = [pool.submit(ask, number) for number in range(3)]
        while not enough.wait(0.2):
            assert not any(run.done() for run in runs), [run.exception() for run in runs if run.done()]
        port = own_postgres["server"].port
        postgres.stop(own_postgres["identity"], immediate=True)
        own_postgres["identity"] = own_postgres["server"].start(port)
        point_at(PORT=str(own_postgres["server"].port))
        stop.set()
        for run in runs:
            run.result(timeout=100)
    connections.close_all()
    assert set(promised) <= set(Instance.objects.values_list("pk", flat=True))
    work_off_all()
    assert set(Instance.objects.values_list("state", flat=True)) == {"running"}
    assert not Operation.objects.open().exists()
    harness.check_world(stage)
    harness.check_books()
