"""The official clients, unchanged, and curl; against an engine of ours and a real one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from runner.paths import ROOT
from runner.ports import free_port
from tests.factories.engines import TINY
from tests.gateway.engine import Engine, Plan
from tests.gateway.stage import Gateway, Stage, make_stage, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
JS = Path(__file__).parent / "js"

REAL = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.port = sys.argv[1], int(sys.argv[2])
p.hostnames, p.api_keys, p.model_alias = ["127.0.0.1"], ["engine-secret"], {"tiny"}
p.n_ctx, p.n_parallel, p.n_predict, p.use_jinja, p.ui, p.verbosity = 4096, 4, 64, True, False, 0
p.cpuparams.n_threads = 2
server = xllamacpp.Server(p)
time.sleep(600)
"""


@pytest.fixture
def real_engine(tmp_path: Path) -> Iterator[str]:
    """llama.cpp with the demonstration model."""
    port = free_port()
    with (tmp_path / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", REAL, str(TINY), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def client_of(stage: Stage) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stage.gateway.url}/v1", api_key=stage.secret, timeout=90, max_retries=0)


def ask_all(client: openai.OpenAI, model: str) -> tuple[int, int]:
    """A chat, a stream, a completion; the tokens that the client was told of."""
    messages = [{"role": "user", "content": "Who are you?"}]
    asked = {"model": model, "messages": messages, "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    assert whole.usage is not None
    counted = [whole.usage]
    text = ""
    for event in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        text += (event.choices[0].delta.content or "") if event.choices else ""
        counted += [event.usage] if event.usage and not event.choices else []
    assert text == whole.choices[0].message.content
    for event in client.chat.completions.create(**asked, stream=True):
        assert event.choices  # nothing that was not asked for
    counted.append(counted[-1])
    completion = client.completions.create(model=model, prompt="Hello", max_tokens=4)
    assert completion.usage is not None
    counted.append(completion.usage)
    return sum(one.prompt_tokens for one in counted), sum(one.completion_tokens for one in counted)


def ask_for_responses(client: openai.OpenAI, model: str) -> tuple[int, int]:
    """The newer API, whole and as a stream; the tokens that the client was told of."""
    asked = {"model": model, "input": "Who are you?", "max_output_tokens": 6, "temperature": 0}
    whole = client.responses.create(**asked)
    text, counted = "", [whole.usage]
    for event in client.responses.create(**asked, stream=True):
        text += event.delta if event.type == "response.output_text.delta" else ""
        counted += [event.response.usage] if event.type == "response.completed" else []
    assert text == whole.output_text
    assert len(counted) == 2
    assert all(one is not None and one.output_tokens <= 6 for one in counted)
    return sum(one.input_tokens for one in counted), sum(one.output_tokens for one in counted)


def test_the_python_client_against_a_real_engine(running: Gateway, real_engine: str):
    stage = make_stage(running, real_engine).ready()
    client = client_of(stage)
    until(lambda: stage.post(max_tokens=1).status_code == 200, "the engine to be up")
    before = len(stage.settled(1))
    spent = ask_all(client, stage.slug)
    responses = ask_for_responses(client, stage.slug)
    rows = stage.settled(before + 6)[before:]
    counted = sum(row.input + row.cached for row in rows), sum(row.output for row in rows)
    assert counted == (spent[0] + responses[0], spent[1] + responses[1])
    assert {row.outcome for row in rows} == {"completed"}
    assert {row.stream: row.first_ms is not None for row in rows} == {True: True, False: False}
    several = stage.post("/v1/completions", messages=None, prompt=["a", "b"])
    assert (several.status_code, several.json()["error"]["param"]) == (400, "prompt")


def test_the_python_client_sees_models_embeddings_and_errors(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, prices={"input": "1", "output": "2", "embedding": "3"}).ready()
    client = client_of(stage)
    ask_all(client, stage.slug)
    assert [model.id for model in client.models.list()] == [stage.slug]
    assert client.models.retrieve(stage.slug).owned_by == stage.team.pk
    made = client.embeddings.create(model=stage.slug, input="Hello", encoding_format="float")
    assert made.data[0].embedding == [0.5, 0.25]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nothing", messages=[{"role": "user", "content": "Hello"}])
    assert missing.value.code == "model_not_found"
    engine.plan = Plan(responds=False)
    with pytest.raises(openai.NotFoundError) as lacking:
        client.responses.create(model=stage.slug, input="Hello")
    assert lacking.value.code == "not_supported"
    engine.plan = Plan(status=501)
    for _try in range(6):  # more than open a circuit
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model=stage.slug, input="Hello")
    engine.plan = Plan(
        status=400, body=b'{"error":{"message":"too long","type":"exceed_context_size_error"}}'
    )
    with pytest.raises(openai.BadRequestError, match="too long"):
        client.chat.completions.create(model=stage.slug, messages=[{"role": "user", "content": "Hello"}])
    client.api_key = "hai_live_wrong"
    with pytest.raises(openai.AuthenticationError):
        client.models.list()
    embedded = [row for row in stage.settled(13) if row.embedding]
    assert [(row.embedding, row.input, row.output) for row in embedded] == [(7, 0, 0)]


def test_the_javascript_client(running: Gateway, engine: Engine):
    if shutil.which("node") is None or not (JS / "node_modules" / "openai").is_dir():
        pytest.skip("the JavaScript client is not installed: `make setup` does it where there is npm")
    stage = make_stage(running, engine.url, prices={"input": "1", "output": "2", "embedding": "3"}).ready()
    env = {**os.environ, "OPENAI_BASE_URL": f"{running.url}/v1", "OPENAI_API_KEY": stage.secret}
    ran = subprocess.run(
        ["node", "ask.mjs", stage.slug], cwd=JS, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "whole": " t0 t1 t2 t3 t4",
        "usage": 12,
        "streamed": " t0 t1 t2 t3 t4",
        "models": [stage.slug],
        "embedding": [0.5, 0.25],
        "left": " t0 t1",
        "missing": "NotFoundError 404 model_not_found",
        "wrong": "BadRequestError 400 invalid",
        "stranger": "AuthenticationError 401 bad_key",
    }
    until(lambda: engine.aborted, "the engine to be stopped")
    rows = stage.settled(4)
    assert {(row.outcome, row.output, row.embedding) for row in rows} == {
        ("completed", 5, 0), ("completed", 0, 7), ("client_gone", 2, 0),
    }  # fmt: skip


def test_curl(running: Gateway, engine: Engine, tmp_path: Path):
    stage = make_stage(running, engine.url).ready()
    asked = tmp_path / "ask.json"
    # Long enough for curl to ask first whether it may send it (100-continue).
    content = "Hello " * 250_000
    asked.write_text(json.dumps(stage.asking(stream=True, messages=[{"role": "user", "content": content}])))
    command = ["curl", "-sSN", "--max-time", "90", f"{running.url}/v1/chat/completions", "-H", "@-"]
    command += ["-H", "Content-Type: application/json", "--data-binary", f"@{asked}"]
    ran = subprocess.run(
        command, input=f"Authorization: Bearer {stage.secret}\n", capture_output=True, text=True,
        timeout=100, check=True, cwd=ROOT,
    )  # fmt: skip
    assert ran.stdout.endswith("data: [DONE]\n\n")
    assert ran.stdout.count('"content":" t') == 5
    stage.settled()


def test_a_model_that_only_embeds_is_not_troubled_by_chats(running: Gateway, engine: Engine):
    """Its engine would answer 500, and after a few its circuit would be open for everybody."""
    prices = {"input": "1", "output": "2", "embedding": "3"}
    stage = make_stage(running, engine.url, prices=prices, modality="embedding").ready()
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/responses"):
        answer = stage.post(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_supported")
    assert not engine.requests
    assert stage.post("/v1/embeddings", input="Hello").status_code == 200
