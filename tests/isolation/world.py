"""Two teams and two regions that have one of everything."""

from decimal import Decimal
from typing import Any

from apps.api.isolation.principals import World
from apps.billing.models import PriceList, Quarantined
from apps.billing.services import budgeting, wallets
from apps.billing.services.budgeting import BudgetWish
from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.inference.models import Endpoint, EngineLog, Hardware, Replica, Revision
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.instances.models import Instance
from apps.nodes.models import ResourceGroup
from apps.operations import services as operations
from apps.operations.specs import HookWish, OperationPlan, StepPlan, Target
from apps.operations.states import Plane
from apps.registry.models import Model, ModelAlias, ModelVersion, VersionFile
from apps.storage.models import Snapshot, Volume
from apps.teams.models import Team
from apps.teams.services import invite_member
from tests.factories import money
from tests.factories.billing import make_price
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory, workspace_of


def make_world() -> World:
    """What the matrix asks for; each side's things are told by its slug."""
    here, there = make_supply(nodes=1, gpus=1), make_supply(nodes=1, gpus=1)
    ours, theirs = TeamFactory(name="Kestrel"), TeamFactory(name="Heron")
    make_price(here.type.product, "0.10")
    make_price("disk", "0.0001")
    make_terms()
    for team, supply in ((ours, here), (theirs, there)):
        furnish(team, supply)
    return World(ours, theirs, here.region, there.region)


def make_terms() -> None:
    """What only the platform has: a price list and a report in quarantine."""
    PriceList.objects.create(slug="partners", name="Partners")
    payload = {"id": "e-1", "source": "test"}
    Quarantined.objects.create(
        source="test", event_id="e-1", reason="malformed", payload=payload, payload_hash=b"1"
    )


def furnish(team: Team, supply: Supply) -> None:
    """Give the team a machine with all that belongs to one, money and a guest; its region a group."""
    instance = make_instance(team, supply, name=f"{team.slug}-box")
    about = {
        "team_id": team.pk,
        "workspace_id": instance.workspace_id,
        "region_id": supply.region.pk,
        "instance_id": instance.pk,
        "name": f"{team.slug}-disk",
    }
    Volume.objects.create(size_gib=20, **about)
    Snapshot.objects.create(disk_gib=20, state="available", **about)
    target = Target("instance", instance.pk, instance.name, team.pk, instance.workspace_id, supply.region.pk)
    plan = OperationPlan("instance.create", (StepPlan("accept", Plane.USER),), is_cancellable=True)
    operations.open_operation(actor=SYSTEM, target=target, plan=plan)
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(100), reason="isolation")
    money.furnish(team)
    wish = BudgetWish(f"{team.slug}-budget", "team", "month", Decimal(1000), "notify")
    budgeting.set_budget(actor=SYSTEM, team=team, wish=wish)
    hook = HookWish(f"{team.slug}-hook", f"https://{team.slug}.example/hook", ("budget.*",))
    operations.create_webhook(actor=SYSTEM, team=team, wish=hook)
    invite_member(actor=SYSTEM, team=team, email=f"guest@{team.slug}.example", role=Role.TEAM_VIEWER)
    ResourceGroup.objects.create(region=supply.region, name="Group", slug="group")
    make_model(team)
    make_endpoint(team, supply)
    limits.set_workspace(actor=SYSTEM, workspace=workspace_of(team), limits=Limits(50, 1000))


def make_instance(team: Team, supply: Supply, **fields: Any) -> Instance:
    """A running machine's row; no machine."""
    made = {
        "team": team,
        "team_name": team.name,
        "workspace": workspace_of(team),
        "region": supply.region,
        "cluster": supply.cluster,
        "node": supply.nodes[0],
        "type": supply.type,
        "image": supply.image,
        "state": "running",
        "vcpus": 2,
        "memory_mib": 4096,
        "disk_gib": 20,
        "user": "user",
        "access_public_key": "none",
        "access_private_key": "none",
        "currency": "EUR",
        "created_by_label": "somebody",
        "due_at": None,
    }
    return Instance.objects.create(**{**made, **fields})


def make_model(team: Team) -> None:
    """A model of the team's with a draft, a file of it and an alias; nothing in the store."""
    model = Model.objects.create(team=team, slug="small", name=f"{team.slug}-model")
    version = ModelVersion.objects.create(model=model, team=team, number=1, due_at=None)
    VersionFile.objects.create(version=version, team=team, path="x.gguf", size=1, part_size=8 * 1024 * 1024)
    ModelAlias.objects.create(model=model, team=team, name="latest", version=version)


def make_endpoint(team: Team, supply: Supply) -> None:
    """An endpoint of the team's with a revision and a replica; no engine."""
    version = ModelVersion.objects.filter(team=team).earliest("pk")
    hardware, _new = Hardware.objects.get_or_create(
        slug="cpu", defaults={"name": "CPU", "kinds": ["local"], "vcpus": 1, "memory_mib": 1024}
    )
    endpoint = Endpoint.objects.create(
        team=team, team_name=team.name, workspace=workspace_of(team), region=supply.region, state="ready",
        name="Chat", slug=f"{team.slug}-chat", modality="chat", currency="EUR", due_at=None,
    )  # fmt: skip
    revision = Revision.objects.create(
        endpoint=endpoint, team_id=team.pk, region_id=supply.region.pk, number=1, version=version,
        model_name=f"{team.slug}-model 1", digest="sha256:0", hardware=hardware, context_length=1,
    )  # fmt: skip
    Endpoint.objects.filter(pk=endpoint.pk).update(revision=revision)
    replica = Replica.objects.create(
        endpoint=endpoint, team_id=team.pk, region=supply.region, cluster=supply.cluster, revision=revision,
        kind="local", state="ready", api_key="none", due_at=None,
    )  # fmt: skip
    EngineLog.objects.create(replica=replica, team_id=team.pk, text=f"{team.slug} serves\n")
