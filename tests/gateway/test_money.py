"""Tokens billed are tokens delivered, once, however a request ends; and nothing is held afterwards."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from apps.billing.models import Wallet
from tests.gateway import engine as engines
from tests.gateway.engine import PROMPT_TOKENS, Engine, Plan
from tests.gateway.stage import Gateway, Stage, events_of, gateway, make_stage, text_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
INPUT, OUTPUT = Decimal("0.000001"), Decimal("0.000002")


def cost(tokens: int, *, prompt: int = PROMPT_TOKENS) -> Decimal:
    return prompt * INPUT + tokens * OUTPUT


def read_pieces(lines: Iterator[str], count: int) -> str:
    """Read the stream until so many tokens have come; `lines` is to be kept, or the stream is closed."""
    text = ""
    while text.count(" t") < count:
        text += text_of(events_of([next(lines)]))
    return text


@pytest.mark.parametrize("usage", ["each", "final"])
@pytest.mark.parametrize("k", [0, 1, 50])
def test_a_caller_that_leaves_pays_for_what_it_got(running: Gateway, engine: Engine, k: int, usage: str):
    engine.plan = Plan(tokens=60, wait_at=k, usage=usage)
    stage = make_stage(running, engine.url).ready()
    with stage.streaming() as response:
        lines = response.iter_lines()
        read_pieces(lines, k)
        until(lambda: engine.waiting, "the engine to wait")
    until(lambda: engine.aborted == 1, "the engine to be stopped")
    (row,) = stage.settled()
    assert row.outcome == "client_gone"
    # An engine that tells its use only in the end has not told of the prompt; what it sent is counted.
    assert (row.input, row.output) == (PROMPT_TOKENS if usage == "each" and k else 0, k)


def test_what_the_engine_says_is_what_is_charged(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, prices={"input": "1", "cached": "0.5", "output": "2"}).ready()
    for plan in (
        Plan(usage="zero"),
        Plan(usage="final", cached=3),
        Plan(usage="none", tokens=4),
        Plan(status=400, body=b'{"object":"error","message":"too long","code":400}'),
    ):
        engine.plan = plan
        with stage.streaming(stream_options={"include_usage": True}) as response:
            response.read()
    rows = stage.settled(4)
    assert [(row.input, row.cached, row.output) for row in rows] == [
        (0, 0, 0),  # it says zero
        (4, 3, 5),
        (0, 0, 4),  # it says nothing: so many pieces as the caller got
        (0, 0, 0),  # it refused
    ]
    assert response.json()["error"] | {"message": ""} == {
        "message": "", "type": "invalid_request_error", "param": None, "code": "engine_refused",
    }  # fmt: skip


def test_an_engine_that_dies_is_paid_for_what_was_delivered(running: Gateway, engine: Engine):
    engine.plan = Plan(tokens=20, die_at=9)
    stage = make_stage(running, engine.url).ready()
    with stage.streaming(temperature=0.7) as response:
        lines = list(response.iter_lines())
    assert text_of(events_of(lines)).count(" t") == 9
    assert '"code":"engine_failed"' in lines[-4]
    assert lines[-2] == "data: [DONE]"
    (row,) = stage.settled()
    assert (row.outcome, row.input, row.output) == ("engine_failed", PROMPT_TOKENS, 9)


def test_an_answer_that_is_not_delivered_costs_nothing(running: Gateway, engine: Engine):
    engine.plan = Plan(tokens=20, die_at=9)
    stage = make_stage(running, engine.url).ready()
    answer = stage.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "engine_failed")
    engine.plan = Plan()
    assert stage.post().status_code == 200
    (row,) = stage.settled()
    assert row.amount == cost(5)


@pytest.mark.parametrize("k", [1, 12])
def test_a_killed_worker_leaves_an_exact_bill(folder: Path, transactional_db: None, k: int):
    with engines.running(Plan(tokens=60, wait_at=k)) as engine, gateway(folder) as running:
        stage = make_stage(running, engine.url).ready()
        with stage.streaming() as response:
            lines = response.iter_lines()
            assert read_pieces(lines, k).count(" t") == k
            (pid,) = running.worker_pids()
            os.kill(pid, signal.SIGKILL)
            (row,) = stage.settled()
        assert (row.outcome, row.input, row.output) == ("lost", PROMPT_TOKENS, k)
        assert row.amount == cost(k)
        until(lambda: not stage.held(), "nothing to be held")
        engine.plan = Plan()
        until(lambda: running.worker_pids() not in ([], [pid]), "another worker")
        stage.ready()
        assert stage.post().status_code == 200
        stage.settled(2)


def test_what_a_killed_gateway_leaves_is_settled_by_the_next(folder: Path, transactional_db: None):
    with engines.running(Plan(tokens=60, wait_at=5)) as engine:
        with gateway(folder) as running:
            stage = make_stage(running, engine.url).ready()
            with stage.streaming() as response:
                lines = response.iter_lines()
                read_pieces(lines, 5)
                (pid,) = running.worker_pids()
                os.kill(running.process.pid, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
        with gateway(folder):
            (row,) = stage.settled()
            assert (row.outcome, row.output) == ("lost", 5)
            until(lambda: not stage.held(), "nothing to be held")


def test_many_callers_on_one_budget_never_overshoot(running: Gateway, engine: Engine):
    """Money for twenty answers and sixty-four callers: it is spent to the last useful call, never beyond."""
    engine.plan = Plan(tokens=1000)
    stage = make_stage(running, engine.url, balance="0.05").ready()

    def ask(_number: int) -> httpx.Response:
        return stage.post(max_tokens=1000)

    with ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(ask, range(64)))
    kinds = {answer.status_code for answer in answers}
    assert kinds <= {200, 402}
    answered = [answer for answer in answers if answer.status_code == 200]
    rows = stage.settled(len(answered))
    spent = sum(row.amount for row in rows)
    assert spent <= Decimal("0.05")
    wallet = Wallet.objects.get(team=stage.team)
    assert wallet.balance == Decimal("0.05") - spent
    # While the smallest useful call can be paid it is answered, with fewer tokens than asked for.
    spend_the_rest(stage)
    left = Wallet.objects.get(team=stage.team).balance
    assert 0 <= left < Decimal("0.0005")


def spend_the_rest(stage: Stage) -> None:
    for _call in range(200):
        answer = stage.post(max_tokens=1000)
        if answer.status_code == 402:
            assert answer.json()["error"]["type"] == "insufficient_quota"
            return
        assert answer.status_code == 200
        told = answer.headers.get("x-hostedai-max-tokens")
        assert told is None or answer.json()["usage"]["completion_tokens"] <= int(told)
    raise AssertionError("money without end")


def test_tokens_of_an_engine_that_is_paid_by_time_are_counted_and_free(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, balance="0", metering="time").ready()
    assert stage.post().status_code == 200
    (row,) = stage.settled()
    assert (row.input, row.output, row.amount) == (PROMPT_TOKENS, 5, 0)


def test_nobody_pays_for_what_is_refused(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, balance="0").ready()
    answer = stage.post()
    assert (answer.status_code, answer.json()["error"]["type"]) == (402, "insufficient_quota")
    assert not engine.requests
    with httpx.Client(timeout=60, verify=False) as client:
        url = f"{running.url}/v1/chat/completions"
        for body, status in ((b"{", 400), (b"[]", 400), (b'{"model":1}', 400), (b'{"model":"none"}', 404)):
            assert client.post(url, content=body, headers=stage.headers).status_code == status
    assert not stage.held()
