"""Changing what a machine has: another type while it is stopped, a larger disk at any time."""

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.billing.selectors import prices
from apps.billing.services import charging
from apps.billing.specs import Rate, as_json
from apps.catalog.models import InstanceType
from apps.catalog.states import LAUNCHABLE
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.gpupools.services import exchange
from apps.instances.errors import BadShape
from apps.instances.models import Instance
from apps.instances.selectors import offers
from apps.instances.services.wishes import be_idle, begin, lock
from apps.instances.services.work import wanted_of
from apps.instances.specs import MAX_DISK_GIB, RESIZE
from apps.instances.states import State, Work
from apps.policies import selectors as policies
from apps.policies.errors import PolicyRefused

_SIZES = ("vcpus", "memory_mib", "disk_gib")


@transaction.atomic
def resize_instance(
    *, actor: Actor, instance_id: str, type_slug: str | None = None, disk_gib: int | None = None
) -> Instance:
    """Make it another type (stopped) or its disk larger. The larger of both sizes is reserved until done.

    Refused with NoHeadroom, QuotaExceeded or PoolExhausted when money, quota or its node do not allow it.
    """
    instance = lock(actor=actor, instance_id=instance_id, permission=Permission.INSTANCE_UPDATE)
    kind = _type_for(instance, type_slug)
    changes_type = kind.pk != instance.type_id
    be_idle(instance, *((State.STOPPED,) if changes_type else (State.STOPPED, State.RUNNING)))
    disk = disk_gib or max(instance.disk_gib, kind.disk_gib)
    _check(instance, kind, disk)
    old, new = _old(instance), _new(instance, kind, disk)
    _pay(instance, kind, disk)
    larger = {**new, **{name: max(old[name], new[name]) for name in _SIZES}}
    exchange.swap(holder_id=str(instance.pk), wanted=wanted_of(instance, larger), now=db_now())
    params = {"old": old, "new": new}
    return begin(
        actor=actor,
        instance=instance,
        plan=RESIZE,
        action="instance.resized",
        work=Work.RESIZE,
        work_params=params,
    )


def _type_for(instance: Instance, slug: str | None) -> InstanceType:
    if slug is None or slug == instance.type.slug:
        return instance.type
    found = InstanceType.objects.filter(slug=slug, state__in=LAUNCHABLE).first()
    if found is None:
        raise Invalid(_("There is no such instance type."), field="type")
    kind: InstanceType = found
    if (kind.gpu_model_id, kind.gpus) != (instance.type.gpu_model_id, instance.gpus):
        raise BadShape(_("The GPUs of a machine cannot be changed; launch another one."), field="type")
    types, _images = policies.choices_of(instance.team_id)
    if not types.allows(kind.slug):
        raise PolicyRefused(_("Your team's policy does not allow this instance type."), field="type")
    return kind


def _check(instance: Instance, kind: InstanceType, disk: int) -> None:
    if disk < instance.disk_gib:
        raise BadShape(_("A disk can only grow."), field="disk_gib")
    if disk > MAX_DISK_GIB:
        raise BadShape(_("A disk has at most %(most)s GiB.") % {"most": MAX_DISK_GIB}, field="disk_gib")
    offers.check_shape(kind, instance.image, disk)
    if kind.pk == instance.type_id and disk == instance.disk_gib:
        raise BadShape(_("It has this size already."))


def _old(instance: Instance) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in _SIZES} | {"gpu_model_id": instance.type.gpu_model_id}


def _new(instance: Instance, kind: InstanceType, disk: int) -> dict[str, Any]:
    rates = offers.rates_of(kind, disk)
    quote = prices.quote(rates, team_id=instance.team_id, at=db_now())
    return {
        "type_id": kind.pk,
        "vcpus": kind.vcpus,
        "memory_mib": kind.memory_mib,
        "disk_gib": disk,
        "gpu_model_id": kind.gpu_model_id,
        "rates": as_json(rates),
        "rest_rates": as_json(offers.rest_rates_of(disk)),
        "hourly": str(quote.hourly),
    }


def _pay(instance: Instance, kind: InstanceType, disk: int) -> None:
    """What it will cost from now on must be covered, as for a launch."""
    is_running = instance.state == State.RUNNING
    rates = offers.rates_of(kind, disk) if is_running else [Rate("disk", Decimal(disk))]
    charging.reserve(team_id=instance.team_id, resource_id=str(instance.pk), rates=rates, now=db_now())
