"""`make bench-gateway`: ours beside plain nginx and the other gateways, interleaved, in one run.

CPU per request is user and system time of a gateway's whole process tree over the requests that finished, so
it includes what the kernel does in its name; PostgreSQL and Redis are not in it; ours tells them apart.
Ratios are medians of the ratios of each round. A run counts for nothing when nginx is out of its usual range.
"""

import http.client
import json
import os
import random
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gateway import ours, work
from benchmarks.gateway.peers import FOLDER, Missing, Peer, Start, Upstreams
from benchmarks.gateway.products import LiteLLM, Portkey, TensorZero
from benchmarks.gateway.proxies import Envoy, EnvoyWithKeys, Haproxy, Nginx
from benchmarks.gateway.routers import SglangRouter, VllmRouter
from benchmarks.gateway.work import GATEWAY_CORE, Engine, Processes
from benchmarks.stage import Report, wait_until
from runner import paths
from runner.ports import free_port

PEERS: tuple[type[Peer], ...] = (
    *(Nginx, Haproxy, Envoy, EnvoyWithKeys, VllmRouter, SglangRouter, TensorZero, LiteLLM, Portkey),
)
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
ONLY = set(filter(None, os.environ.get("BENCH_ONLY", "").split(",")))
SCALE = float(os.environ.get("BENCH_SCALE", "1"))  # of the length of each load; for trying things out
READY_SECONDS = 300
# nginx beyond this is not the nginx of a machine at rest.
USUAL_US, MOST_SPREAD = (10.0, 30.0), 1.6


@dataclass(frozen=True)
class Case:
    """A kind of load: on engines that answer at once, or on those that stream at a pace.

    What is `seldom` is measured in every third round. The `warm` load goes before, uncounted, so that caches
    fill and leases grow.
    """

    name: str
    pace: str
    words: tuple[str, ...]
    per: str = "finished"  # what CPU time is divided by
    with_memory: bool = False
    seldom: bool = False
    warm: tuple[str, ...] = ()


CASES = (
    Case("c64", "quick", ("-c", "64", "-t", "2", "-w", "0.5"), warm=("-c", "64", "-t", "1")),
    Case("c16", "quick", ("-c", "16", "-t", "1.5", "-w", "0.5"), seldom=True, warm=("-c", "16", "-t", "0.5")),
    Case("r300", "quick", ("-c", "256", "-r", "300", "-t", "2", "-w", "0.5")),
    Case("s100", "paced", ("-s", "-c", "100", "-t", "2", "-w", "1.5"), "chunks"),
    Case("s1000", "paced", ("-s", "-c", "1000", "-t", "3", "-w", "2"), "chunks", True, seldom=True),
)


@dataclass
class Target:
    """A gateway under measurement. `roots` are the processes whose time counts, by pace."""

    name: str
    work: str
    version: str
    starts: dict[str, Start]
    ports: dict[str, int]
    roots: dict[str, int]
    keys: str = ""
    beside: dict[str, int] = field(default_factory=dict)  # servers it works with, and parts of it, told apart
    figures_port: int = 0  # where it tells what settling has cost it

    def words(self, pace: str) -> list[str]:
        start = self.starts[pace]
        told = [word for line in start.headers for word in ("-H", line)]
        return ["-m", start.model, "-P", start.path, *told, *(["-k", self.keys] if self.keys else [])]


def measure() -> Report:
    """All cases, all peers that can be had."""
    report = Report("gateway", goals=GOALS)
    paths.open_folder(FOLDER)
    with tempfile.TemporaryDirectory(prefix="bench-gateway-", dir="/var/tmp") as name:
        processes = Processes(Path(name))
        try:
            _measure(report, processes)
        finally:
            processes.stop()
    return report


def _measure(report: Report, processes: Processes) -> None:
    quick = (Engine.start(processes).port, Engine.start(processes).port)
    paced = Engine.start(processes, "-d", "100", "-i", "20", "-n", "50").port
    for port in (*quick, paced):
        if not wait_until(lambda port=port: _answers(port, "/stats"), seconds=30, every=0.05):
            raise RuntimeError("an engine does not answer")
    with ours.installation(quick, paced) as installation:
        targets = [_our_target(installation, processes)]
        missing: dict[str, str] = {}
        for kind in PEERS:
            if ONLY and kind.name not in ONLY:
                continue
            try:
                targets.append(_peer_target(kind(), Upstreams(quick, paced), processes))
            except Missing as why:
                missing[kind.name] = str(why)[:300]
        rows = list(_rounds(targets))
        report.figures = _figures(targets, rows, missing)
        report.figures["correctness"] = _correctness(targets[0], installation, (*quick, paced))


# ------------------------------------------------------------ targets


def _our_target(installation: ours.Ours, processes: Processes) -> Target:
    process, told = installation.start(processes)
    port = int(told["port"])
    starts = {pace: Start([], model=slug) for pace, slug in installation.slugs.items()}
    made = Target(
        "ours", "keys, four limits in Redis, prices, leases, settlement, metrics", "this commit", starts,
        {"quick": port, "paced": port}, {"quick": process.pid, "paced": process.pid}, str(installation.keys),
    )  # fmt: skip
    made.beside = {name: one.pid for name, one in installation.services.identities.items()}
    made.figures_port = int(told["admin_port"])
    made.beside["worker"] = work.below(process.pid, "apps.gateway.plane")[-1]
    secret = installation.keys.read_text().split()[0]
    for pace in ("quick", "paced"):
        _wait(made, pace, secret)
    return made


def _peer_target(peer: Peer, upstreams: Upstreams, processes: Processes) -> Target:
    peer.fetch()
    made = Target(peer.name, peer.work, peer.version, {}, {}, {})
    for pace in peer.paces:
        folder = paths.open_folder(processes.folder / f"{peer.name}-{pace}")
        port = free_port()
        start = peer.start(port, upstreams.of(pace), folder)
        process = processes.start(f"{peer.name}-{pace}", start.command, core=GATEWAY_CORE, env=start.env)
        made.starts[pace], made.roots[pace] = start, process.pid
        made.ports[pace] = _own_port(folder, port)
        _wait(made, pace, "sk-bench")
    return made


def _own_port(folder: Path, port: int) -> int:
    """The port that a server chose itself, where it does."""
    file = folder / "port"
    if not (folder / "tz.toml").exists():
        return port
    if not wait_until(lambda: file.exists() and file.read_text(), seconds=READY_SECONDS, every=0.1):
        raise Missing("it did not start")
    return int(file.read_text().rstrip("/").rpartition(":")[2].split("/")[0])


def _wait(target: Target, pace: str, secret: str) -> None:
    start = target.starts[pace]
    ask: Callable[[], bool] = lambda: _asks(target.ports[pace], start, secret)  # noqa: E731
    if not wait_until(ask, seconds=READY_SECONDS, every=0.3):
        raise Missing(f"it did not answer within {READY_SECONDS} s")


def _asks(port: int, start: Start, secret: str) -> bool:
    asked = {"model": start.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
    body = json.dumps(asked)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    headers |= dict(line.split(": ", 1) for line in start.headers)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", start.path, body, headers)
        answer = connection.getresponse()
        return answer.status == 200 and b"usage" in answer.read()
    except (OSError, http.client.HTTPException):
        return False


def _answers(port: int, path: str) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


# ------------------------------------------------------------ rounds


def _rounds(targets: list[Target]) -> Any:
    """Every target in every case, in another order each round; slow ones are asked gently."""
    for target in targets:
        for pace, words in (("quick", ("-c", "16", "-t", "2")), ("paced", ("-s", "-c", "16", "-t", "1"))):
            if pace in target.starts:
                work.load(target.ports[pace], *target.words(pace), *words)
    for number in range(ROUNDS):
        for case in CASES:
            if case.seldom and number % 3:
                continue
            able = [target for target in targets if case.pace in target.starts]
            for target in random.sample(able, len(able)):
                try:
                    row = _one(target, case)
                except Missing as why:
                    row = {"count": 0, "errors": 1, "us": None, "why": str(why)[:200]}
                print(f"{number} {case.name:6} {target.name:14}", row, file=sys.stderr, flush=True)
                yield {"round": number, "case": case.name, "target": target.name, **row}


def _one(target: Target, case: Case) -> dict[str, Any]:
    if case.warm:
        work.load(target.ports[case.pace], *target.words(case.pace), *case.warm)
    pids = {"": target.roots[case.pace], **target.beside}
    before, settled = {name: work.cpu_seconds(pid) for name, pid in pids.items()}, _settle_seconds(target)
    watched = {name: pid for name, pid in pids.items() if case.with_memory and name in ("", "worker")}
    with work.Memory(watched) as memory:
        found = work.load(target.ports[case.pace], *target.words(case.pace), *_gently(target, case))
    count = int(found[case.per]) - (found["not_ok"] if case.per == "finished" else 0)
    row = {"count": count, "errors": found["not_ok"], "rate": found["rate"]}
    row |= {name: found[name] for name in ("p50", "p99", "chunk_p50", "chunk_p99")}
    for name, pid in pids.items():
        cost = (work.cpu_seconds(pid) - before[name]) * 1e6
        row[f"{name}_us".lstrip("_")] = round(cost / count, 2) if count > 0 else None
    if target.figures_port:
        row["settle_us"] = round((_settle_seconds(target) - settled) * 1e6 / max(count, 1), 2)
    return row | {f"{name}_mb".lstrip("_"): most for name, most in memory.most.items()}


def _settle_seconds(target: Target) -> float:
    """Processor time that our steward has settled with so far; a part of its whole."""
    if not target.figures_port:
        return 0.0
    with urllib.request.urlopen(f"http://127.0.0.1:{target.figures_port}/metrics", timeout=30) as answer:
        found = re.search(rb"^hostedai_gateway_settle_seconds_total (\S+)", answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _gently(target: Target, case: Case) -> list[str]:
    """What serves a hundred requests a second is not asked three hundred times."""
    words = list(case.words)
    for option in ("-t", "-w"):
        at = words.index(option) + 1
        words[at] = str(float(words[at]) * SCALE)
    if target.name in ("litellm", "portkey") and case.name == "r300":
        words[words.index("300")] = "50"
    if target.name in ("litellm", "portkey") and case.name == "s1000":
        words[words.index("1000")] = "20"
    return words


# ------------------------------------------------------------ figures


def _figures(targets: list[Target], rows: list[dict[str, Any]], missing: dict[str, str]) -> dict[str, Any]:
    cases = {case.name: _case(case, targets, rows) for case in CASES}
    plain = [row["us"] or 0.0 for row in rows if row["target"] == "nginx" and row["case"] == "c64"]
    return {
        "is_void": _why_void(plain) or False,
        "rounds": ROUNDS,
        "scale": SCALE,
        "who": {one.name: {"version": one.version, "work": one.work} for one in targets},
        "missing": missing,
        "cases": cases,
        "goals_met": _goals(cases, bool(_why_void(plain))),
    }


def _why_void(plain: list[float]) -> str:
    if not plain:
        return "nginx is missing"
    if SCALE < 1:
        return "this was a trial"
    if not USUAL_US[0] <= statistics.median(plain) <= USUAL_US[1]:
        return f"nginx took {statistics.median(plain):.1f} µs, usually {USUAL_US[0]:.0f} to {USUAL_US[1]:.0f}"
    spread = max(plain) / max(min(plain), 0.01)
    return f"nginx spread {spread:.2f} times" if spread > MOST_SPREAD else ""


def _case(case: Case, targets: list[Target], rows: list[dict[str, Any]]) -> dict[str, Any]:
    by = {
        one.name: [row for row in rows if row["target"] == one.name and row["case"] == case.name]
        for one in targets
    }
    told: dict[str, Any] = {}
    for name, found in by.items():
        errors, answered = sum(row["errors"] for row in found), [row for row in found if row["us"]]
        if not answered:
            told[name] = {"errors": errors, "us": None, "ours_to_it": None}
            continue
        names = [key for key in answered[0] if key not in {"round", "case", "target"}]
        told[name] = {key: round(statistics.median(row[key] for row in answered), 3) for key in names}
        told[name]["errors"] = errors
        pairs = zip(by["ours"], found, strict=True)
        ratios = [mine["us"] / its["us"] for mine, its in pairs if mine["us"] and its["us"]]
        told[name]["ours_to_it"] = round(statistics.median(ratios), 3)
    return {"per": "chunk" if case.per == "chunks" else "request", "gateways": told}


GOALS = {
    "c64 ours": "≤ 35 µs CPU per request, settling included",
    "c64 ours/nginx": "≤ 2.5",
    "c64 ours/each router and TensorZero": "< 1",
    "c64 ours/litellm": "≤ 1/200",
    "s100 ours": "≤ 15 µs CPU per chunk",
    "s100 ours/nginx": "≤ 1.3",
    "r300 added p50, p99": "≤ 0.3 ms, ≤ 3 ms",
    "s1000 memory": "≤ 60 MB for the worker",
}


def _goals(cases: dict[str, Any], is_void: bool) -> dict[str, Any]:
    if is_void:
        return {}
    busy, chunks, calm = (cases[name]["gateways"] for name in ("c64", "s100", "r300"))
    met: dict[str, Any] = {
        "c64 ours": busy["ours"]["us"] <= 35,
        "c64 ours/nginx": busy["nginx"]["ours_to_it"] <= 2.5,
        "s100 ours": chunks["ours"]["us"] <= 15,
        "s100 ours/nginx": chunks["nginx"]["ours_to_it"] <= 1.3,
        "r300 added p50": round(calm["ours"]["p50"] - calm["nginx"]["p50"], 3),
        "r300 added p99": round(calm["ours"]["p99"] - calm["nginx"]["p99"], 3),
        "s1000 memory": cases["s1000"]["gateways"]["ours"]["worker_mb"] <= 60,
    }
    for name in ("envoy-keys", "vllm-router", "sglang-router", "tensorzero", "litellm", "portkey"):
        ratio = busy.get(name, {}).get("ours_to_it")
        if ratio:
            met[f"c64 {name}/ours"] = round(1 / ratio, 2)
    return met


# ------------------------------------------------------------ money


def _correctness(target: Target, installation: ours.Ours, engines: tuple[int, ...]) -> dict[str, Any]:
    """What the engines sent is billed, once: whole answers, streams, and streams broken off."""
    from apps.billing.models import TokenRequest

    told = {}
    for name, pace, words in (
        ("whole", "quick", ("-c", "64", "-n", str(int(20_000 * SCALE)), "-t", "60")),
        ("streams", "paced", ("-s", "-c", "200", "-n", str(int(600 * SCALE)), "-t", "60")),
        ("broken_off", "paced", ("-s", "-c", "200", "-n", str(int(600 * SCALE)), "-t", "60", "-a", "50")),
    ):
        rows = TokenRequest.objects.filter(team_id=installation.team_id)
        wait_until(lambda rows=rows: _is_quiet(rows), seconds=60, every=1.0)
        was, sent = _billed(rows), _sent(engines)
        found = work.load(target.ports[pace], *target.words(pace), *words)
        wanted = was["requests"] + found["finished"]
        wait_until(lambda rows=rows, n=wanted: _billed(rows)["requests"] >= n, seconds=60, every=0.5)
        wait_until(lambda rows=rows: _is_quiet(rows), seconds=60, every=1.0)
        now, then = _billed(rows), _sent(engines)
        told[name] = {
            "asked": found["finished"], "answered": found["all_good"], "broken_off": found["broken_off"],
            "billed": now["requests"] - was["requests"],
            "tokens_arrived": found["tokens"],
            "tokens_billed": now["output"] - was["output"],
            "tokens_sent": then["tokens_out"] - sent["tokens_out"],
        }  # fmt: skip
    return told


def _is_quiet(rows: Any) -> bool:
    before = rows.count()
    time.sleep(1.5)
    return bool(rows.count() == before)


def _billed(rows: Any) -> dict[str, int]:
    from django.db.models import Count, Sum

    found = rows.aggregate(requests=Count("pk"), output=Sum("output"))
    return {"requests": found["requests"], "output": int(found["output"] or 0)}


def _sent(engines: tuple[int, ...]) -> dict[str, int]:
    total: dict[str, int] = {}
    for port in engines:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
            for name, value in json.load(answer).items():
                total[name] = total.get(name, 0) + value
    return total
