"""How vLLM is launched for a model in an object store: image, arguments, environment, ports, health, spot.

Pure, and the same for every kind of cluster that runs containers or tasks: each puts these words into its own
manifest. Weights are streamed from the store into the GPU; the credentials are short-lived and read-only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from apps.drivers.engines import EngineSpec
from apps.drivers.errors import Rejected

NOWHERE = "none.invalid"
IMAGE = "vllm/vllm-openai:v0.33.0"
PORT = 8000
# Loading a large model takes minutes; an engine that serves answers within seconds.
STARTUP_SECONDS, PROBE_SECONDS = 1800, 10
LEAST_LIFE = 900.0  # seconds that credentials must still hold: so long may a start take
USE_OF_MEMORY = "0.90"
_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9._/-]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """Where the weights are, and for how long they may be read. `expires_at` is seconds since 1970."""

    uri: str  # s3://bucket/prefix
    endpoint_url: str
    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that whoever starts it must know. `secrets` go where the cluster keeps secrets."""

    image: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    port: int
    health_path: str
    ready_within: int  # seconds
    probe_every: int
    gpus: int
    use_spot: bool
    labels: Mapping[str, str]


def launch_of(spec: EngineSpec, access: StoreAccess, *, now: float) -> Launch:
    """The launch of an engine; raises `Rejected` for what can never serve."""
    _check(spec, access, now)
    task = ("--runner", "pooling") if spec.modality == "embedding" else ()
    command = (
        "vllm", "serve", access.uri.rstrip("/"),
        "--served-model-name", spec.model,
        "--host", "0.0.0.0",  # noqa: S104 - inside a container; the cluster decides who reaches it
        "--port", str(PORT),
        "--load-format", "runai_streamer",
        "--model-loader-extra-config", '{"concurrency":16}',
        "--max-model-len", str(spec.context_length),
        "--max-num-seqs", str(spec.parallel),
        "--tensor-parallel-size", str(spec.gpus),
        "--gpu-memory-utilization", USE_OF_MEMORY,
        # Pictures and sounds come in the request: an engine that fetches what callers name sees our networks.
        "--allowed-media-domains", NOWHERE,
        "--enable-prompt-tokens-details",
        *task,
    )  # fmt: skip
    return Launch(
        image=IMAGE,
        command=command,
        env=_env(access),
        secrets=_secrets(spec, access),
        port=PORT,
        health_path="/health",
        ready_within=STARTUP_SECONDS,
        probe_every=PROBE_SECONDS,
        gpus=spec.gpus,
        use_spot=spec.is_spot,
        labels=_labels(spec),
    )


def _env(access: StoreAccess) -> dict[str, str]:
    """Path-style addresses for everything but AWS itself: MinIO, R2 and Ceph need them."""
    is_amazon = str(urlsplit(access.endpoint_url).hostname or "").endswith(".amazonaws.com")
    return {
        "AWS_ENDPOINT_URL": access.endpoint_url,
        "AWS_REGION": access.region or "auto",
        "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "1" if is_amazon else "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",  # nothing is fetched from anywhere but the store
    }


def _secrets(spec: EngineSpec, access: StoreAccess) -> dict[str, str]:
    found = {
        "AWS_ACCESS_KEY_ID": access.access_key,
        "AWS_SECRET_ACCESS_KEY": access.secret_key,
        "VLLM_API_KEY": spec.api_key,
    }
    return {**found, "AWS_SESSION_TOKEN": access.session_token} if access.session_token else found


def _labels(spec: EngineSpec) -> dict[str, str]:
    """By these the engine is found again and told from others'."""
    return {
        "hostedai-installation": spec.installation,
        "hostedai-resource": spec.resource_id,
        "hostedai-fence": str(spec.fence),
        "hostedai-digest": spec.digest.removeprefix("sha256:")[:63],
    }


def _check(spec: EngineSpec, access: StoreAccess, now: float) -> None:
    if spec.gpus < 1:
        raise Rejected("This engine needs a GPU.")
    if not _NAME.fullmatch(spec.model):
        raise Rejected("The name cannot be served.", detail=spec.model)
    if not _URI.fullmatch(access.uri):
        raise Rejected("The model is not in an object store.", detail=access.uri)
    if urlsplit(access.endpoint_url).scheme not in ("http", "https"):
        raise Rejected("The object store has no address.", detail=access.endpoint_url)
    if not any(file.path.endswith(".safetensors") for file in spec.files):
        raise Rejected("This engine serves safetensors only, and the model has none.")
    if access.expires_at and access.expires_at - now < LEAST_LIFE:
        until = datetime.fromtimestamp(access.expires_at, UTC).isoformat()
        raise Rejected("The credentials end before the model would be loaded.", detail=f"until {until}")
