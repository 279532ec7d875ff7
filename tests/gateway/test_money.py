"""Tokens billed are tokens delivered, once, however a request ends; and nothing is held afterwards."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from apps.billing.models import TokenRequest, Wallet
from apps.billing.services import budgeting
from apps.billing.services.budgeting import BudgetWish
from apps.core.actor import SYSTEM
from apps.core.ids import encode
from apps.gateway.steward.outside import RECALL
from apps.teams.models import ApiKey
from tests.factories.teams import key_of
from tests.gateway import engine as engines
from tests.gateway.engine import PROMPT_TOKENS, Engine, Plan
from tests.gateway.stage import PATIENCE, Gateway, Stage, events_of, gateway, lift, make_stage, text_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
INPUT, OUTPUT = Decimal("0.000001"), Decimal("0.000002")
KS = range(51)


def cost(tokens: int, *, prompt: int = PROMPT_TOKENS) -> Decimal:
    return prompt * INPUT + tokens * OUTPUT


def read_pieces(lines: Iterator[str], count: int) -> str:
    """Read the stream until so many tokens have come; `lines` is to be kept, or the stream is closed."""
    text = ""
    while text.count(" t") < count:
        text += text_of(events_of([next(lines)]))
    return text


def wish(**plan: Any) -> str:
    """What the engine shall do with one request alone."""
    return json.dumps({"tokens": 60, **plan})


def leave(stage: Stage, k: int, usage: str) -> str:
    """Read k tokens of an answer and go; the receipt's id."""
    with stage.streaming(user=wish(wait_at=k, usage=usage)) as response:
        lines = response.iter_lines()
        next(lines)
        read_pieces(lines, k)
        return str(response.headers["x-receipt-id"])


def give_back(stage: Stage, redis_db: Redis) -> None:
    """Call the team's idle money back; nothing is held when no request has kept any."""
    redis_db.publish(RECALL, json.dumps(["a test", stage.team.pk]))
    until(lambda: not stage.held(), "nothing to be held")


def outputs(rows: list[TokenRequest]) -> dict[str, int]:
    return {encode("rcp", row.request_id): row.output for row in rows}


def test_a_caller_that_leaves_at_any_token_pays_for_what_it_got(
    running: Gateway, engine: Engine, redis_db: Redis
):
    stage = make_stage(running, engine.url).ready()
    asked = [(k, usage) for k in KS for usage in ("each", "final")]
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda one: leave(stage, *one), asked))
    until(lambda: engine.aborted == len(asked), "the engine to be stopped")
    rows = stage.settled(len(asked))
    assert {row.outcome for row in rows} == {"client_gone"}
    assert outputs(rows) == {receipt: k for receipt, (k, _usage) in zip(receipts, asked, strict=True)}
    # An engine that tells its use only in the end has not told of the prompt; what it sent is counted.
    assert sum(row.input for row in rows) == PROMPT_TOKENS * (len(KS) - 1)
    assert Wallet.objects.get(team=stage.team).balance == 100 - sum(row.amount for row in rows)
    give_back(stage, redis_db)


@contextmanager
def under_way(stage: Stage) -> Iterator[dict[str, int]]:
    """Answers that have come to each of the first fifty tokens: how far each is."""
    found: dict[str, int] = {}
    with ExitStack() as stack:
        for k in KS:
            said = wish(wait_at=k, usage="each" if k % 2 else "final")
            response = stack.enter_context(stage.streaming(user=said, temperature=1))
            lines = response.iter_lines()
            next(lines)
            read_pieces(lines, k)
            stack.callback(lines.close)
            found[response.headers["x-receipt-id"]] = k
        yield found


def test_a_killed_worker_leaves_an_exact_bill(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url).ready()
    (pid,) = running.worker_pids()
    with under_way(stage) as found:
        os.kill(pid, signal.SIGKILL)
        rows = stage.settled(len(found))
    assert {row.outcome for row in rows} == {"lost"}
    assert outputs(rows) == found
    assert sum(row.amount for row in rows) == sum(
        cost(k, prompt=PROMPT_TOKENS if k % 2 else 0) for k in found.values()
    )
    until(lambda: not stage.held(), "nothing to be held")
    until(lambda: running.worker_pids() not in ([], [pid]), "another worker")
    assert stage.ready().post().status_code == 200
    stage.settled(len(found) + 1)


def test_an_engine_that_dies_is_paid_for_what_was_delivered(
    running: Gateway, engine: Engine, redis_db: Redis
):
    stage = make_stage(running, engine.url).ready()
    with under_way(stage) as found:
        engine.die()
        rows = stage.settled(len(found))
    assert {row.outcome for row in rows} == {"engine_failed"}
    assert outputs(rows) == found
    give_back(stage, redis_db)


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


def test_an_engine_that_dies_is_told_of_in_the_stream(running: Gateway, engine: Engine):
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


def test_what_a_killed_gateway_leaves_is_settled_once_however_often_it_is_found(
    folder: Path, transactional_db: None
):
    with engines.running(Plan(tokens=60, wait_at=5)) as engine:
        with gateway(folder) as running:
            stage = make_stage(running, engine.url).ready()
            with stage.streaming() as response:
                lines = response.iter_lines()
                read_pieces(lines, 5)
                (pid,) = running.worker_pids()
                os.kill(running.process.pid, signal.SIGKILL)
                os.kill(pid, signal.SIGKILL)
        running.process.wait(60)
        (left,) = (folder / "spool").iterdir()
        shutil.copytree(left, folder / "spool" / "again")
        with gateway(folder):
            (row,) = stage.settled()
            assert (row.outcome, row.output) == ("lost", 5)
            until(lambda: not stage.held(), "nothing to be held")
            until(lambda: not (folder / "spool" / "again").exists(), "what was found again to be settled")
    assert stage.settled() == [row]
    assert Wallet.objects.get(team=stage.team).balance == 100 - row.amount


@pytest.mark.parametrize("balance", ["0.05", "7"])
def test_many_callers_on_one_budget_get_all_of_it_and_no_more(
    folder: Path, transactional_db: None, balance: str
):
    """Sixty-four callers, four keys, two workers, money for a third of them, be it the balance or a budget of
    their workspace: as many are answered as the money pays for, one more with fewer tokens, and nobody is
    refused while that can be paid."""
    with engines.running(Plan(tokens=1000, wait_at=0)) as engine, gateway(folder, workers=2) as running:
        stage = make_stage(running, engine.url, balance=balance)
        if balance != "0.05":
            _limit_workspace(stage, Decimal("0.05"))
        keys = [stage.secret, *(key_of(stage.team, "inference:use").secret for _key in range(3))]
        for key in ApiKey.objects.filter(team=stage.team):
            lift(key, stage.workspace)
        stage.add(engine.url)
        stage.ready()
        asked = json.dumps(stage.asking(max_tokens=1000)).encode()
        prompt = (len(asked) + 64) * INPUT + Decimal("4e-12")
        whole = prompt + 1000 * OUTPUT
        fit, rest = divmod(Decimal("0.05"), whole)
        assert rest > prompt + OUTPUT

        def ask(number: int) -> httpx.Response:
            headers = {"Authorization": f"Bearer {keys[number % 4]}"}
            url = f"{running.url}/v1/chat/completions"
            return httpx.post(url, content=asked, headers=headers, timeout=PATIENCE, verify=False)

        with ThreadPoolExecutor(64) as threads:
            calls = [threads.submit(ask, number) for number in range(64)]
            until(lambda: sum(call.done() for call in calls) == 64 - fit - 1, "the others to be refused")
            assert engine.waiting == fit + 1
            engine.go_on()
            answers = [call.result() for call in calls]
        refused = [answer for answer in answers if answer.status_code == 402]
        assert {answer.json()["error"]["type"] for answer in refused} == {"insufficient_quota"}
        (fewer,) = [answer for answer in answers if "x-hostedai-max-tokens" in answer.headers]
        told = int(fewer.headers["x-hostedai-max-tokens"])
        assert fewer.json()["usage"]["completion_tokens"] == told == (rest - prompt) // OUTPUT
        spent = sum(row.amount for row in stage.settled(int(fit) + 1))
        assert spent == fit * cost(1000) + cost(told)
        assert Wallet.objects.get(team=stage.team).balance == Decimal(balance) - spent
        # What was held and not used can be spent again, to the last useful call.
        spend_the_rest(stage)
        left = Wallet.objects.get(team=stage.team).balance - Decimal(balance) + Decimal("0.05")
        assert 0 <= left < Decimal("0.0005")


def _limit_workspace(stage: Stage, amount: Decimal) -> None:
    wanted = BudgetWish("Lab", "workspace", "month", amount, "block", stage.workspace.pk)
    budgeting.set_budget(actor=SYSTEM, team=stage.team, wish=wanted)


def test_a_refusal_names_the_budget_that_is_used_up(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, balance="1").ready()
    assert stage.post().status_code == 200
    stage.settled()
    _limit_workspace(stage, Decimal("0.00000001"))
    until(lambda: stage.post().status_code == 402, "the budget to count")
    assert stage.post().json()["error"]["message"] == "The budget “Lab” is used up."


def test_a_refusal_names_the_budget_that_leaves_too_little(running: Gateway, engine: Engine):
    engine.plan = Plan(status=400)  # what is asked before the gateway knows of the budget costs nothing
    stage = make_stage(running, engine.url, balance="1").ready()
    _limit_workspace(stage, Decimal("0.00000001"))
    until(lambda: stage.post().status_code == 402, "the budget to count")
    assert stage.post().json()["error"]["message"] == (
        "The budget “Lab” leaves 0.00000001 EUR, too little for the smallest answer."
    )


def test_a_hold_shrinks_when_the_engine_has_told_how_long_the_prompt_is(running: Gateway, engine: Engine):
    """Another request is paid from what the first one turns out not to need, while that still runs."""
    stage = make_stage(running, engine.url, balance="0.05", prices={"input": "10", "output": "2"}).ready()
    content = [{"role": "user", "content": "x" * 3000}]
    with stage.streaming(user=wish(wait_at=0), messages=content) as response:
        until(lambda: engine.waiting, "the engine to wait")
        assert stage.post(messages=content).status_code == 402
        engine.plan = Plan(tokens=1)
        engine.go_on()
        list(response.iter_lines())
    with stage.streaming(user=wish(wait_at=1), messages=content) as response:
        read_pieces(response.iter_lines(), 1)
        assert stage.post(messages=content).status_code == 200
    assert {row.input for row in stage.settled(3)} == {PROMPT_TOKENS}


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
