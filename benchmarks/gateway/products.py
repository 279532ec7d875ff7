"""Gateways made for models: TensorZero, LiteLLM, Portkey."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway.peers import MODEL, FromNpm, FromPyPI, Start

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


_LOOPBACK_ONLY = """
const net = require("net"), listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...words) {
  if (typeof words[0] === "number") words.splice(1, typeof words[1] === "string" ? 1 : 0, "127.0.0.1");
  else if (words[0] && words[0].port !== undefined) words[0].host = "127.0.0.1";
  return listen.apply(this, words);
};
"""


class Portkey(FromNpm):
    """Without keys and limits, which its open source lacks; it is told its one engine in a header.

    Its streams fail on Node 20 ("TypeError: immutable")."""

    name, version = "portkey", "1.15.2"
    requires = ("@portkey-ai/gateway@1.15.2",)
    work = "plain proxy that knows the API"
    paces = ("quick",)

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        (folder / "loopback.js").write_text(_LOOPBACK_ONLY)
        server = self.home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        words = ["-r", str(folder / "loopback.js"), str(server), f"--port={port}", "--headless"]
        told = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{engines[0]}/v1")
        return Start(["node", *words], {"NODE_ENV": "production"}, headers=told)
