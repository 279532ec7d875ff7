"""A real engine behind an endpoint: the bundled model, fetched from the object store."""

import http.client
import json
import socket
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from django.core.management import call_command

from apps.core.actor import SYSTEM
from apps.inference import reconcilers
from apps.inference.management.commands.demo_embedder import SPEC
from apps.inference.models import Endpoint, Replica
from apps.inference.selectors import routes
from apps.inference.services import endpoints
from apps.nodes.services import add_node
from apps.regions.models import Cluster
from apps.regions.reconcilers import any_driver_of
from apps.registry.management.commands.demo_models import register_file
from apps.registry.weights import bert
from tests.drivers.lab import wait_for
from tests.factories.engines import SHAPE, WORDS, embed, encoder

pytestmark = pytest.mark.django_db


@pytest.fixture
def host(tmp_path, settings):
    """This host's engines; none is left."""
    settings.VAR_DIR = tmp_path
    yield
    driver = any_driver_of(Cluster.objects.get(kind="local"))

    def left():
        names = [ref.name for ref in driver.list_engines().machines]
        for name in names:
            driver.delete_engine(name, force=True)
        return names

    wait_for(left, until=lambda names: not names, what="every engine gone")


@pytest.fixture
def demo(host):
    call_command("demo_models", verbosity=0)
    call_command("demo_endpoints", verbosity=0)
    return Endpoint.objects.get(slug="demo-chat")


def ready(endpoint):
    def looked():
        Replica.objects.filter(endpoint=endpoint).update(due_at=endpoint.created_at)
        for pk in Replica.objects.filter(endpoint=endpoint, released_at=None).values_list("pk", flat=True):
            reconcilers.reconcile_replica(replica_id=pk)
        reconcilers.steer_endpoint(endpoint_id=str(endpoint.pk))
        endpoint.refresh_from_db()
        return endpoint.state

    return wait_for(looked, until=lambda state: state in ("ready", "degraded"), what="ready")


def ask(route, path, body):
    one = route.replicas[0]
    connection = http.client.HTTPConnection(urlsplit(one.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {one.api_key}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
    said = json.loads(connection.getresponse().read())
    connection.close()
    return said


def test_the_demonstration_endpoint_answers_and_goes(demo):
    host = add_node(
        actor=SYSTEM, region=demo.region, name=socket.gethostname().partition(".")[0].lower()
    ).node
    began = time.monotonic()
    assert ready(demo) == "ready", demo.message
    print(f"ready after {time.monotonic() - began:.2f} s")
    assert list(demo.replicas.values_list("node_id", flat=True)) == [host.pk]
    (route,) = routes.table()
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 40}
    said = ask(route, "/v1/chat/completions", {**body, "temperature": 0})
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


def test_an_encoder_that_came_as_safetensors_embeds_as_it_should(host):
    """The bundled way from a publisher's tensors to vectors, beside the same arithmetic done by hand."""
    tensors = encoder()
    made = bert.to_gguf(name="Small", licence="mit", config=SHAPE, words=WORDS, tensors=tensors)
    version = register_file(SPEC, "small.gguf", lambda: made)
    assert (version.architecture, version.layers, version.context_length) == ("bert", 2, 32)
    call_command("demo_endpoints", verbosity=0)
    endpoint = Endpoint.objects.get(slug="demo-embed")
    assert ready(endpoint) == "ready", endpoint.message
    (route,) = routes.table()
    texts = {"the cat sat": [5, 6, 8], "the dogs": [5, 7, 9], "invoice": [10]}
    said = ask(route, "/v1/embeddings", {"model": "demo-embed", "input": list(texts)})
    assert said["usage"]["prompt_tokens"] == sum(len(one) + 2 for one in texts.values())
    for found, tokens in zip(said["data"], texts.values(), strict=True):
        by_hand = embed(tensors, [2, *tokens, 3])
        assert len(found["embedding"]) == 64
        assert np.dot(found["embedding"], by_hand) > 0.99
