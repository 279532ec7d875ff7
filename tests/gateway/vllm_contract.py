"""The gateway before a real vLLM on the CPU, and our launch in vLLM's own words. Run by `make vllm`.

Not part of the suite: vLLM is a few gigabytes and takes half a minute to start.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import httpx
import pytest

from apps.drivers.vllm import launch_of
from hostedai_agent.engines import read_metrics
from runner import paths
from runner.ports import free_port
from tests.drivers.test_vllm import ACCESS, NOW, SPEC
from tests.gateway.stage import Gateway, Stage, events_of, make_stage, text_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
PYTHON = str(paths.VAR / "vllm" / "venv" / "bin" / "python")
NAME = "vllm"
SMALL = replace(SPEC, model=f"model-{NAME}", context_length=256, parallel=4, gpus=1)
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser
given = make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])
validate_parsed_serve_args(given)
plain = (str, int, float, list)
print(json.dumps({name: value for name, value in vars(given).items() if isinstance(value, plain)}))
"""
MAKE = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
folder = sys.argv[1]
known = ["<s>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
words = {one: at for at, one in enumerate(known)}
made = Tokenizer(models.BPE(words, [], unk_token="<unk>"))
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
fast.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\\n{% endfor %}assistant:"
fast.save_pretrained(folder)
LlamaForCausalLM(LlamaConfig(
    vocab_size=len(words), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=512, bos_token_id=0, eos_token_id=1,
)).save_pretrained(folder, safe_serialization=True)
"""
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_API_KEY": "engine-secret",
}


def of_vllm(program: str, *words: str) -> str:
    ran = subprocess.run(
        [PYTHON, "-c", program, *words], check=False, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT, "PYTHONPATH": ""},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-4000:]
    return ran.stdout


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM that serves a small model of random weights."""
    folder = tmp_path_factory.mktemp("vllm")
    of_vllm(MAKE, str(folder / "model"))
    port, log = free_port(), folder / "vllm.log"
    command = _here(launch_of(SMALL, ACCESS, now=NOW).command, str(folder / "model"), port)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": ""},
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: process.poll() is not None or _is_well(url), "vLLM", seconds=600)
        assert process.poll() is None, log.read_text()[-4000:]
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=60)


def _here(command: tuple[str, ...], model: str, port: int) -> list[str]:
    """Our launch, but for where the weights are, who may reach it, and what a processor needs: of an option
    that stands there twice vLLM takes the last."""
    _program, _serve, _uri, *words = command
    words += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    words += ["--load-format", "auto", "--model-loader-extra-config", "{}"]
    return [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", model, *words]


def _is_well(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def stage(running: Gateway, vllm: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr("tests.gateway.stage.token_hex", lambda _length: NAME)
    return make_stage(running, vllm).ready()


@pytest.mark.parametrize("modality", ["chat", "embedding"])
def test_our_launch_is_in_vllms_own_words(modality: str) -> None:
    """Every argument is known to the version that was installed, and means what we mean."""
    command = launch_of(replace(SPEC, modality=modality), ACCESS, now=NOW).command
    assert command[:2] == ("vllm", "serve")
    said: dict[str, Any] = json.loads(of_vllm(PARSE, *command[2:]))
    assert said["model_tag"] == ACCESS.uri.rstrip("/")
    assert said["served_model_name"] == [SPEC.model]
    assert (said["load_format"], said["port"]) == ("runai_streamer", 8000)
    assert (said["tensor_parallel_size"], said["max_model_len"], said["max_num_seqs"]) == (2, 8192, 64)
    assert modality != "embedding" or said["runner"] == "pooling"


def test_what_vllm_counts_is_what_is_charged(stage: Stage) -> None:
    said = stage.post(max_tokens=12, ignore_eos=True)
    assert said.status_code == 200, said.text
    usage = said.json()["usage"]
    (row,) = stage.settled()
    assert (row.input + row.cached, row.output) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (row.outcome, row.output) == ("completed", 12)
    until(lambda: not stage.held(), "nothing to be held")


def test_a_stream_ends_with_its_usage_and_is_charged_once(stage: Stage) -> None:
    with stage.streaming(max_tokens=20, ignore_eos=True, stream_options={"include_usage": True}) as answer:
        assert answer.status_code == 200
        events = list(events_of(answer.iter_lines()))
    assert text_of(events)
    assert events[-1]["usage"]["completion_tokens"] == 20
    (row,) = stage.settled()
    assert (row.output, row.stream) == (20, True)


def test_a_caller_that_leaves_pays_for_what_it_was_sent(stage: Stage) -> None:
    with stage.streaming(max_tokens=200, ignore_eos=True) as answer:
        assert len(list(islice(events_of(answer.iter_lines()), 5))) == 5
    (row,) = stage.settled()
    assert 1 <= row.output <= 200
    until(lambda: not stage.held(), "nothing to be held")


def test_what_vllm_refuses_is_refused_and_costs_nothing(stage: Stage) -> None:
    said = stage.post(messages=[{"role": "user", "content": "x" * 2000}])
    error = said.json()["error"]
    told = (said.status_code, error["type"], error["code"])
    assert told == (400, "invalid_request_error", "context_length_exceeded")
    assert "maximum context length is 256 tokens" in error["message"]
    assert sum(row.output for row in stage.settled(1)) == 0


def test_health_metrics_and_the_key_are_as_the_agent_and_the_drivers_expect(vllm: str) -> None:
    assert httpx.get(f"{vllm}/health").status_code == 200
    assert httpx.get(f"{vllm}/v1/models").status_code == 401
    figures = read_metrics(httpx.get(f"{vllm}/metrics").text)
    assert {"running", "waiting", "cache_share", "prompt_tokens", "output_tokens"} <= set(figures)
