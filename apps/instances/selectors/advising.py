"""Machines that could be stopped or be smaller: what they used by the hour, beside what was paid for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet
from django.db.models.functions import JSONArray

from apps.billing.errors import NoPrice
from apps.billing.models import UsageDay
from apps.billing.rating import PLACES
from apps.billing.selectors.advice import DAYS, MONTH_DAYS, Advice, AdviceKind, AdviceRow, Basis
from apps.billing.specs import HOURS_PER_DAY, SECONDS_PER_HOUR, Rate
from apps.catalog.models import InstanceType
from apps.core.ids import decode
from apps.core.money import ZERO
from apps.gpupools.models import GpuPool
from apps.gpupools.states import PoolState
from apps.instances import sizing
from apps.instances.models import HourOfUse, Instance
from apps.instances.selectors.offers import rates_of
from apps.instances.sizing import Hour, Measured, Shape
from apps.instances.states import Desired, State
from apps.policies import selectors as policies

_HOUR = (
    "hour", "seconds", "cpu_mean", "cpu_most", "memory_most",
    "gpu_seconds", "gpu_most", "gpu_memory_most", "gpus_at_work",
)  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """What was paid for each machine, and what the team might launch instead."""

    basis: Basis

    @cached_property
    def paid(self) -> dict[tuple[str, str], list[UsageDay]]:
        found: dict[tuple[str, str], list[UsageDay]] = {}
        for day in self.basis.days:
            found.setdefault((day.resource_id, day.product), []).append(day)
        return found

    @cached_property
    def types(self) -> list[InstanceType]:
        """What it may launch and what is sold, each with the `places` that have its GPUs for the team."""
        mine = Q(team=None) | Q(team_id=self.basis.team_id)
        pools = GpuPool.objects.filter(mine, state=PoolState.ACTIVE, gpu_model=OuterRef("gpu_model"))
        allowed, _images = policies.choices_of(self.basis.team_id)
        kinds = InstanceType.objects.launchable().select_related("gpu_model")
        placed = kinds.annotate(places=ArraySubquery(pools.values("region_id")))
        return [kind for kind in placed if kind.product in self.basis.book and allowed.allows(kind.slug)]

    def may_be(self, instance: Instance, kind: Any) -> bool:
        """Whether the machine could have been launched as that, where it is."""
        return (
            kind.memory_mib >= instance.image.min_memory_mib
            and (not kind.cluster_kinds or instance.cluster.kind in kind.cluster_kinds)
            and (kind.gpu_model_id is None or decode("reg", instance.region_id) in kind.places)
        )


def find(basis: Basis) -> Iterable[Advice]:
    """What the team's running machines were measured to need less of."""
    known = _Known(basis)
    for instance in _machines(basis) if basis.days else ():
        hours = [Hour(datetime.fromisoformat(at), *rest) for at, *rest in instance.hours]
        try:
            advice = _stop(instance, hours, known) or _shrink(instance, hours, known)
        except NoPrice:  # what it is, or would be, is not sold any more
            continue
        if advice is not None:
            yield advice


def _machines(basis: Basis) -> QuerySet[Any]:
    """Those that run, each with its `hours` as what it is, oldest first."""
    since = basis.now - timedelta(days=DAYS)
    own = HourOfUse.objects.filter(instance=OuterRef("pk"), type_id=OuterRef("type_id"), hour__gte=since)
    hours = own.order_by("hour").values(found=JSONArray(*_HOUR))
    visible = Instance.objects.visible_to(basis.actor).filter(team_id=basis.team_id)
    running = visible.filter(state=State.RUNNING, desired=Desired.RUNNING)
    rows: QuerySet[Any] = running.select_related("type__gpu_model", "cluster", "image").order_by("pk")
    found: QuerySet[Any] = rows.annotate(hours=ArraySubquery(hours))
    return found


def _stop(instance: Instance, hours: Sequence[Hour], known: _Known) -> Advice | None:
    """It did nothing for a day or longer."""
    used = sizing.idle(hours, gpus=instance.gpus, now=known.basis.now)
    return _advice(AdviceKind.IDLE, instance, used, instance.resting_rates, known) if used else None


def _shrink(instance: Instance, hours: Sequence[Hour], known: _Known) -> Advice | None:
    """What it used at most would have fitted something cheaper; the cheapest of all that would do."""
    used, was = sizing.peaks(hours, gpus=instance.gpus, now=known.basis.now), _shape(instance.type)
    if used is None:
        return None
    costs = {
        (known.basis.hourly(rates_of(kind, instance.disk_gib)), kind.slug): kind
        for kind in known.types
        if known.may_be(instance, kind) and sizing.fits(_shape(kind), was=was, used=used)
    }
    cost, slug = min(costs, default=(None, ""))
    if cost is None or cost >= known.basis.hourly(instance.running_rates):
        return None
    best = costs[cost, slug]
    rates = rates_of(best, instance.disk_gib)
    return _advice(AdviceKind.TOO_LARGE, instance, used, rates, known, best.product)


def _advice(
    kind: AdviceKind,
    instance: Instance,
    used: Measured,
    rates: Iterable[Rate],
    known: _Known,
    instead: str = "",
) -> Advice | None:
    """The days that were paid for it while it was measured, and what they would have cost at other rates.

    The machine itself is compared; what is paid beside it either way is taken off the other side.
    """
    beside = [rate for rate in instance.running_rates if rate.product != instance.type.product]
    other = known.basis.hourly(rates) - known.basis.hourly(beside)
    days = known.paid.get((instance.pk, instance.type.product), ())
    rows = [_row(day, other) for day in days if day.day >= used.start.date()]
    hours = sum((row.unit_hours for row in rows), ZERO)
    saved = sum((row.amount - row.instead for row in rows), ZERO)
    if not hours:
        return None
    return Advice(
        kind,
        instance.pk,
        instance.name,
        (saved / hours * HOURS_PER_DAY * MONTH_DAYS).quantize(PLACES),
        len(rows),
        tuple(rows),
        instead=instead,
        measured_hours=Decimal(str(used.hours)),
        peaks=_peaks(used),
    )


def _row(day: UsageDay, other: Decimal) -> AdviceRow:
    hours = (day.unit_seconds / SECONDS_PER_HOUR).quantize(PLACES)
    return AdviceRow(
        day.day, day.resource_id, day.product, hours, day.amount, (hours * other).quantize(PLACES)
    )


def _peaks(used: Measured) -> dict[str, Decimal]:
    known = {
        "cpu": used.cpu_most, "memory": used.memory_most, "gpu": used.gpu_most,
        "gpu_memory": used.gpu_memory_most,
    }  # fmt: skip
    return {name: Decimal(str(round(most, 1))) for name, most in known.items() if most is not None}


def _shape(kind: InstanceType) -> Shape:
    card = kind.gpu_model
    size = (kind.slug, kind.vcpus, kind.memory_mib, kind.gpus)
    return Shape(*size, card.slug, card.vendor, card.memory_gib, card.tflops) if card else Shape(*size)
