"""The parts of the node agent, without a portal."""

import json
import shlex
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any

import pytest

from apps.nodes.selectors import enrolment_command
from hostedai_agent import config, engines, gpus, spot, web
from hostedai_agent.__main__ import parser
from hostedai_agent.agent import Agent
from hostedai_agent.clock import Clock
from hostedai_agent.config import Config
from hostedai_agent.fence import Fence
from hostedai_agent.gpus import NvmlGpus, SimulatedGpus, Unreadable
from hostedai_agent.identity import Identity, Store, hash_of
from hostedai_agent.install import install
from hostedai_agent.journal import Journal
from hostedai_agent.machine import Machine
from hostedai_agent.portal import Failed, NotTaken, Portal, Refused, Reply


class Server:
    """Answers by a table of (method, path) to (status, body); notes what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.command, self.path))
                status, body = outer.answers.get((self.command, self.path), (404, b""))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PUT = do_GET  # noqa: N815

            def log_message(self, *_words: object) -> None:
                return

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


# ------------------------------------------------------------ journal


def test_a_journal_outlives_its_process_and_numbers_go_on(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    assert [first.append({"at": n, "seconds": 1}) for n in range(3)] == [1, 2, 3]
    first.close()
    again = Journal(tmp_path)
    assert again.id == first.id
    again.forget(2)
    assert [one["seq"] for one in again.oldest(9)] == [3]
    again.forget(3)
    assert again.append({"at": 9, "seconds": 1}) == 4, "a number is never used twice"
    again.close()


def test_a_journal_that_is_full_gives_up_detail_and_no_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, most=100)
    for n in range(500):
        journal.append({"at": n, "seconds": 10})
    kept = journal.oldest(1000)
    assert len(kept) <= 100
    assert sum(one["seconds"] for one in kept) == 5000
    assert [one["seq"] for one in kept] == sorted(one["seq"] for one in kept)
    journal.close()


# ------------------------------------------------------------ fence


def test_the_fence_falls_when_renewal_fails_for_the_lease(tmp_path: Path) -> None:
    fence = Fence(tmp_path, ["touch", str(tmp_path / "stopped")], now=0, lease=240)
    assert not fence.check(239, 1000)
    fence.renew(239)
    assert not fence.check(478, 1239)
    assert fence.check(479, 1240)
    assert (tmp_path / "stopped").exists()
    assert not fence.check(9999, 9999), "once is enough"
    assert Fence(tmp_path, [], now=0).fell_at == 1240, "a restart remembers"
    fence.lift()
    assert fence.fell_at is None


def test_a_fence_that_died_before_its_command_runs_it_after_all(tmp_path: Path) -> None:
    (tmp_path / "fenced").write_text("1240.0")
    fence = Fence(tmp_path, ["touch", str(tmp_path / "stopped")], now=0)
    assert fence.check(1, 2000)
    assert (tmp_path / "stopped").exists()
    assert not fence.check(2, 2001)
    assert fence.fell_at == 1240


def test_a_fence_command_that_fails_does_not_end_the_agent(tmp_path: Path) -> None:
    assert Fence(tmp_path, ["/no/such/program"], now=0, lease=1).check(2, 2)


# ------------------------------------------------------------ GPUs


def test_simulated_cards_are_the_same_every_time() -> None:
    one, again = SimulatedGpus("host", 2, "h100-80gb"), SimulatedGpus("host", 2, "h100-80gb")
    assert one.cards() == again.cards()
    assert one.cards()[0].uuid != SimulatedGpus("other", 1, "h100-80gb").cards()[0].uuid
    busy = [reading.busy_percent for at in range(0, 600, 10) for reading in one.readings(at)]
    assert all(value is not None and 0 <= value <= 100 for value in busy)
    one.break_card(1, "failed", "Xid 79")
    assert [(card.health, card.reason) for card in one.cards()] == [("healthy", ""), ("failed", "Xid 79")]


class NvmlError(Exception):
    pass


class Nvml:
    """The library as far as it is used, with two cards; `broken` makes every call fail."""

    NVMLError = NvmlError
    NVML_TEMPERATURE_GPU, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 0, 1, 0
    nvmlEventTypeXidCriticalError = 8  # noqa: N815

    def __init__(self) -> None:
        self.broken, self.ecc, self.xids = False, [0, 0], []

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self._answer(name, *given)

    def _answer(self, name: str, *given: Any) -> Any:
        if self.broken:
            raise NvmlError("Driver Not Loaded")
        if name == "nvmlEventSetWait_v2":
            if not self.xids:
                raise NvmlError("Timeout")
            card, xid = self.xids.pop(0)
            return SimpleNamespace(device=card, eventData=xid)
        if name == "nvmlDeviceGetTotalEccErrors":
            return self.ecc[given[0]]
        return {
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda at: at,
            "nvmlDeviceGetUUID": lambda at: f"GPU-{at}",
            "nvmlDeviceGetName": lambda at: b"NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetMemoryInfo": lambda at: SimpleNamespace(total=80 << 30, used=8 << 30),
            "nvmlDeviceGetPciInfo": lambda at: SimpleNamespace(busId=f"00000000:6{at}:00.0"),
            "nvmlDeviceGetUtilizationRates": lambda at: SimpleNamespace(gpu=42),
            "nvmlDeviceGetPowerUsage": lambda at: 312_400,
            "nvmlDeviceGetTemperature": lambda at, kind: 61,
            "nvmlDeviceGetNumaNodeId": lambda at: at,
        }.get(name, lambda *_: 0)(*given)


def test_cards_are_read_through_nvml() -> None:
    source = NvmlGpus(Nvml())
    card, other = source.cards()
    assert (card.model, card.memory_mib, card.pci_address) == ("NVIDIA H100 80GB HBM3", 81920, "0000:60:00.0")
    assert (other.numa_node, other.health) == (1, "healthy")
    reading = source.readings(0)[0]
    assert (reading.busy_percent, reading.power_w, reading.temperature_c) == (42.0, 312.4, 61.0)
    assert reading.memory_used_mib == 8192


def test_errors_of_cards_are_told_apart() -> None:
    library = Nvml()
    source = NvmlGpus(library)
    library.ecc[0], library.xids = 3, [(1, 79)]
    assert [(one.health, one.reason) for one in source.cards()] == [
        ("degraded", "3 uncorrected memory errors"), ("failed", "Xid 79"),
    ]  # fmt: skip
    assert source.readings(0)[1].xid == 79, "an Xid stays noted"


def test_a_driver_that_is_gone_says_nothing_about_cards() -> None:
    library = Nvml()
    source = NvmlGpus(library)
    library.broken = True
    with pytest.raises(Unreadable):
        source.cards()


@pytest.mark.parametrize("text", ["simulated", "simulated:0:x", "simulated:x:y", "magic", "simulated:999:x"])
def test_sources_that_there_are_not(text: str) -> None:
    with pytest.raises(gpus.NoSuchSource):
        gpus.choose(text, "host")


# ------------------------------------------------------------ engines and notices

VLLM = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a b"} 3.0
vllm:num_requests_running{engine="1",model_name="a b"} 4.0
vllm:num_requests_waiting{engine="0"} 2
vllm:generation_tokens_total{engine="0"} 1.5e+03 1395066363000
vllm:kv_cache_usage_perc{engine="0"} NaN
nonsense
"""


def test_metrics_of_engines_are_read_and_added_up() -> None:
    assert engines.read_metrics(VLLM) == {"running": 7.0, "waiting": 2.0, "output_tokens": 1500.0}
    assert engines.read_metrics("llamacpp:requests_processing 1\nllamacpp:requests_deferred 0") == {
        "running": 1.0, "waiting": 0.0,
    }  # fmt: skip


def test_engines_are_looked_at_on_this_host_only(server: Server) -> None:
    given = [
        "http://127.0.0.1:1",
        "http://localhost:2",
        "http://[::1]:3",
        "http://169.254.169.254",
        "file:///x",
    ]
    assert len(engines.allowed([engines.Engine(url, url) for url in given])) == 3
    server.answers = {("GET", "/health"): (200, b"{}"), ("GET", "/metrics"): (200, VLLM.encode())}
    assert engines.look_at(engines.Engine("rep_1", server.url))["running"] == 7.0
    server.answers = {("GET", "/health"): (503, b"")}
    assert engines.look_at(engines.Engine("rep_1", server.url)) == {"name": "rep_1", "healthy": False}
    assert engines.look_at(engines.Engine("rep_1", "http://127.0.0.1:1"))["healthy"] is False


def test_engines_that_hang_do_not_hold_up_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = Barrier(3)

    def look_at(engine: engines.Engine) -> dict[str, Any]:
        meeting.wait(60)
        return {"name": engine.name}

    monkeypatch.setattr(engines, "look_at", look_at)
    asked = [engines.Engine(name, "http://127.0.0.1:1") for name in "abc"]
    assert engines.look_at_all(asked) == [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    assert engines.look_at_all([]) == []


def test_notices_of_each_provider(server: Server, tmp_path: Path) -> None:
    server.answers = {
        ("PUT", "/latest/api/token"): (200, b"t"),
        ("GET", "/latest/meta-data/spot/instance-action"): (
            200, b'{"action": "terminate", "time": "2026-11-21T15:00:00Z"}',
        ),
        ("GET", "/computeMetadata/v1/instance/preempted"): (200, b"TRUE\n"),
        ("GET", "/metadata/scheduledevents?api-version=2020-07-01"): (
            200, b'{"Events": [{"EventType": "Freeze"}, {"EventType": "Preempt",'
            b' "NotBefore": "Sat, 21 Nov 2026 15:00:00 GMT"}]}',
        ),
    }  # fmt: skip
    at = 1_795_273_200.0
    assert spot.choose("aws", server.url).look() == spot.Notice("terminate", at, "aws")
    assert spot.choose("gcp", server.url).look() == spot.Notice("terminate", None, "gcp")
    assert spot.choose("azure", server.url).look() == spot.Notice("preempt", at, "azure")
    file = tmp_path / "notice"
    source = spot.choose(f"file:{file}", "")
    assert source.look() is None
    file.write_text('{"action": "stop", "at": 5}')
    assert source.look() == spot.Notice("stop", 5.0, "file")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"{", b'{"Events": 1}', b'{"Events": [1]}', b"\xff"])
def test_a_provider_that_talks_nonsense_announces_nothing(server: Server, body: bytes) -> None:
    asked = (
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/spot/instance-action"),
        ("GET", "/computeMetadata/v1/instance/preempted"),
        ("GET", "/metadata/scheduledevents?api-version=2020-07-01"),
    )
    server.answers = dict.fromkeys(asked, (200, body))
    for cloud in ("aws", "gcp", "azure"):
        assert spot.choose(cloud, server.url).look() is None


# ------------------------------------------------------------ the loop, by virtual time


class Time(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def wall(self) -> float:
        return self.now

    def steady(self) -> float:
        return self.now


class FakePortal(Portal):
    """Takes heartbeats, or does not."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.bodies: list[dict[str, Any]] = []
        self.trouble: Exception | None = None
        self.reply: dict[str, Any] = {}
        self.poison: int | None = None

    def heartbeat(self, node_id: str, credential: str, body: dict[str, Any]) -> Reply:
        if self.trouble:
            raise self.trouble
        if self.poison in [one["seq"] for one in body["samples"]]:
            raise NotTaken("422")
        self.bodies.append(json.loads(json.dumps(body)))
        last = max((one["seq"] for one in body["samples"]), default=0)
        return Reply(**{"acknowledged": last, **self.reply})

    @property
    def taken(self) -> list[int]:
        return [one["seq"] for body in self.bodies for one in body["samples"]]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    settings = Config(url="http://127.0.0.1:1", state=tmp_path / "state", gpus="simulated:2:h100-80gb")
    Store(settings.state).save(Identity(settings.url, "hai_node_a", "node_1"))
    made = Agent(settings, Time(), source=SimulatedGpus("host", 2, "h100-80gb"))
    made._portal = FakePortal()
    return made


def portal_of(agent: Agent) -> Any:
    return agent._portal


def beats(agent: Agent, times: int) -> None:
    for _each in range(times):
        agent.beat()
        agent.clock.now += 10  # type: ignore[attr-defined]


def test_an_outage_loses_no_second(agent: Agent) -> None:
    portal = portal_of(agent)
    beats(agent, 3)
    portal.trouble = Failed("no route")
    beats(agent, 50)
    assert portal.taken == [1, 2, 3]
    portal.trouble = None
    beats(agent, 1)
    assert portal.taken == list(range(1, 55))
    seconds = [one["seconds"] for body in portal.bodies for one in body["samples"]]
    assert sum(seconds) == 530


def test_facts_are_sent_first_and_now_and_then(agent: Agent) -> None:
    beats(agent, 14)
    assert [at for at, body in enumerate(portal_of(agent).bodies) if "facts" in body] == [0, 6, 12]
    facts = portal_of(agent).bodies[0]["facts"]
    assert len(facts["gpus"]) == 2
    assert all(one["ok"] for one in facts["checks"])


def test_an_entry_that_is_not_taken_does_not_hold_up_the_rest(agent: Agent) -> None:
    portal = portal_of(agent)
    portal.trouble = Failed("no route")
    beats(agent, 9)
    portal.trouble, portal.poison = None, 5
    beats(agent, 12)
    assert sorted(set(portal.taken)) == [n for n in range(1, max(portal.taken) + 1) if n != 5]


def test_a_successor_takes_over_when_it_is_confirmed(agent: Agent, tmp_path: Path) -> None:
    portal = portal_of(agent)
    portal.reply = {"rotate": True}
    beats(agent, 3)
    upcoming = Store(tmp_path / "state").load().upcoming  # type: ignore[union-attr]
    assert {body.get("next_credential_sha256") for body in portal.bodies[1:]} == {hash_of(upcoming)}
    portal.reply = {"accepted": hash_of(upcoming)}
    beats(agent, 1)
    assert Store(tmp_path / "state").load() == Identity("http://127.0.0.1:1", upcoming, "node_1")


def test_an_agent_that_cannot_renew_fences_its_host_and_says_so(agent: Agent, tmp_path: Path) -> None:
    portal = portal_of(agent)
    beats(agent, 1)
    portal.trouble = Failed("no route")
    beats(agent, 23)
    assert not (tmp_path / "state" / "fenced").exists()
    beats(agent, 2)
    assert (tmp_path / "state" / "fenced").exists()
    portal.trouble = None
    beats(agent, 2)
    assert "fenced_at" in portal.bodies[1]
    assert "fenced_at" not in portal.bodies[-1]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"type": "/problems/bad_credential", "code": "bad_credential", "detail": "No."}', Refused),
        (b"<h1>Not Found</h1>", Failed),
        (b'{"message": "no route"}', Failed),
        (b"[]", Failed),
    ],
)
@pytest.mark.parametrize("status", [401, 403, 404])
def test_only_the_portal_itself_ends_an_agent(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, error: type[Exception]
) -> None:
    monkeypatch.setattr(web, "request", lambda *_words, **_more: web.Answer(status, body))
    with pytest.raises(error):
        Portal("http://127.0.0.1:1").heartbeat("node_1", "hai_node_a", {})


def test_who_is_refused_stops(agent: Agent) -> None:
    portal_of(agent).trouble = Refused("401")
    with pytest.raises(Refused):
        agent.beat()


# ------------------------------------------------------------ configuration


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('url = "https://a"\nspot = "aws"\nengines = ["http://127.0.0.1:1"]\n')
    said = SimpleNamespace(url="https://b", spot=None, engines=[])
    found = config.with_arguments(config.read(file), said)  # type: ignore[arg-type]
    assert (found.url, found.spot, found.engines) == ("https://b", "aws", ("http://127.0.0.1:1",))
    file.write_text("wheels = 4\n")
    with pytest.raises(config.BadConfig):
        config.read(file)


def test_plain_http_is_for_this_host_only(tmp_path: Path) -> None:
    with pytest.raises(NotTaken):
        Portal("http://portal.example.com")
    assert Portal("http://portal.example.com", allow_http=True).url


def test_the_command_that_the_portal_shows_is_one_that_the_agent_knows() -> None:
    shown = enrolment_command(url="https://cloud.example.com", secret="hai_enrol_x")
    program, *words = shlex.split(shown.rpartition("|")[2])
    given = parser().parse_args(words)
    assert (program, given.command, given.url) == ("hostedai-agent", "install", "https://cloud.example.com")
    assert given.token_file == Path("-")


def test_a_service_is_installed_with_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/hostedai-agent"])
    unit, conf = install(Config(url="https://a", gpus="none"), tmp_path)
    assert "ExecStart=/opt/hostedai-agent run" in unit.read_text()
    assert config.read(conf) == Config(url="https://a", gpus="none")
    conf.write_text('url = "https://mine"\n')
    install(Config(url="https://b"), tmp_path)
    assert config.read(conf).url == "https://mine"


def test_a_machine_is_read(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 2048000 kB\nMemAvailable: 1024000 kB\n")
    (tmp_path / "stat").write_text("cpu 100 0 100 800 0 0 0 0 0 0\n")
    machine = Machine(Path("/"), tmp_path)
    (tmp_path / "stat").write_text("cpu 150 0 150 900 0 0 0 0 0 0\n")
    reading = machine.reading()
    assert (reading["cpu_percent"], reading["memory_used_mib"]) == (50.0, 1000)
    assert machine.facts()["memory_mib"] == 2000
