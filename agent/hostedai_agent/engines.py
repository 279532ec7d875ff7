"""Inference engines on this host: whether they answer, and what their metrics say."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hostedai_agent import web

PATIENCE = 2.0
MOST_ENGINES = 64

# Our words for what engines call it; the first name that an engine shows counts.
NAMES = {
    "running": ("vllm:num_requests_running", "llamacpp:requests_processing", "sglang:num_running_reqs"),
    "waiting": ("vllm:num_requests_waiting", "llamacpp:requests_deferred", "sglang:num_queue_reqs"),
    "cache_share": ("vllm:kv_cache_usage_perc", "llamacpp:kv_cache_usage_ratio", "sglang:token_usage"),
    "prompt_tokens": (
        "vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total", "sglang:prompt_tokens_total",
    ),
    "output_tokens": (
        "vllm:generation_tokens_total", "llamacpp:tokens_predicted_total", "sglang:generation_tokens_total",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """`name` is what the portal calls it, a replica's id; for one named here it is its address. `key` opens
    its metrics, where they are closed."""

    name: str
    url: str
    key: str = field(default="", repr=False)


def allowed(engines: Iterable[Engine]) -> list[Engine]:
    """Those that may be asked: on this host only, whatever the portal says."""
    return [one for one in engines if web.is_loopback(one.url)][:MOST_ENGINES]


def look_at(engine: Engine) -> dict[str, Any]:
    """How an engine is."""
    base = engine.url.rstrip("/")
    try:
        healthy = web.request("GET", f"{base}/health", patience=PATIENCE).is_good
        metrics = _metrics(base, engine.key) if healthy else None
    except web.Unreachable as error:
        return {"name": engine.name, "healthy": False, "problem": str(error)[:200]}
    shown = read_metrics(metrics.body.decode(errors="replace")) if metrics and metrics.is_good else {}
    return {"name": engine.name, "healthy": healthy, **shown}


def look_at_all(engines: Sequence[Engine]) -> list[dict[str, Any]]:
    """How each of them is, in their order; all are asked at once, so that those which hang do not keep the
    host from reporting."""
    with ThreadPoolExecutor(max_workers=MOST_ENGINES) as asking:
        return list(asking.map(look_at, engines))


def _metrics(base: str, key: str) -> web.Answer:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return web.request("GET", f"{base}/metrics", headers=headers, patience=PATIENCE)


def read_metrics(text: str) -> dict[str, float]:
    """The figures we know from Prometheus' text format; several series of a name are added up."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        series, _space, rest = line.partition("} ") if "{" in line else line.partition(" ")
        name = series.partition("{")[0].strip()
        if not name or name.startswith("#"):
            continue
        value = _number(rest)
        if value is not None:
            sums[name] = sums.get(name, 0.0) + value
    return {
        ours: next(sums[name] for name in names if name in sums)
        for ours, names in NAMES.items()
        if any(name in sums for name in names)
    }


def _number(text: str) -> float | None:
    try:
        value = float(text.split()[0])
    except (ValueError, IndexError):
        return None
    return value if value == value and abs(value) < 1e18 else None  # NaN is no figure
