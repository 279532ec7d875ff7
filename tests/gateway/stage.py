"""A team with money, a key, an endpoint and its engines, before a real gateway."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
from django.conf import settings
from django.db import connection

from apps.billing.models import Hold, TokenRequest
from apps.billing.services import wallets
from apps.core.actor import SYSTEM
from apps.inference.models import Endpoint, Hardware, Replica, Revision
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.regions.models import Cluster, Region
from apps.registry.models import Model, ModelVersion
from apps.teams.models import ApiKey, Team, Workspace
from runner.paths import ROOT
from tests.factories.billing import make_price
from tests.factories.supply import make_region
from tests.factories.teams import TeamFactory, key_of, workspace_of

PATIENCE = 90.0
MANY = Limits(1_000_000, 10**12)


def until(condition: Callable[[], Any], what: str = "it", *, seconds: float = PATIENCE) -> Any:
    """Wait until the condition holds; its value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


@dataclass
class Gateway:
    """A steward with its workers."""

    process: "subprocess.Popen[bytes]"
    state_file: Path
    log: Path
    folder: Path

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.state_file.read_text())
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.state['port']}"

    def worker_pids(self) -> list[int]:
        """The workers that live now."""
        folder = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = []
        for pid in map(int, folder.read_text().split()):
            try:
                if b"apps.gateway.plane" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
            except OSError:
                continue
        return found

    def figures(self) -> str:
        return httpx.get(
            f"http://127.0.0.1:{self.state['admin_port']}/metrics", timeout=60, verify=False
        ).text


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a process of ours sees that works on this test's database."""
    db = connection.settings_dict
    url = f"postgres://{db['USER']}:{db['PASSWORD']}@{db['HOST']}:{db['PORT']}/{db['NAME']}"
    return {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": settings.REDIS_URL,
        "DB_SCOPE": "*",
        # When a test ends its tables are emptied, all at once: whoever waits for one of them meanwhile gives
        # way before PostgreSQL finds a deadlock (after a second) and ends the test's statement instead.
        "DB_IDLE_IN_TRANSACTION": "60s -c lock_timeout=500ms",
        "DJANGO_SETTINGS_MODULE": "hostedai.settings.test",
        "GATEWAY_DIR": str(folder / "spool"),
        "GATEWAY_LIMIT_SECONDS": "3600",
        "GATEWAY_STOP_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
        **more,
    }


@contextmanager
def gateway(folder: Path, *, workers: int = 1, **more: str) -> Iterator[Gateway]:
    """A gateway for the length of the block."""
    state, log = folder / f"gateway-{token_hex(3)}.json", folder / "gateway.log"
    command = [sys.executable, "manage.py", "gateway", "--port", "0", "--workers", str(workers)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*command, "--state-file", str(state)], cwd=ROOT, env=environment(folder, **more),
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until(lambda: state.exists() or process.poll() is not None, "the gateway")
        assert process.poll() is None, log.read_text()
        yield Gateway(process, state, log, folder)
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Stage:
    """One team and one endpoint."""

    gateway: Gateway
    team: Team
    key: ApiKey
    secret: str
    slug: str
    cluster: Cluster
    revision: Revision
    endpoint: Endpoint
    replicas: list[Replica] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return workspace_of(self.team)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def add(self, url: str, **fields: Any) -> Replica:
        """Another engine of the endpoint."""
        replica = Replica(
            endpoint=self.endpoint, revision=self.revision, region=self.cluster.region, team_id=self.team.pk,
            cluster=self.cluster, kind="sim", state="ready", url=url, due_at=None, **fields,
        )  # fmt: skip
        replica.seal_secret("engine-secret")
        replica.save()
        self.replicas.append(replica)
        return replica

    def ready(self) -> "Stage":
        """Wait until the gateway knows the key and the endpoint with all its engines."""

        def is_known() -> bool:
            try:
                found = httpx.get(
                    f"{self.gateway.url}/v1/models", headers=self.headers, timeout=60, verify=False
                )
            except httpx.TransportError:
                return False  # the worker is just being replaced
            names = [one["id"] for one in found.json().get("data", [])] if found.status_code == 200 else []
            told = self.gateway.figures()
            workers = told.count("hostedai_gateway_keys{")
            shown = (told.count(f'replica="{one.pk}"') for one in self.replicas)
            return self.slug in names and all(count >= workers for count in shown)

        until(is_known, "the gateway to know the key")
        return self

    def post(self, path: str = "/v1/chat/completions", **body: Any) -> httpx.Response:
        """Ask and wait for the answer."""
        with httpx.Client(timeout=PATIENCE, verify=False) as client:
            return client.post(self.gateway.url + path, json=self.asking(**body), headers=self.headers)

    def asking(self, **body: Any) -> dict[str, Any]:
        usual = {"model": self.slug, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
        return {name: value for name, value in {**usual, **body}.items() if value is not None}

    @contextmanager
    def streaming(self, *, headers: dict[str, str] | None = None, **body: Any) -> Iterator[Any]:
        """An answer as it comes: lines of events."""
        asked = self.asking(stream=True, **body)
        with (
            httpx.Client(timeout=PATIENCE, verify=False) as client,
            client.stream(
                "POST", f"{self.gateway.url}/v1/chat/completions", json=asked,
                headers=self.headers | (headers or {}),
            ) as response,
        ):  # fmt: skip
            yield response

    # What the books say.

    def settled(self, count: int = 1) -> list[TokenRequest]:
        """The requests of the team, once there are so many."""
        rows = TokenRequest.objects.filter(team_id=self.team.pk).order_by("started_at")
        until(lambda: rows.count() >= count, f"{count} settled requests")
        found = list(rows)
        assert len(found) == count
        return found

    def held(self) -> Decimal:
        return sum((hold.amount for hold in Hold.objects.filter(team=self.team)), Decimal(0))


def events_of(lines: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream, without the last words."""
    for line in lines:
        if line.startswith("data: {"):
            yield json.loads(line[6:])


def text_of(events: Any) -> str:
    return "".join(
        choice.get("delta", {}).get("content") or choice.get("text") or ""
        for event in events
        for choice in event.get("choices", ())
    )


def make_stage(
    running: Gateway,
    *urls: str,
    balance: str = "100",
    prices: dict[str, str] | None = None,
    key: dict[str, Any] | None = None,
    limited: bool = False,
    **fields: Any,
) -> Stage:
    """Everything that a request needs; without limits, unless it is about them."""
    team = TeamFactory()
    if Decimal(balance):
        wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(balance), reason="test")
    issued = key_of(team, "inference:use", **(key or {}))
    slug = f"model-{token_hex(4)}"
    region = make_region()
    cluster = Cluster.objects.create(region=region, name="Simulated", slug="sim", kind="sim", config={})
    for kind, price in (prices or {"input": "1", "output": "2"}).items():
        make_price(f"tokens:{slug}:{kind}", price)
    if not limited:
        lift(issued.key, workspace_of(team))
    endpoint, revision = make_endpoint(team, region, slug, **fields)
    stage = Stage(running, team, issued.key, issued.secret, slug, cluster, revision, endpoint)
    for url in urls:
        stage.add(url)
    return stage


def lift(key: ApiKey, workspace: Workspace) -> None:
    """No limits worth mentioning."""
    limits.set_key(actor=SYSTEM, key=key, limits=MANY)
    limits.set_workspace(actor=SYSTEM, workspace=workspace, limits=MANY)
    limits.set_team(actor=SYSTEM, team=workspace.team, limits=MANY)
    limits.set_level(actor=SYSTEM, level="platform", limits=Limits(1_000_000, None))


def make_endpoint(team: Team, region: Region, slug: str, **fields: Any) -> tuple[Endpoint, Revision]:
    """The rows of an endpoint that serves; no engine."""
    hardware, _made = Hardware.objects.get_or_create(
        slug="test", defaults={"name": "Test", "kinds": ["sim"], "vcpus": 1, "memory_mib": 1024}
    )
    model = Model.objects.create(team=team, slug=slug, name=slug, licence="apache-2.0")
    version = ModelVersion.objects.create(
        model=model,
        team=team,
        number=1,
        state="servable",
        origin="upload",
        format="gguf",
        digest="sha256:" + "0" * 64,
        size_bytes=1,
        manifest=[{"path": "m.gguf", "size": 1, "sha256": "0" * 64}],
    )
    made = {
        "team": team, "workspace": workspace_of(team), "region": region, "team_name": team.name,
        "name": slug, "slug": slug, "metering": "tokens", "modality": "chat", "state": "ready",
        "currency": "EUR", "created_by_label": "test", "due_at": None,
    }  # fmt: skip
    endpoint = Endpoint.objects.create(**{**made, **fields})
    revision = Revision.objects.create(
        endpoint=endpoint, team_id=team.pk, region_id=region.pk, number=1, version=version,
        model_name=slug, digest="sha256:" + "0" * 64, hardware=hardware, context_length=4096,
        created_by_label="test",
    )  # fmt: skip
    Endpoint.objects.filter(pk=endpoint.pk).update(revision=revision)
    endpoint.refresh_from_db()
    return endpoint, revision
