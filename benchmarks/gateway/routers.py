"""The routers that come with engines."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.gateway.peers import FromPyPI, Start


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
