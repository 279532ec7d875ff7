"""Our own gateway with everything on: keys, four limits in Redis, prices, leases, settlement."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import stage
from benchmarks.gateway.work import GATEWAY_CORE, Processes
from runner.paths import ROOT
from runner.services import Services

KEYS = 100


@dataclass
class Ours:
    """The installation that the gateway works for. Both endpoints belong to one team."""

    folder: Path
    services: Services
    keys: Path
    slugs: dict[str, str]
    team_id: str

    def environment(self) -> dict[str, str]:
        import os

        return {
            **os.environ,
            "GATEWAY_DIR": str(self.folder / "spool"),
            "GATEWAY_LIMIT_SECONDS": "60",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, processes: Processes) -> tuple[Any, dict[str, Any]]:
        """The gateway's process and what it says of itself once it is ready."""
        state = self.folder / "gateway.json"
        command = [sys.executable, str(ROOT / "manage.py"), "gateway", "--port", "0", "--workers", "1"]
        process = processes.start(
            "ours", [*command, "--state-file", str(state)], core=GATEWAY_CORE, env=self.environment()
        )
        if not stage.wait_until(state.exists, seconds=120, every=0.1):
            raise RuntimeError((processes.folder / "ours.log").read_text()[-2000:])
        told: dict[str, Any] = json.loads(state.read_text())
        return process, told


@contextmanager
def installation(quick: tuple[int, int], paced: int) -> Iterator[Ours]:
    """PostgreSQL and Valkey of its own, a team with money and keys, endpoints before the given engines."""
    with tempfile.TemporaryDirectory(prefix="hostedai-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        services = Services(folder / "services", quick=True, dies_by_us=True, wanted=("postgres", "valkey"))
        services.start()
        try:
            stage._set_up(services.environment, folder)
            yield _furnish(folder, services, quick, paced)
        finally:
            services.stop()


def _furnish(folder: Path, services: Services, quick: tuple[int, int], paced: int) -> Ours:
    from decimal import Decimal

    from apps.billing.services import wallets
    from apps.core.actor import SYSTEM
    from apps.inference.models import Replica
    from apps.inference.services import limits
    from apps.inference.specs import Limits
    from apps.regions.models import Cluster
    from tests.factories.billing import make_price
    from tests.factories.supply import make_region
    from tests.factories.teams import TeamFactory, key_of, workspace_of
    from tests.gateway.stage import make_endpoint

    team, region = TeamFactory(), make_region()
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(1_000_000), reason="bench")
    many = Limits(1_000_000, 10**12)
    limits.set_level(actor=SYSTEM, level="platform", limits=Limits(1_000_000, None))
    limits.set_team(actor=SYSTEM, team=team, limits=many)
    limits.set_workspace(actor=SYSTEM, workspace=workspace_of(team), limits=many)
    secrets = []
    for _each in range(KEYS):
        issued = key_of(team, "inference:use")
        limits.set_key(actor=SYSTEM, key=issued.key, limits=many)
        secrets.append(issued.secret)
    (folder / "keys").write_text("\n".join(secrets) + "\n")
    cluster = Cluster.objects.create(region=region, name="Simulated", slug="sim", kind="sim", config={})
    slugs = {"quick": "bench-quick", "paced": "bench-paced"}
    for pace, ports in (("quick", quick), ("paced", (paced,))):
        slug = slugs[pace]
        for kind, price in {"input": "0.15", "output": "0.6"}.items():
            make_price(f"tokens:{slug}:{kind}", price)
        endpoint, revision = make_endpoint(team, region, slug, policy="least_outstanding")
        for port in ports:
            replica = Replica(
                endpoint=endpoint, revision=revision, region=region, team_id=team.pk, cluster=cluster,
                kind="sim", state="ready", url=f"http://127.0.0.1:{port}", due_at=None,
            )  # fmt: skip
            replica.seal_secret("engine")
            replica.save()
    return Ours(folder, services, folder / "keys", slugs, str(team.pk))
