"""Whether it lives, whether it is ready, and what it counts."""

import socket
from typing import Any

import pytest
from django.test import Client

from tests.factories.supply import make_supply


def test_it_lives(db: None) -> None:
    assert Client().get("/health").json() == {"status": "ok"}


def test_readiness_names_each_dependency(db: None, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        settings.GATEWAY_HOST, settings.GATEWAY_PORT = door.getsockname()
        answer = Client().get("/readiness")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert set(answer.json()["checks"]) == {"database", "migrations", "redis", "gateway", "objects"}


def test_pages_are_served_without_gateway_and_object_store(db: None, settings: Any) -> None:
    settings.GATEWAY_PORT, settings.S3_ENDPOINT_URL = 1, "http://127.0.0.1:1"
    answer = Client().get("/readiness")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert {name for name, said in answer.json()["checks"].items() if said != "ok"} == {"gateway", "objects"}


def test_a_missing_dependency_is_named_without_its_address(db: None, settings: Any) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    answer = Client().get("/readiness")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")
    assert answer.json()["checks"]["redis"] != "ok"
    assert answer.json()["checks"]["database"] == "ok"
    assert b"127.0.0.1" not in answer.content
    assert b"hunter2" not in answer.content


@pytest.mark.parametrize("given", ["", "Bearer wrong", "Bearer "])
def test_metrics_are_for_the_token(db: None, settings: Any, given: str) -> None:
    settings.METRICS_TOKEN = "right"
    assert Client().get("/metrics", headers={"Authorization": given}).status_code == 403
    settings.METRICS_TOKEN = ""
    assert Client().get("/metrics", headers={"Authorization": given}).status_code == 403


def test_metrics_count_the_fleet(db: None, settings: Any) -> None:
    settings.METRICS_TOKEN = "right"
    make_supply(nodes=2, gpus=0)
    answer = Client().get("/metrics", headers={"Authorization": "Bearer right"})
    assert b'hostedai_nodes{health="healthy"} 2.0' in answer.content
