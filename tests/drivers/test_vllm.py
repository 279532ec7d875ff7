"""The launch of vLLM, word by word."""

from dataclasses import replace

import pytest

from apps.drivers.engines import EngineSpec, ModelFile
from apps.drivers.errors import Rejected
from apps.drivers.vllm import LEAST_LIFE, PORT, StoreAccess, launch_of

NOW = 1_800_000_000.0
SPEC = EngineSpec(
    name="hai-rep_1", installation="here", resource_id="rep_1", fence=3, model="llama-8b", modality="chat",
    digest="sha256:" + "a" * 64, files=(ModelFile("model-00001.safetensors", 1, "b" * 64),),
    context_length=8192, parallel=64, api_key="engine-key", gpus=2, is_spot=True,
)  # fmt: skip
ACCESS = StoreAccess(
    uri="s3://models/here/models/mdl_1/mdv_1/", endpoint_url="https://store.example", region="",
    access_key="AKIA", secret_key="hidden-key", session_token="hidden-token", expires_at=NOW + 3600,
)  # fmt: skip


def option(command: tuple[str, ...], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_command_serves_the_model_from_the_store():
    launch = launch_of(SPEC, ACCESS, now=NOW)
    assert launch.command[:3] == ("vllm", "serve", "s3://models/here/models/mdl_1/mdv_1")
    assert option(launch.command, "--served-model-name") == "llama-8b"
    assert option(launch.command, "--load-format") == "runai_streamer"
    assert option(launch.command, "--tensor-parallel-size") == "2"
    assert option(launch.command, "--max-model-len") == "8192"
    assert option(launch.command, "--port") == str(launch.port) == str(PORT)
    assert option(launch.command, "--allowed-media-domains").endswith(".invalid")
    assert (launch.health_path, launch.use_spot, launch.gpus) == ("/health", True, 2)
    assert launch.image.rpartition(":")[2] != "latest"


def test_secrets_are_nowhere_but_where_secrets_go():
    launch = launch_of(SPEC, ACCESS, now=NOW)
    assert launch.secrets["AWS_SESSION_TOKEN"] == "hidden-token"
    assert launch.secrets["VLLM_API_KEY"] == "engine-key"
    seen = f"{launch!r} {launch.command} {dict(launch.env)} {dict(launch.labels)} {SPEC!r} {ACCESS!r}"
    for secret in ("hidden-key", "hidden-token", "engine-key"):
        assert secret not in seen


def test_the_address_style_follows_the_store():
    name = "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING"
    assert launch_of(SPEC, ACCESS, now=NOW).env[name] == "0"
    amazon = replace(ACCESS, endpoint_url="https://s3.eu-west-1.amazonaws.com", region="eu-west-1")
    assert launch_of(SPEC, amazon, now=NOW).env[name] == "1"
    assert launch_of(SPEC, amazon, now=NOW).env["AWS_REGION"] == "eu-west-1"


def test_embeddings_need_a_pooling_runner():
    launch = launch_of(replace(SPEC, modality="embedding"), ACCESS, now=NOW)
    assert option(launch.command, "--runner") == "pooling"


@pytest.mark.parametrize(
    ("spec", "access"),
    [
        ({"gpus": 0}, {}),
        ({"model": "two words"}, {}),
        ({"files": (ModelFile("m.gguf", 1, "b" * 64),)}, {}),
        ({}, {"uri": "file:///etc"}),
        ({}, {"uri": "s3://models/a b; rm"}),
        ({}, {"endpoint_url": "store.example"}),
        ({}, {"expires_at": NOW + LEAST_LIFE - 1}),
    ],
)
def test_what_can_never_serve_is_refused(spec, access):
    with pytest.raises(Rejected):
        launch_of(replace(SPEC, **spec), replace(ACCESS, **access), now=NOW)
