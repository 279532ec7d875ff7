"""Engines that fail, sleep, or are one of several: callers notice as little as can be."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.utils import timezone
from redis import Redis

from apps.inference.models import Endpoint, Replica
from tests.gateway import engine as engines
from tests.gateway.engine import PROMPT_TOKENS, Engine, Plan
from tests.gateway.stage import Gateway, events_of, make_stage, text_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def test_an_engine_that_is_gone_is_never_noticed_before_the_first_byte(running: Gateway, engine: Engine):
    with engines.running() as dying:
        stage = make_stage(running, engine.url, dying.url, policy="round_robin").ready()
        until(lambda: stage.post().status_code == 200 and dying.requests, "both to be asked")
        answered = len(stage.settled(len(engine.requests) + len(dying.requests)))

        def ask(number: int) -> int:
            if number == 20:
                dying.die()
            return stage.post(stream=number % 2 == 0).status_code

        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(ask, range(60))) == {200}
    assert len(stage.settled(answered + 60)) == answered + 60


@pytest.mark.parametrize("usage", ["each", "final"])
@pytest.mark.parametrize(
    ("path", "asked"),
    [("/v1/chat/completions", {}), ("/v1/completions", {"prompt": "Hello", "messages": None})],
)
def test_an_answer_is_completed_by_another_engine(
    running: Gateway, engine: Engine, path: str, asked: dict[str, Any], usage: str
):
    """The caller sees one answer and pays for it once, whichever engine it began at."""
    engine.plan = Plan(tokens=20, die_at=9, usage=usage)
    with engines.running(Plan(tokens=20, usage=usage)) as other:
        stage = make_stage(running, engine.url, other.url, policy="round_robin").ready()
        body = stage.asking(stream=True, temperature=0, stream_options={"include_usage": True}, **asked)
        with httpx.Client(timeout=90, verify=False) as client:
            for _try in range(2):
                answer = client.post(running.url + path, json=body, headers=stage.headers)
                events = list(events_of(answer.text.splitlines()))
                assert text_of(events) == "".join(engines.word(number) for number in range(20))
                assert len({event["id"] for event in events}) == 1
                assert events[-1]["usage"]["completion_tokens"] == 20
                assert events[-1]["usage"]["prompt_tokens"] == PROMPT_TOKENS
    rows = stage.settled(2)
    assert [(row.outcome, row.input, row.output) for row in rows] == [("completed", PROMPT_TOKENS, 20)] * 2
    assert len(engine.requests) == 1
    assert len(other.requests) == 2


def test_an_answer_that_nobody_may_continue_ends_with_an_error(running: Gateway, engine: Engine):
    engine.plan = Plan(tokens=20, die_at=9)
    with engines.running(Plan(tokens=20)) as other:
        stage = make_stage(running, engine.url, other.url, policy="round_robin").ready()
        texts = []
        for _try in range(2):
            with stage.streaming(temperature=1, headers={"X-Hostedai-Resume": "0"}) as response:
                texts.append(text_of(events_of(response.iter_lines())).count(" t"))
    assert sorted(texts) == [9, 20]
    assert {row.output for row in stage.settled(2)} == {9, 20}


def test_a_sleeping_endpoint_is_woken_and_its_callers_wait(running: Gateway, engine: Engine, redis_db: Redis):
    stage = make_stage(running, state="scaled_to_zero", wanted=0, min_replicas=0, queue_limit=2).ready()
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(stage.post) for _number in range(2)]
        until(lambda: Endpoint.objects.get(pk=stage.endpoint.pk).wanted == 1, "the endpoint to be woken")
        load = f"gateway:load:{stage.endpoint.pk}"
        until(lambda: b'"queued":2' in b"".join(redis_db.hvals(load)), "the load to be told")
        full = stage.post()
        assert (full.status_code, full.json()["error"]["code"]) == (503, "queue_full")
        assert int(full.headers["retry-after"]) > 0
        stage.add(engine.url)
        assert [one.result().status_code for one in waiting] == [200, 200]
    stage.settled(2)


def test_a_broken_engine_is_left_alone_and_told_of(running: Gateway, engine: Engine):
    engine.plan = Plan(status=500)
    stage = make_stage(running, engine.url).ready()
    found = [stage.post().status_code for _call in range(5)]
    assert found == [502] * 5
    assert stage.post().json()["error"]["code"] == "no_engine"
    assert len(engine.requests) == 5
    (replica,) = stage.replicas
    until(lambda: Replica.objects.get(pk=replica.pk).last_error, "the replica to be reported")
    assert f'replica="{replica.pk}"}} 1' in until(
        lambda: running.figures() if f'replica="{replica.pk}"}} 1' in running.figures() else "", "the figures"
    )


def test_an_engine_that_calls_a_request_its_failure_stays_in_use(running: Gateway, engine: Engine):
    """llama.cpp answers 500 for what is wrong with a request; nobody may close a shared endpoint that way."""

    def plan(words: str) -> Plan:
        said = {"error": {"code": 500, "message": words, "type": "server_error"}}
        return Plan(status=500, body=json.dumps(said).encode())

    stage = make_stage(running, engine.url).ready()
    engine.plan = plan("input (3002 tokens) is too large to process. increase the physical batch size")
    for stream in (False, True) * 3:  # more than open a circuit
        refused = stage.post(stream=stream)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    engine.plan = plan("image input is not supported")
    assert stage.post().json()["error"]["message"] == "image input is not supported"
    engine.plan = plan("Compute error.")
    assert stage.post().status_code == 502
    engine.plan = Plan()
    assert stage.post().status_code == 200
    assert {(row.outcome, row.output) for row in stage.settled(8)} == {("refused", 0), ("completed", 5)}


def test_a_replica_that_leaves_is_asked_last(running: Gateway, engine: Engine):
    with engines.running() as leaving:
        stage = make_stage(running, engine.url, policy="round_robin")
        stage.add(leaving.url, is_spot=True, noticed_at=timezone.now())
        stage.ready()
        assert {stage.post().status_code for _call in range(6)} == {200}
    assert (len(engine.requests), len(leaving.requests)) == (6, 0)
