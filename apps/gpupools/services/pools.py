"""Pools are made, filled, shared more or less, paused and retired."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.catalog.models import GpuModel
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.gpupools.errors import SliceHeld
from apps.gpupools.models import GpuDevice, GpuHold, GpuPool, GpuSlice
from apps.gpupools.selectors.pools import ratio_impact
from apps.gpupools.specs import PoolSpec
from apps.gpupools.states import POOL, Isolation
from apps.nodes.models import Node
from apps.operations import services as operations
from apps.regions.models import Region
from apps.regions.services.regions import valid_slug
from apps.teams.models import Team


@transaction.atomic
def create_pool(*, actor: Actor, region: Region, spec: PoolSpec) -> GpuPool:
    """Make an empty pool of one GPU model; private when it names a team."""
    actor.require(Permission.POOL_MANAGE)
    _check(spec)
    if not GpuModel.objects.filter(pk=spec.gpu_model_id).exists():
        raise Invalid(_("There is no such GPU model."), field="gpu_model")
    if spec.team_id and not Team.objects.filter(pk=spec.team_id).exists():
        raise Invalid(_("There is no such team."), field="team")
    pool = GpuPool(
        region=region,
        gpu_model_id=spec.gpu_model_id,
        team_id=spec.team_id,
        name=_name(spec.name),
        slug=valid_slug(spec.slug),
        isolation=spec.isolation,
        sharing_ratio=spec.sharing_ratio,
        time_quantum_s=spec.time_quantum_s,
        security_level=spec.security_level,
        placement=spec.placement,
    )
    try:
        with transaction.atomic():
            pool.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            _("The region has a pool of that address already."), code="slug_taken", field="slug"
        ) from error
    _note(actor, pool, "pool.created")
    return pool


@transaction.atomic
def update_pool(*, actor: Actor, pool: GpuPool, changes: dict[str, Any]) -> GpuPool:
    """Change name, time quantum, security level or placement; none of them moves what runs."""
    actor.require(Permission.POOL_MANAGE)
    pool = _locked(pool)
    for field, value in changes.items():
        if field not in ("name", "time_quantum_s", "security_level", "placement"):
            raise Invalid(_("This cannot be changed."), field=field)
        setattr(pool, field, _name(value) if field == "name" else value)
    if not 10 <= pool.time_quantum_s <= 120:
        raise Invalid(_("A time quantum has 10 to 120 seconds."), field="time_quantum_s")
    pool.save(update_fields=[*changes])
    _note(actor, pool, "pool.updated", changes=changes)
    return pool


@transaction.atomic
def add_gpus(*, actor: Actor, pool: GpuPool, device_ids: Sequence[str]) -> int:
    """Put cards of the pool's model and region, in no other pool, up for sale; returns how many."""
    actor.require(Permission.POOL_MANAGE)
    pool = _locked(pool)
    devices = _lock_devices(device_ids)
    for device in devices:
        if device.region_id != pool.region_id or device.model_id != pool.gpu_model_id:
            raise Invalid(_("A pool holds cards of its own model and region."), field="devices")
        if device.pool_id not in (None, pool.pk):
            raise Conflict(_("One of the cards is in another pool."), code="in_another_pool", field="devices")
    fresh = [device for device in devices if device.pool_id is None]
    GpuDevice.objects.filter(pk__in=[one.pk for one in fresh]).update(pool=pool)
    _offer(fresh, pool.sharing_ratio)
    _note(actor, pool, "pool.gpus_added", gpus=len(fresh))
    return len(fresh)


@transaction.atomic
def remove_gpus(*, actor: Actor, pool: GpuPool, device_ids: Sequence[str]) -> int:
    """Take cards that nobody holds out of the pool; returns how many."""
    actor.require(Permission.POOL_MANAGE)
    pool = _locked(pool)
    devices = [one for one in _lock_devices(device_ids) if one.pool_id == pool.pk]
    ids = [one.pk for one in devices]
    if GpuHold.objects.filter(slice__device__in=ids, released_at=None).exists():
        raise SliceHeld(_("Somebody still uses one of these cards."))
    GpuSlice.objects.filter(device__in=ids).update(is_offered=False)
    GpuDevice.objects.filter(pk__in=ids).update(pool=None)
    _note(actor, pool, "pool.gpus_removed", gpus=len(ids))
    return len(ids)


@transaction.atomic
def set_gpus(*, actor: Actor, pool: GpuPool, device_ids: Sequence[str]) -> None:
    """Make the pool hold exactly these cards."""
    actor.require(Permission.POOL_MANAGE)
    wanted = set(device_ids)
    now = set(GpuDevice.objects.filter(pool=pool).values_list("pk", flat=True))
    if now - wanted:
        remove_gpus(actor=actor, pool=pool, device_ids=sorted(now - wanted))
    if wanted - now:
        add_gpus(actor=actor, pool=pool, device_ids=sorted(wanted - now))


@transaction.atomic
def change_ratio(*, actor: Actor, pool: GpuPool, ratio: int) -> GpuPool:
    """Sell every card of the pool `ratio` times; `selectors.pools.ratio_impact` says what that does.

    Shares that somebody holds are never taken away: SliceHeld names how many stand in the way.
    """
    actor.require(Permission.POOL_MANAGE)
    if not 1 <= ratio <= 10:
        raise Invalid(_("A sharing ratio is a number from 1 to 10."), field="sharing_ratio")
    pool = _locked(pool)
    if ratio > 1 and pool.isolation == Isolation.PASSTHROUGH:
        raise Conflict(_("Whole cards are not shared; make a pool of another isolation."), code="whole_cards")
    devices = _lock_devices(GpuDevice.objects.filter(pool=pool).values_list("pk", flat=True))
    impact = ratio_impact(pool=pool, ratio=ratio)
    if impact.in_the_way:
        raise SliceHeld(_("%(count)s shares above the new ratio are in use.") % {"count": impact.in_the_way})
    before, pool.sharing_ratio = pool.sharing_ratio, ratio
    pool.save(update_fields=["sharing_ratio"])
    _offer(devices, ratio)
    _note(actor, pool, "pool.ratio_changed", before=before, after=ratio)
    return pool


@transaction.atomic
def move_pool(*, actor: Actor, pool: GpuPool, event: str) -> GpuPool:
    """Pause, resume or retire a pool; an empty one only can be retired."""
    actor.require(Permission.POOL_MANAGE)
    pool = _locked(pool)
    pool.state = POOL.target(event, pool.state)
    if event == "retire" and GpuDevice.objects.filter(pool=pool).exists():
        raise Conflict(_("Take its GPUs out first."), code="pool_not_empty")
    pool.save(update_fields=["state"])
    _note(actor, pool, f"pool.{event}")
    return pool


def _offer(devices: Sequence[GpuDevice], ratio: int) -> None:
    """Make exactly the shares 0 … ratio-1 of each card available."""
    ids = [one.pk for one in devices]
    GpuSlice.objects.bulk_create(
        (GpuSlice(device_id=pk, index=index) for pk in ids for index in range(ratio)), ignore_conflicts=True
    )
    mine = GpuSlice.objects.filter(device__in=ids)
    mine.filter(index__lt=ratio, is_offered=False).update(is_offered=True)
    mine.filter(index__gte=ratio, is_offered=True).update(is_offered=False)


def _lock_devices(device_ids: Any) -> list[GpuDevice]:
    """The cards, with their nodes locked: nobody takes or gives back a slice meanwhile."""
    ids = list(device_ids)
    nodes = GpuDevice.objects.filter(pk__in=ids).values("node")
    list(Node.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=nodes).order_by("pk"))
    found = list(GpuDevice.objects.filter(pk__in=ids).order_by("pk"))
    if len(found) != len(set(ids)):
        raise Invalid(_("One of the cards does not exist."), field="devices")
    return found


def _check(spec: PoolSpec) -> None:
    if spec.isolation not in Isolation.values:
        raise Invalid(_("There is no such isolation."), field="isolation")
    if not 1 <= spec.sharing_ratio <= 10:
        raise Invalid(_("A sharing ratio is a number from 1 to 10."), field="sharing_ratio")
    if spec.isolation == Isolation.PASSTHROUGH and spec.sharing_ratio != 1:
        raise Invalid(_("Whole cards are not shared."), field="sharing_ratio")
    if not 10 <= spec.time_quantum_s <= 120:
        raise Invalid(_("A time quantum has 10 to 120 seconds."), field="time_quantum_s")


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Invalid(_("A name has 1 to 80 characters."), field="name")
    return name


def _locked(pool: GpuPool) -> GpuPool:
    found: GpuPool = GpuPool.objects.select_for_update(of=("self",), no_key=True).get(pk=pool.pk)
    return found


def _note(actor: Actor, pool: GpuPool, action: str, **data: Any) -> None:
    audit.record(actor=actor, action=action, target=pool, region_id=pool.region_id, **data)
    operations.emit(type=action, subject=pool.pk, region_id=pool.region_id, data={"name": pool.name})
