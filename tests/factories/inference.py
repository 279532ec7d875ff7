"""Endpoints for tests: a team that can pay, a simulated region, and a model whose files nobody needs."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from django.db.models import F

from apps.billing.models import PriceVersion
from apps.billing.services import wallets
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.inference import reconcilers
from apps.inference.models import Endpoint, Hardware, Replica
from apps.inference.services import making
from apps.inference.specs import EndpointSpec, Recipe, ScaleRules
from apps.inference.states import ReplicaState
from apps.regions.models import Cluster, Region
from apps.regions.reconcilers import any_driver_of
from apps.registry.models import Model, ModelVersion
from apps.teams.models import Team, Workspace
from tests.factories.billing import make_price
from tests.factories.supply import make_region
from tests.factories.teams import TeamFactory, actor_of, workspace_of

_numbers = count(1)
PRICE = "0.60"


@dataclass
class Stage:
    """Everything an endpoint needs."""

    team: Team
    workspace: Workspace
    actor: Actor
    region: Region
    cluster: Cluster
    hardware: Hardware
    version: ModelVersion

    @property
    def driver(self) -> Any:
        """The simulated cloud, with its control desk."""
        return any_driver_of(self.cluster)

    def recipe(self, **fields: Any) -> Recipe:
        return Recipe(**{"version": str(self.version.pk), "hardware": self.hardware.slug, **fields})

    def spec(self, scale: dict[str, Any] | None = None, **fields: Any) -> EndpointSpec:
        wanted = {"slug": f"model-{next(_numbers)}", "region": self.region.slug, "recipe": self.recipe()}
        return EndpointSpec(**{**wanted, "scale": ScaleRules(**(scale or {})), **fields})

    def launch(self, *, public: bool = False, **fields: Any) -> Endpoint:
        """Ask for an endpoint; nothing has been made of it yet. Everybody's serves the provider's model."""
        if public and self.version.team_id is not None:
            self.version = make_version(None)
        owner = (
            {"team": None, "workspace": None} if public else {"team": self.team, "workspace": self.workspace}
        )
        actor = SYSTEM if public else self.actor
        return making.create_endpoint(actor=actor, spec=self.spec(**fields), **owner)

    def ready(self, **fields: Any) -> Endpoint:
        endpoint = work_off(self.launch(**fields))
        assert endpoint.state == "ready", (endpoint.state, endpoint.message)
        return endpoint


def make_version(
    team: Team | None = None, *, slug: str = "", model: Model | None = None, form: str = "gguf"
) -> ModelVersion:
    """A servable version of which only the row exists."""
    number = next(_numbers)
    model = model or Model.objects.create(
        team=team, slug=slug or f"m-{number}", name=f"Model {number}", visibility="team" if team else "public"
    )
    file = {"path": "m.gguf", "size": 1000, "sha256": "a" * 64}
    return ModelVersion.objects.create(
        model=model,
        team=team,
        number=ModelVersion.objects.filter(model=model).count() + 1,
        state="servable",
        format=form,
        digest=f"sha256:{number:064x}",
        size_bytes=1000,
        manifest=[file],
        context_length=2048,
    )


def make_hardware(slug: str = "cpu-small", **fields: Any) -> Hardware:
    usual = {"name": slug.title(), "kinds": ["sim", "local"], "vcpus": 2, "memory_mib": 2048}
    made, _new = Hardware.objects.get_or_create(slug=slug, defaults={**usual, **fields})
    return made


def make_stage(
    path: Path, *, balance: str = "1000", kind: str = "sim", config: dict[str, Any] | None = None
) -> Stage:
    """A team with money and a region whose engines come and go at once."""
    region = make_region()
    quick: dict[str, Any] = {"folder": str(path / "engines")}
    if kind == "sim":
        quick = {"path": str(path / "sim.sqlite"), "world": region.slug}
        quick |= {"boot_seconds": 0, "stop_seconds": 0, "delete_seconds": 0}
    cluster = Cluster.objects.create(
        region=region, name="Engines", slug="engines", kind=kind, config={**quick, **(config or {})}
    )
    hardware = make_hardware()
    if not PriceVersion.objects.filter(product=hardware.product).exists():
        make_price(hardware.product, PRICE)
    team = TeamFactory()
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(balance), reason="test")
    return Stage(team, workspace_of(team), actor_of(team), region, cluster, hardware, make_version(team))


def steer(endpoint: Endpoint) -> Endpoint:
    """Let a reconciler look at it."""
    reconcilers.steer_endpoint(endpoint_id=str(endpoint.pk))
    endpoint.refresh_from_db()
    return endpoint


def bring_about(replica: Replica, *, minutes: float = 0, seconds: float = 0) -> Replica:
    """Let a reconciler look at it, whether it is due or not, some time later, and read the row again."""
    Replica.objects.filter(pk=replica.pk).update(due_at=F("created_at"), lease_until=None)
    at = db_now() + timedelta(minutes=minutes, seconds=seconds)
    reconcilers.reconcile_replica(replica_id=str(replica.pk), now=at)
    replica.refresh_from_db()
    return replica


def work_off(endpoint: Endpoint, *, passes: int = 12, seconds: float = 0) -> Endpoint:
    """Be the worker until nothing is under way; `seconds` pass between two looks."""
    for number in range(passes):
        for replica in Replica.objects.filter(endpoint=endpoint, released_at=None).order_by("pk"):
            if replica.state != ReplicaState.READY or replica.desired == "gone":
                bring_about(replica, seconds=seconds * (number + 1))
        steer(endpoint)
        if endpoint.operation_id is None and not moving(endpoint):
            return endpoint
    return endpoint


def moving(endpoint: Endpoint) -> bool:
    rows = Replica.objects.filter(endpoint=endpoint, released_at=None)
    return rows.exclude(state=ReplicaState.READY, desired="running").exists()


def replicas(endpoint: Endpoint, *states: str) -> list[Replica]:
    rows = Replica.objects.filter(endpoint=endpoint).order_by("pk")
    return list(rows.filter(state__in=states) if states else rows)
