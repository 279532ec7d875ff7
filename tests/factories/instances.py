"""Instances for tests: a team that can pay, a region that has room, and machines in it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from django.db.models import F

from apps.billing.models import UsageDay
from apps.billing.services import wallets
from apps.catalog.models import InstanceType
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.instances import reconcilers, services
from apps.instances.models import HourOfUse, Instance
from apps.instances.specs import InstanceSpec
from apps.regions.reconcilers import driver_of
from apps.teams.models import Team, Workspace
from tests.factories.billing import make_price
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory, actor_of, workspace_of

_numbers = count(1)
PRICES = {"type:cpu-2": "0.10", "type:h100-1": "2.50", "type:cpu-4": "0.20", "disk": "0.0002"}


@dataclass
class Stage:
    """Everything a launch needs."""

    team: Team
    workspace: Workspace
    actor: Actor
    supply: Supply

    @property
    def world(self) -> Any:
        """The control desk of the simulated cloud."""
        return driver_of(self.supply.cluster).world  # type: ignore[attr-defined]

    def spec(self, **fields: Any) -> InstanceSpec:
        wanted = {
            "name": f"vm-{next(_numbers)}",
            "region": self.supply.region.slug,
            "type": self.supply.type.slug,
            "image": self.supply.image.slug,
        }
        return InstanceSpec(**{**wanted, **fields})

    def launch(self, **fields: Any) -> Instance:
        """Ask for a machine; nothing has been made of it yet."""
        return services.create_instance(
            actor=self.actor, team=self.team, workspace=self.workspace, spec=self.spec(**fields)
        )

    def running(self, **fields: Any) -> Instance:
        instance = self.launch(**fields)
        bring_about(instance)
        assert instance.state == "running", (instance.state, instance.message, instance.last_error)
        return instance


def make_stage(
    path: Path, *, balance: str = "1000", config: dict[str, Any] | None = None, **supply: Any
) -> Stage:
    """A team with money and a simulated region that answers at once."""
    quick = {"boot_seconds": 0, "stop_seconds": 0, "delete_seconds": 0}
    made = make_supply(path / "sim.sqlite", config={**quick, **(config or {})}, **supply)
    for product, price in PRICES.items():
        make_price(product, price)
    InstanceType.objects.get_or_create(
        slug="cpu-4", defaults={"name": "cpu-4", "vcpus": 4, "memory_mib": 8192, "disk_gib": 40}
    )
    team = TeamFactory()
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(balance), reason="test")
    return Stage(team, workspace_of(team), actor_of(team), made)


def bring_about(instance: Instance, *, passes: int = 1, **now: Any) -> Instance:
    """Let a reconciler look at it, whether it is due or not, and read the row again."""
    for _each in range(passes):
        Instance.objects.filter(pk=instance.pk).update(due_at=F("created_at"))
        reconcilers.reconcile_instance(instance_id=str(instance.pk), **now)
    instance.refresh_from_db()
    return instance


def expire_lease(instance: Instance) -> None:
    """As if the worker that holds it had died long ago."""
    Instance.objects.filter(pk=instance.pk).update(
        lease_until=F("created_at") - timedelta(hours=1), due_at=F("created_at")
    )


def make_hours(instance: Instance, *, hours: int, hourly: str, **use: Any) -> None:
    """Let it have been measured for so many hours up to now, and been paid for yesterday."""
    now = db_now()
    last = now.replace(minute=0, second=0, microsecond=0)
    of = {"instance": instance, "team_id": instance.team_id, "region_id": instance.region_id}
    of |= {"type_id": instance.type_id, "seconds": 3600, "cpu_mean": 1, "cpu_most": 2}
    of |= {"memory_mean": 10, "memory_most": 12, **use}
    HourOfUse.objects.bulk_create(
        HourOfUse(hour=last - timedelta(hours=back + 1), **of) for back in range(hours)
    )
    UsageDay.objects.create(
        team_id=instance.team_id, workspace_id=instance.workspace_id, resource_id=instance.pk,
        product=instance.type.product, day=now.date() - timedelta(days=1),
        seconds=36000, unit_seconds=36000, amount=Decimal(hourly) * 10,
    )  # fmt: skip
