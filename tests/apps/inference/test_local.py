"""A real engine behind an endpoint: the bundled model, fetched from the object store."""

import http.client
import json
import time
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command

from apps.core.actor import SYSTEM
from apps.inference import reconcilers
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import routes
from apps.inference.services import endpoints
from apps.regions.models import Cluster
from apps.regions.reconcilers import any_driver_of
from tests.drivers.lab import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo(tmp_path, settings):
    settings.VAR_DIR = tmp_path
    call_command("demo_models", verbosity=0)
    call_command("demo_endpoints", verbosity=0)
    yield Endpoint.objects.get(slug="demo-chat")
    driver = any_driver_of(Cluster.objects.get(kind="local"))

    def left():
        names = [ref.name for ref in driver.list_engines().machines]
        for name in names:
            driver.delete_engine(name, force=True)
        return names

    wait_for(left, until=lambda names: not names, what="every engine gone")


def ready(endpoint):
    def looked():
        Replica.objects.filter(endpoint=endpoint).update(due_at=endpoint.created_at)
        for pk in Replica.objects.filter(endpoint=endpoint, released_at=None).values_list("pk", flat=True):
            reconcilers.reconcile_replica(replica_id=pk)
        reconcilers.steer_endpoint(endpoint_id=str(endpoint.pk))
        endpoint.refresh_from_db()
        return endpoint.state

    return wait_for(looked, until=lambda state: state in ("ready", "degraded"), what="ready")


def chat(route, body):
    one = route.replicas[0]
    connection = http.client.HTTPConnection(urlsplit(one.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {one.api_key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    said = json.loads(connection.getresponse().read())
    connection.close()
    return said


def test_the_demonstration_endpoint_answers_and_goes(demo):
    began = time.monotonic()
    assert ready(demo) == "ready", demo.message
    print(f"ready after {time.monotonic() - began:.2f} s")
    (route,) = routes.table()
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 40}
    said = chat(route, {**body, "temperature": 0})
    assert "language model" in said["choices"][0]["message"]["content"]
    assert said["usage"]["completion_tokens"] > 5
    endpoints.delete_endpoint(actor=SYSTEM, endpoint_id=str(demo.pk))

    def gone():
        Replica.objects.filter(endpoint=demo).exclude(due_at=None).update(due_at=demo.created_at)
        for pk in Replica.objects.filter(endpoint=demo, released_at=None).values_list("pk", flat=True):
            reconcilers.reconcile_replica(replica_id=pk)
        reconcilers.steer_endpoint(endpoint_id=str(demo.pk))
        demo.refresh_from_db()
        return demo.state

    assert wait_for(gone, until=lambda state: state == "deleted", what="deleted") == "deleted"
    (replica,) = Replica.objects.filter(endpoint=demo)
    assert replica.state == "stopped"
    assert replica.absence["engine"] == replica.engine_name
